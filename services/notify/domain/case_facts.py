"""What the rules on cases look at: where a case stands, and which of its clocks has come how far."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.notify.domain.facts import Cause

CONTACT: Final = "contact"
CLASSIFY: Final = "classify"
SOLVE: Final = "solve"
CONFIRM: Final = "confirm"
REVIEW: Final = "review"
PAUSE: Final = "pause"
INQUIRY: Final = "inquiry"
BY_CITIZENS: Final = frozenset({"rating", "complaint"})
"""Origins of cases that have a citizen behind them."""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """A reminder that was announced.

    Attributes:
        name: the clock, in the event's words.
        percent: of its time that is used up.
        due_at: when that was, aware.
        overtaken: whether a later reminder of the same clock was due as well by then, after an outage.
    """

    name: str
    percent: int
    due_at: datetime
    overtaken: bool


@dataclass(frozen=True, slots=True)
class CaseFact:
    """One fact about a case. No text: those are sealed, and citizens write them.

    Attributes:
        cause: the event; its unit is the one that has to do something now, with that unit's place.
        fact: what happened, as in the event's type: ``clock-reached``.
        case_id: id of the case.
        about: name of the unit that the case is about.
        handler: post or account that answers for it, or is asked to; None before it is assigned.
        origin: why it was opened, in the event's words.
        status: where it stands, in the event's words.
        case_class: A, B or C, once classified.
        refused: how often its answer was refused, or did not last.
        due_at: when an answer is due; None while no such clock runs.
        clock: for ``clock-reached``.
        passed: for ``spot-checked``.
    """

    cause: Cause
    fact: str
    case_id: str
    about: str
    handler: str | None
    origin: str
    status: str
    case_class: str | None
    refused: int
    due_at: datetime | None
    clock: ClockMark | None = None
    passed: bool | None = None

    @property
    def has_citizen(self) -> bool:
        """Whether somebody holds a receipt."""
        return self.origin in BY_CITIZENS
