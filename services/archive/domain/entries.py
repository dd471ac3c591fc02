"""What the log consists of: entries, each one leaf for one sequence of one archived stream."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

LAYOUT: Final = 2
"""Version of the leaf and the stored document that is written; a change of either is a new number (ADR 0018).

Older ones are read as they are: docs/operations.md, 'A new layout of the log'.
"""

LOG_ORIGIN: Final = "pingyi.archive/360000"
"""Name of the log in its checkpoints, unless the settings give it another."""

SUBJECT_PLACE_TOKENS: Final = 5
SUBJECTS_KNOWN: Final = 4096
"""Subjects whose place is remembered: a few facts in a hundred counties come again and again."""
WHOLE: Final = "all"
"""In a subject: the whole city, the whole province."""


class Kind(StrEnum):
    """What a sequence turned out to be."""

    EVENT = "event"
    DUPLICATE = "duplicate_of"
    """An event whose id was archived before; the broker's window of memory is finite."""
    UNPARSEABLE = "unparseable"
    """Not an event; only the hash of its bytes is kept, since a malformed body may hold an identity."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the archive needs to know of an event, taken from its envelope.

    Attributes:
        source: who published it, ``/pingyi/<service>``.
        time: when the fact happened; aware.
        received_at: when the platform learned of it; aware.
        unit_id: the unit that it is about, where the data names one.
        channel: the channel that it came through, where the data names one.
        actor: the account, post or role that did it, where the data names one; never a citizen.
        case_id: the case that it is about, where the data names one.
        synthetic: a probe or drill, never counted.
    """

    event_id: str
    type: str
    source: str
    time: datetime
    received_at: datetime
    correlation_id: str
    causation_id: str | None
    unit_id: str | None
    channel: str | None
    synthetic: bool
    actor: str | None = None
    case_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of a stream before it has a place in the log; no ``attributes`` if it is no event."""

    stream: str
    sequence: int
    subject: str
    data: bytes
    attributes: Attributes | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is hashed: where a message stood, what it was, and the SHA-256 of its exact bytes.

    Attributes:
        attributes: None exactly if the kind is unparseable.
        duplicate_of: index of the entry with the same event id, for that kind.
        data_hash: SHA-256 of the message's body, 32 bytes.
        v: layout that it was written in, whose rules make its bytes and its document.
    """

    kind: Kind
    stream: str
    sequence: int
    subject: str
    attributes: Attributes | None
    duplicate_of: int | None
    data_hash: bytes
    v: int = LAYOUT

    @property
    def region(self) -> str | None:
        """See :func:`region_of`."""
        return region_of(self.subject)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log, as stored.

    Attributes:
        index: 0, 1, 2 … without holes.
        envelope: the message's exact bytes; None for an unparseable one.
        leaf_hash: see :func:`services.archive.domain.leaves.leaf_hash`.
    """

    index: int
    leaf: Leaf
    envelope: bytes | None
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds at one index, for verification.

    Attributes:
        entry: None if it can't be read as an entry.
        problem: what is wrong with its form: fields that are missing, of another type, or not derived from
            the others as they should be; None if nothing is.
    """

    index: int
    entry: Entry | None
    problem: str | None = None


@lru_cache(SUBJECTS_KNOWN)
def place_of(subject: str) -> tuple[str | None, str | None]:
    """City and county of a NATS subject ``<context>.v<major>.<fact>.<city>.<county>…``, else None twice."""
    tokens = subject.split(".", SUBJECT_PLACE_TOKENS)
    if len(tokens) < SUBJECT_PLACE_TOKENS:
        return None, None
    return tokens[3], tokens[4]


@lru_cache(SUBJECTS_KNOWN)
def region_of(subject: str) -> str | None:
    """The most specific place in a subject: its county, else its city, else None."""
    city, county = place_of(subject)
    if county is not None and county != WHOLE:
        return county
    return city if city != WHOLE else None
