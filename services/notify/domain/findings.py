"""What the rules look at beside single ratings and moves: flags, dead letters, and what counting found."""

from dataclasses import dataclass
from datetime import datetime

from services.notify.domain.facts import Cause


@dataclass(frozen=True, slots=True)
class Flag:
    """Scoring flagged a unit's ratings as made up, or took the flag down.

    Attributes:
        signal: what was looked at, in the event's words.
        raised: False: taken down.
        statistic: the number that was compared.
        threshold: the rule pack's line that it was compared with.
        probability: chance of such a number without any cause, where the signal says so.
        window_days: days that were looked at.
    """

    cause: Cause
    signal: str
    raised: bool
    statistic: float
    threshold: float
    probability: float | None
    window_days: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A consumer gave up on a message. About the platform, not about a unit."""

    event_id: str
    known_at: datetime
    service: str
    consumer: str
    stream: str
    sequence: int
    error: str


@dataclass(frozen=True, slots=True)
class EndpointOff:
    """A receiver of alerts answered 410; `alert_id` is the alert that it was sent. About the platform."""

    event_id: str
    known_at: datetime
    endpoint: str
    alert_id: str


@dataclass(frozen=True, slots=True)
class Surge:
    """Bad reviews of one kind of window or of one issue in one county of late, beside what is usual.

    Attributes:
        county: subject token.
        city: subject token.
        kind: kind of window; empty where an issue is counted over all kinds.
        count: bad reviews, or sub-grades, in the window.
        usual: bad reviews that so many hours usually bring, from the days before.
        probability: chance of `count` or more without any cause.
        days: days of history that `usual` rests on.
        evidence: ids of the latest ratings, the newest first.
        known_at: when the platform received the newest one.
        issue: the dimension that was found bad; empty where all bad reviews of a kind are counted.
    """

    city: str
    county: str
    kind: str
    count: int
    usual: float
    probability: float
    days: int
    evidence: tuple[str, ...]
    known_at: datetime
    issue: str = ""


@dataclass(frozen=True, slots=True)
class HeldShare:
    """How many of a unit's ratings of the last hours are held; `evidence` are the latest holds."""

    unit_id: str
    city: str
    county: str
    held: int
    ratings: int
    evidence: tuple[str, ...]
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Staleness:
    """Ratings that no published ranking contains although they are not new.

    Attributes:
        position: last sequence of FEEDBACK that the newest ranking contains.
        waiting: ratings behind it that are older than the rule pack's minutes.
        oldest: when the platform received the first of them.
        last_sequence: the last one of them.
    """

    position: int
    waiting: int
    oldest: datetime
    last_sequence: int
