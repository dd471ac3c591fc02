"""Entries as MongoDB documents and back."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from services.archive.domain.entries import Attributes, Entry, Kind, Leaf, Stored, place_of, region_of
from shared.kernel.errors import InvalidValueError

Document = dict[str, Any]


def to_document(entry: Entry) -> Document:
    """The document of ``entry``, in the layout of its leaf.

    Raises:
        KeyError: a layout that this version does not know.
    """
    return _FORMS[entry.leaf.v].write(entry)


def from_document(document: Document) -> Entry:
    """The entry in ``document``, whatever layout it was written in.

    Raises:
        KeyError: a field is missing.
        ValueError: an unknown kind, or a layout that this version does not know.
    """
    require_layout(document)
    return _FORMS[document["v"]].read(document)


def _write_2(entry: Entry) -> Document:
    """Absent values are left out, hashes are 32 bytes of binary."""
    leaf = entry.leaf
    document: Document = {
        "_id": entry.index,
        "v": 2,
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


def _read_2(document: Document) -> Entry:
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
        2,
    )
    return Entry(document["_id"], leaf, document.get("envelope"), document["leaf_hash"])


class Form(NamedTuple):
    """How entries of one layout are stored, and read back."""

    write: Callable[[Entry], Document]
    read: Callable[[Document], Entry]


_FORMS: Final[dict[int, Form]] = {2: Form(_write_2, _read_2)}
"""By layout. Nothing is ever taken out: the log keeps its documents as they were written."""

READABLE: Final = tuple(sorted(_FORMS))
"""Layouts that the database takes."""


def require_layout(document: Document) -> None:
    """Make sure that this version reads the layout of ``document``.

    Raises:
        InvalidValueError: it does not, as after an upgrade that was taken back.
    """
    if document.get("v") not in _FORMS:
        raise InvalidValueError(
            document.get("v"),
            f"an entry of layout {' or '.join(map(str, _FORMS))}",
            "run a version that knows it; layout 1 was never released and is not read",
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
