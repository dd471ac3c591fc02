"""What the rules look at: the part of an event that may lead to an alert, nothing about a citizen in it."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Final

from shared.kernel.grades import Grade


class Band(IntEnum):
    """Where a unit stands against the line for 'excellent', rising."""

    BELOW = 1
    UNDECIDED = 2
    EXCELLENT = 3

    @property
    def label(self) -> str:
        """The Chinese term."""
        return _BAND_LABELS[self]


_BAND_LABELS: Final = {Band.BELOW: "低于优秀线", Band.UNDECIDED: "待定", Band.EXCELLENT: "优秀"}


@dataclass(frozen=True, slots=True)
class Cause:
    """The event behind a fact and the place that it concerns.

    Attributes:
        event_id: id of the event; the alert's id derives from it.
        known_at: when the platform received the event, aware; age and latency count from here.
        unit_id: opaque id of the unit.
        unit_name: its Chinese name, or the id of a unit that the registry does not know.
        city: subject token, ``all`` for the province.
        county: subject token, ``all`` above county level.
    """

    event_id: str
    known_at: datetime
    unit_id: str
    unit_name: str
    city: str
    county: str


@dataclass(frozen=True, slots=True)
class Review:
    """One rating. Neither time, channel nor text: with few ratings they would point at a person."""

    cause: Cause
    grade: Grade


@dataclass(frozen=True, slots=True)
class ScoreMove:
    """A unit's new place in a list beside the last one announced; None where there was or is none.

    Attributes:
        ranking: name of the list, ``<level>.<kind or all>.<window days>``.
        window_days: length of the rolling window that the list covers.
        day: business day that the list ends with.
        day_start_rank: rank when that day began; None where scoring does not say.
        score: new score on the scale 0-100.
        ratings: plain count behind it.
    """

    cause: Cause
    ranking: str
    window_days: int
    rank: int | None
    previous_rank: int | None
    day: date
    day_start_rank: int | None
    score: float | None
    band: Band | None
    previous_band: Band | None
    ratings: int | None


@dataclass(frozen=True, slots=True)
class Divergence:
    """A stream and the archive hold different things, or agree again. About the platform, not about a unit.

    Attributes:
        event_id: id of the event; the alert's id derives from it.
        known_at: when the archive found it, aware.
        kind: what differs, in the event's words.
        raised: False: both agree again.
        first: lowest sequence concerned.
        last: highest sequence concerned.
        sequences: how many are known to be concerned.
    """

    event_id: str
    known_at: datetime
    stream: str
    kind: str
    raised: bool
    first: int
    last: int
    sequences: int
