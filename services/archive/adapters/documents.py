"""Entries as MongoDB documents and back."""

from typing import Any

from services.archive.domain.entries import LAYOUT, Attributes, Entry, Kind, Leaf, Stored, place_of, region_of
from shared.kernel.errors import InvalidValueError

Document = dict[str, Any]


def to_document(entry: Entry) -> Document:
    """The document of ``entry``: absent values are left out, hashes are 32 bytes of binary."""
    leaf = entry.leaf
    document: Document = {
        "_id": entry.index,
        "v": LAYOUT,
        "kind": leaf.kind.value,
        "stream": leaf.stream,
        "sequence": leaf.sequence,
        "subject": leaf.subject,
    }
    city, county = place_of(leaf.subject)
    if city is not None:
        document["city"] = city
        document["county"] = county
    region = region_of(leaf.subject)
    if region is not None:
        document["region"] = region
    if leaf.attributes is not None:
        _add_attributes(document, leaf.attributes)
    if leaf.duplicate_of is not None:
        document["duplicate_of"] = leaf.duplicate_of
    if entry.envelope is not None:
        document["envelope"] = entry.envelope
    document["data_hash"] = leaf.data_hash
    document["leaf_hash"] = entry.leaf_hash
    return document


def _add_attributes(document: Document, attributes: Attributes) -> None:
    document["event_id"] = attributes.event_id
    document["type"] = attributes.type
    document["source"] = attributes.source
    document["time"] = attributes.time
    document["received_at"] = attributes.received_at
    document["correlation_id"] = attributes.correlation_id
    document["synthetic"] = attributes.synthetic
    if attributes.causation_id is not None:
        document["causation_id"] = attributes.causation_id
    if attributes.unit_id is not None:
        document["unit_id"] = attributes.unit_id
    if attributes.channel is not None:
        document["channel"] = attributes.channel
    if attributes.actor is not None:
        document["actor"] = attributes.actor
    if attributes.case_id is not None:
        document["case_id"] = attributes.case_id


def from_document(document: Document) -> Entry:
    """The entry in ``document``.

    Raises:
        KeyError: a field is missing.
        ValueError: an unknown kind, or another layout than :data:`LAYOUT`.
    """
    require_layout(document)
    kind = Kind(document["kind"])
    attributes = None
    if kind is not Kind.UNPARSEABLE:
        attributes = Attributes(
            document["event_id"],
            document["type"],
            document["source"],
            document["time"],
            document["received_at"],
            document["correlation_id"],
            document.get("causation_id"),
            document.get("unit_id"),
            document.get("channel"),
            document["synthetic"],
            document.get("actor"),
            document.get("case_id"),
        )
    leaf = Leaf(
        kind,
        document["stream"],
        document["sequence"],
        document["subject"],
        attributes,
        document.get("duplicate_of"),
        document["data_hash"],
    )
    return Entry(document["_id"], leaf, document.get("envelope"), document["leaf_hash"])


def require_layout(document: Document) -> None:
    """Make sure that ``document`` is laid out as this version writes it.

    Raises:
        InvalidValueError: another layout.
    """
    if document.get("v") != LAYOUT:
        raise InvalidValueError(
            document.get("v"),
            f"an entry of layout {LAYOUT}",
            "archive into an empty database (MONGODB_DATABASE); layout 1 was never released and is not read",
            field="v",
        )


def examine(document: Document) -> Stored:
    """Read ``document`` for verification: whatever somebody made of it, the answer is a value."""
    index = document["_id"]
    try:
        entry = from_document(document)
        again = to_document(entry)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return Stored(index, None, f"an unreadable document ({type(error).__name__}: {error})")
    if again == document:
        return Stored(index, entry)
    names = sorted(name for name in again.keys() | document.keys() if again.get(name) != document.get(name))
    return Stored(index, entry, f"fields {', '.join(names)} that do not follow from the others")
