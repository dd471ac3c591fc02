"""The hashes of the log. Pure, and small enough for an auditor to write again in any language.

``leaf_hash = SHA-256(0x00 || leaf)`` as in RFC 6962, so that a Merkle tree can be built over the same leaves;
``chain_hash = SHA-256(0x02 || previous chain hash || leaf_hash)``. 0x01 is left to the tree's inner nodes.
"""

import json
from hashlib import sha256
from typing import Final

from services.archive.domain.entries import LAYOUT, Arrival, Attributes, Entry, Head, Kind, Leaf, place_of
from shared.kernel.clock import rfc3339

LEAF_PREFIX: Final = b"\x00"
CHAIN_PREFIX: Final = b"\x02"
GENESIS: Final = sha256(b"pingyi archive log v1").digest()
"""Chain hash before the first entry."""
EMPTY: Final = Head(-1, GENESIS)
HASH_BYTES: Final = 32

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def leaf_bytes(leaf: Leaf) -> bytes:
    """The canonical bytes of ``leaf``: JSON in UTF-8, keys sorted, no blanks, absent values left out.

    No archival time: the same stream gives the same leaves whenever it is archived.
    """
    city, county = place_of(leaf.subject)
    fields: dict[str, object] = {
        "v": LAYOUT,
        "kind": leaf.kind.value,
        "stream": leaf.stream,
        "sequence": leaf.sequence,
        "subject": leaf.subject,
        "data_hash": leaf.data_hash.hex(),
    }
    if city is not None:
        fields["city"] = city
        fields["county"] = county
    if leaf.duplicate_of is not None:
        fields["duplicate_of"] = leaf.duplicate_of
    if leaf.attributes is not None:
        _add_attributes(fields, leaf.attributes)
    return _encode(fields).encode()


def _add_attributes(fields: dict[str, object], attributes: Attributes) -> None:
    fields["event_id"] = attributes.event_id
    fields["type"] = attributes.type
    fields["source"] = attributes.source
    fields["time"] = rfc3339(attributes.time)
    fields["received_at"] = rfc3339(attributes.received_at)
    fields["synthetic"] = attributes.synthetic
    if attributes.channel is not None:
        fields["channel"] = attributes.channel


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
