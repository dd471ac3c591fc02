"""What the rules on the ends of closed lists look at."""

from dataclasses import dataclass
from datetime import datetime

from services.notify.domain.facts import Cause


@dataclass(frozen=True, slots=True)
class NominationFact:
    """One fact about a nomination.

    Attributes:
        cause: the event, the unit that is nominated, and its place.
        below: the same event, about the unit one level below whose word is next: its superior is asked.
            None where nobody is asked any more.
        fact: what happened, as in the event's type: ``unit-nominated`` …
        nomination_id: id of the nomination.
        list: the closed list.
        period: its quarter or year.
        rank: the unit's place in it.
        awaits: level whose word is next, in the event's words; None: nobody's.
        rests_on: ids of the events behind it.
    """

    cause: Cause
    below: Cause | None
    fact: str
    nomination_id: str
    list: str
    period: str
    rank: int
    awaits: str | None
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CandidateFact:
    """A unit was named among the last of a closed list.

    Attributes:
        ranked: units that have a rank in the list.
        score: its score there.
        interval_high: upper end of the score's 90 % interval.
        n: sum of weights, in ratings.
        proposable: whether the numbers carry a proposed talk.
    """

    cause: Cause
    candidate_id: str
    list: str
    period: str
    rank: int
    ranked: int
    score: float
    interval_high: float
    n: float
    proposable: bool
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuarterClosed:
    """The results of a quarter are final: in each of `places`, whoever is in charge checks it.

    Attributes:
        event_id: id of the event.
        known_at: when the platform received it, aware.
        quarter: ``2026Q3``.
        places: city, county and name of each region that checks what is below it.
    """

    event_id: str
    known_at: datetime
    quarter: str
    places: tuple[tuple[str, str, str], ...]
