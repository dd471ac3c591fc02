"""The hashes of the log. Pure, and small enough for an auditor to write again in any language.

``leaf_hash = SHA-256(0x00 || leaf)`` as in RFC 6962, so that a Merkle tree can be built over the same leaves;
``chain_hash = SHA-256(0x02 || previous chain hash || leaf_hash)``. 0x01 is left to the tree's inner nodes.
"""

import json
from hashlib import sha256
from typing import Final

from services.archive.domain.entries import LAYOUT, Arrival, Entry, Head, Kind, Leaf, place_of
from shared.kernel.clock import rfc3339

LEAF_PREFIX: Final = b"\x00"
CHAIN_PREFIX: Final = b"\x02"
GENESIS: Final = sha256(b"pingyi archive log v1").digest()
"""Chain hash before the first entry."""
EMPTY: Final = Head(-1, GENESIS)
HASH_BYTES: Final = 32

_text = json.encoder.encode_basestring


def leaf_bytes(leaf: Leaf) -> bytes:
    """The canonical bytes of ``leaf``: JSON in UTF-8, keys sorted, no blanks, absent values left out.

    The same as ``json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`` in a third of the
    time, which matters for every event. No archival time: the same stream gives the same leaves whenever it
    is archived.
    """
    attributes = leaf.attributes
    city, county = place_of(leaf.subject)
    parts: list[str] = []
    if attributes is not None and attributes.channel is not None:
        parts.append(f'"channel":{_text(attributes.channel)}')
    if city is not None and county is not None:
        parts.append(f'"city":{_text(city)},"county":{_text(county)}')
    parts.append(f'"data_hash":"{leaf.data_hash.hex()}"')
    if leaf.duplicate_of is not None:
        parts.append(f'"duplicate_of":{leaf.duplicate_of:d}')
    if attributes is not None:
        parts.append(f'"event_id":{_text(attributes.event_id)}')
    parts.append(f'"kind":"{leaf.kind.value}"')
    if attributes is not None:
        parts.append(f'"received_at":"{rfc3339(attributes.received_at)}"')
    parts.append(f'"sequence":{leaf.sequence:d}')
    if attributes is not None:
        parts.append(f'"source":{_text(attributes.source)}')
    parts.append(f'"stream":{_text(leaf.stream)},"subject":{_text(leaf.subject)}')
    if attributes is not None:
        parts.append(
            f'"synthetic":{"true" if attributes.synthetic else "false"},'
            f'"time":"{rfc3339(attributes.time)}","type":{_text(attributes.type)}'
        )
    parts.append(f'"v":{LAYOUT:d}')
    return f"{{{','.join(parts)}}}".encode()


def leaf_hash(leaf: Leaf) -> bytes:
    """SHA-256 of 0x00 and the leaf's canonical bytes."""
    return sha256(LEAF_PREFIX + leaf_bytes(leaf)).digest()


def chain_hash(previous: bytes, leaf_hash: bytes) -> bytes:
    """SHA-256 of 0x02, the chain hash before (or :data:`GENESIS`) and the leaf's hash."""
    return sha256(CHAIN_PREFIX + previous + leaf_hash).digest()


def seal(head: Head, arrivals: list[Arrival], known: dict[str, int]) -> list[Entry]:
    """Give ``arrivals`` their places after ``head``, in order.

    Args:
        head: the end of the log.
        arrivals: each sequence once, never archived before.
        known: event ids that the log has, with their indexes, as far as they occur in ``arrivals``; the ids
            of this batch are added to it.

    Returns:
        One entry for each arrival, indexes contiguous from ``head.index + 1``.
    """
    entries: list[Entry] = []
    index = head.index
    chain = head.chain_hash
    for arrival in arrivals:
        index += 1
        leaf = make_leaf(arrival, index, known)
        hashed = leaf_hash(leaf)
        chain = chain_hash(chain, hashed)
        envelope = None if leaf.kind is Kind.UNPARSEABLE else arrival.data
        entries.append(Entry(index, leaf, envelope, hashed, chain))
    return entries


def make_leaf(arrival: Arrival, index: int, known: dict[str, int]) -> Leaf:
    """The leaf of ``arrival`` at ``index``; a first occurrence is added to ``known``."""
    attributes = arrival.attributes
    kind = Kind.UNPARSEABLE
    duplicate_of = None
    if attributes is not None:
        first = known.setdefault(attributes.event_id, index)
        duplicate_of = first if first != index else None
        kind = Kind.EVENT if duplicate_of is None else Kind.DUPLICATE
    digest = sha256(arrival.data).digest()
    return Leaf(kind, arrival.stream, arrival.sequence, arrival.subject, attributes, duplicate_of, digest)
