"""What the statistics need to know of one rating, and of what was decided about it afterwards."""

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from shared.kernel.grades import Source

SOURCES: Final = tuple(Source)
"""The order that numbers the sources."""
PUBLIC: Final = SOURCES.index(Source.PUBLIC)
DIMENSION_COUNT: Final = 5


class Place(IntEnum):
    """Where a rating was given, as far as the integrity signals care."""

    WINDOW = 0
    """At the window, but not on its terminal."""
    TERMINAL = 1
    """On the window's terminal."""
    OFF_SITE = 2
    """Away from the window, out of its staff's sight."""


class Rating(NamedTuple):
    """The counted fields of one rating.

    A named tuple and not a dataclass: it is made for every event, and takes a third of the time.

    Attributes:
        event_id: the 16 bytes of the event's UUID; they sort like its text.
        unit: the unit's place in the registry.
        grade: 1-5.
        weight_milli: weight in thousandths by verification, before clusters.
        occurred_ms: when it happened, Unix milliseconds; decides the day.
        received_ms: when intake received it; decides lateness and replacement.
        repeat_key: 16 bytes that stand for the citizen and the transaction together; None if one is unknown.
            While intake changes its keys, 16 more for each earlier key that makes something else of them.
        synthetic: a probe or drill.
        source: place in `SOURCES`.
        place: a `Place`.
        fingerprints: 8 bytes of each keyed hash that clusters go by; empty where it is exempt.
        dimensions: the five sub-grades in the order of `Dimension`, 0 where not given; None without any.
        proven: rests on a verified transaction or a one-time token.
    """

    event_id: bytes
    unit: int
    grade: int
    weight_milli: int
    occurred_ms: int
    received_ms: int
    repeat_key: bytes | None
    synthetic: bool
    source: int = PUBLIC
    place: int = 0
    fingerprints: tuple[bytes, ...] = ()
    dimensions: bytes | None = None
    proven: bool = False


class State(IntEnum):
    """Where a rating stands."""

    COUNTED = 0
    HELD = 1
    """Quarantined: visible, not counted, until somebody decides."""
    EXCLUDED = 2
    """Taken out after review, or withdrawn by the citizen."""


class Revision(NamedTuple):
    """What one correcting event says about a rating.

    Attributes:
        number: 1, 2, … in the order of decision; the highest wins.
        state: where the rating stands from now on.
        submitted: its counted fields as they were submitted.
        standing: its counted fields from now on.
        event_id: id of the correcting event.
    """

    number: int
    state: State
    submitted: Rating
    standing: Rating
    event_id: str = ""


# Big-endian with receipt and event id in front: the records sort as bytes like (received_ms, event_id).
_FIXED: Final = Struct(">q16sIqBBBHB5s")
_FIXED_BYTES: Final = _FIXED.size
_COUNT_AT: Final = _FIXED_BYTES - DIMENSION_COUNT - 1
_FINGERPRINT: Final = 8
_CLUSTERED: Final = Struct(">24xIqxB")
_PRINTS: Final = tuple(Struct(f"{_FINGERPRINT}s" * count) for count in range(256))
_NO_DIMENSIONS: Final = bytes(DIMENSION_COUNT)
_PROVEN: Final = 0x80
"""Beside the place, in its byte: one more would cost sixteen, in a million objects."""


def pack(rating: Rating) -> bytes:
    """Write a rating that counts in about 60 bytes that sort like (received_ms, event_id).

    Its `repeat_key` is left out: it is what the record is found by.
    """
    event_id, unit, grade, weight, occurred, received, _, _, source, place, prints, dimensions, proven = (
        rating
    )
    fixed = _FIXED.pack(
        received,
        event_id,
        unit,
        occurred,
        grade,
        source,
        place | _PROVEN if proven else place,
        weight,
        len(prints),
        dimensions or _NO_DIMENSIONS,
    )
    return fixed + b"".join(prints) if prints else fixed


def unpack(record: bytes, repeat_key: bytes | None) -> Rating:
    """Read what `pack` wrote."""
    received, event_id, unit, occurred, grade, source, place, weight, count, dimensions = _FIXED.unpack_from(
        record
    )
    start = _FIXED_BYTES
    prints = tuple(
        record[at : at + _FINGERPRINT] for at in range(start, start + count * _FINGERPRINT, _FINGERPRINT)
    )
    given = None if dimensions == _NO_DIMENSIONS else dimensions
    return Rating(
        event_id, unit, grade, weight, occurred, received, repeat_key,
        synthetic=False, source=source, place=place & ~_PROVEN, fingerprints=prints, dimensions=given,
        proven=place >= _PROVEN,
    )  # fmt: skip


def fingerprints_of(record: bytes) -> tuple[int, int, int, tuple[bytes, ...]]:
    """Of a record the unit, when it happened (Unix milliseconds), the source and the fingerprints."""
    unit, occurred_ms, source = _CLUSTERED.unpack_from(record)
    return unit, occurred_ms, source, _PRINTS[record[_COUNT_AT]].unpack_from(record, _FIXED_BYTES)


def is_single(records: bytes) -> bool:
    """Whether there is one record only."""
    return len(records) == _FIXED_BYTES + _FINGERPRINT * records[_COUNT_AT]


def split_records(records: bytes) -> list[bytes]:
    """Part several records that were joined."""
    found: list[bytes] = []
    at = 0
    while at < len(records):
        end = at + _FIXED_BYTES + _FINGERPRINT * records[at + _COUNT_AT]
        found.append(records[at:end])
        at = end
    return found


def received_of(record: bytes) -> int:
    """The receipt of a record, Unix milliseconds."""
    return int.from_bytes(record[:8], "big", signed=True)


def event_id_of(record: bytes) -> bytes:
    """The event id of a record."""
    return record[8:24]
