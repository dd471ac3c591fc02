"""The leaves of the log. Pure, and small enough for an auditor to write again in any language.

``leaf_hash = SHA-256(0x00 || leaf)`` as in RFC 6962; the Merkle tree over them is in
:mod:`services.archive.domain.merkle` (ADR 0018).
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from services.archive.domain.entries import LAYOUT, Arrival, Entry, Kind, Leaf, region_of
from shared.kernel.clock import rfc3339

LEAF_PREFIX: Final = b"\x00"
HASH_BYTES: Final = 32

_text = json.encoder.encode_basestring


def leaf_bytes(leaf: Leaf) -> bytes:
    """The canonical bytes of ``leaf``, by the rules of the layout that it was written in.

    Raises:
        KeyError: a layout that this version does not know.
    """
    return LEAF_BYTES[leaf.v](leaf)


def _leaf_bytes_2(leaf: Leaf) -> bytes:
    """JSON in UTF-8, keys sorted, no blanks, absent values left out.

    The same as ``json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`` in a third of the
    time, which matters for every event. No archival time: the same stream gives the same leaves whenever it
    is archived.
    """
    attributes = leaf.attributes
    region = region_of(leaf.subject)
    duplicate = "" if leaf.duplicate_of is None else f'"duplicate_of":{leaf.duplicate_of:d},'
    place = "" if region is None else f'"region":{_text(region)},'
    if attributes is None:
        return (
            f'{{"data_hash":"{leaf.data_hash.hex()}",{duplicate}"kind":"{leaf.kind.value}",{place}'
            f'"sequence":{leaf.sequence:d},"stream":{_text(leaf.stream)},"subject":{_text(leaf.subject)},'
            f'"v":2}}'
        ).encode()
    actor = "" if attributes.actor is None else f'"actor":{_text(attributes.actor)},'
    channel = "" if attributes.channel is None else f'"channel":{_text(attributes.channel)},'
    return (
        f'{{{actor}{channel}"data_hash":"{leaf.data_hash.hex()}",{duplicate}'
        f'"event_id":{_text(attributes.event_id)},"kind":"{leaf.kind.value}",'
        f'"received_at":"{rfc3339(attributes.received_at)}",{place}"sequence":{leaf.sequence:d},'
        f'"source":{_text(attributes.source)},"stream":{_text(leaf.stream)},"subject":{_text(leaf.subject)},'
        f'"synthetic":{"true" if attributes.synthetic else "false"},"time":"{rfc3339(attributes.time)}",'
        f'"type":{_text(attributes.type)},"v":2}}'
    ).encode()


LEAF_BYTES: Final[dict[int, Callable[[Leaf], bytes]]] = {2: _leaf_bytes_2}
"""How the bytes of a leaf are made, by layout. Nothing is ever taken out: the log keeps its entries."""


def leaf_hash(leaf: Leaf) -> bytes:
    """SHA-256 of 0x00 and the leaf's canonical bytes."""
    return sha256(LEAF_PREFIX + leaf_bytes(leaf)).digest()


def seal(size: int, arrivals: list[Arrival], known: dict[str, int], layout: int = LAYOUT) -> list[Entry]:
    """Give ``arrivals`` their places in a log of ``size`` entries, in order.

    Args:
        size: number of entries that the log has, so the first index.
        arrivals: each sequence once, never archived before.
        known: event ids that the log has, with their indexes, as far as they occur in ``arrivals``; the ids
            of this batch are added to it.
        layout: to write them in; an older one gives what the log had before.

    Returns:
        One entry for each arrival, indexes contiguous from ``size``.
    """
    entries: list[Entry] = []
    for index, arrival in enumerate(arrivals, size):
        leaf = make_leaf(arrival, index, known, layout)
        envelope = None if leaf.kind is Kind.UNPARSEABLE else arrival.data
        entries.append(Entry(index, leaf, envelope, leaf_hash(leaf)))
    return entries


def make_leaf(arrival: Arrival, index: int, known: dict[str, int], layout: int = LAYOUT) -> Leaf:
    """The leaf of ``arrival`` at ``index``; a first occurrence is added to ``known``."""
    attributes = arrival.attributes
    kind = Kind.UNPARSEABLE
    duplicate_of = None
    if attributes is not None:
        first = known.setdefault(attributes.event_id, index)
        duplicate_of = first if first != index else None
        kind = Kind.EVENT if duplicate_of is None else Kind.DUPLICATE
    digest = sha256(arrival.data).digest()
    return Leaf(
        kind, arrival.stream, arrival.sequence, arrival.subject, attributes, duplicate_of, digest, layout
    )
