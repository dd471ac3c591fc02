"""What can be asked of a case. Texts come sealed; what is missing is for the machine to say."""

from dataclasses import dataclass
from datetime import datetime

from services.rectify.domain.case import (
    AnnulmentReason,
    CaseClass,
    ConfirmedBy,
    Outcome,
    Party,
    Sealed,
)
from services.rectify.domain.clocks import ClockName


@dataclass(frozen=True, slots=True)
class Contact:
    """The citizen was spoken to 首次联系."""


@dataclass(frozen=True, slots=True)
class Classify:
    """Give the case its class; or another one, with a reason."""

    case_class: CaseClass
    reason: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Hand it to who answers for it."""

    to: Party


@dataclass(frozen=True, slots=True)
class ProposeTransfer:
    """Ask another party to take it over; `by` is the account that asks."""

    to: Party
    reason: Sealed | None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptTransfer:
    """The other party takes it over."""


@dataclass(frozen=True, slots=True)
class RefuseTransfer:
    """The other party does not, and files why 否决报备."""

    reason: Sealed | None


@dataclass(frozen=True, slots=True)
class MakePlan:
    """State the six elements; None: not given."""

    goal: Sealed | None
    measures: Sealed | None
    deadline: datetime | None
    responsible_unit: str | None
    responsible_leader: str | None
    responsible_person: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """Tell how it goes."""

    text: Sealed | None


@dataclass(frozen=True, slots=True)
class Extend:
    """Ask for more time, once."""

    working_days: int
    reason: Sealed | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for the citizen; clocks stand still."""

    reason: Sealed | None


@dataclass(frozen=True, slots=True)
class Resume:
    """The citizen has replied."""


@dataclass(frozen=True, slots=True)
class GiveAnswer:
    """Tell the citizen what became of it."""

    outcome: Outcome | None
    text: Sealed | None


@dataclass(frozen=True, slots=True)
class Confirm:
    """The answer stands: the citizen's word, silence, or a supervisor's where there is no citizen."""

    by: ConfirmedBy


@dataclass(frozen=True, slots=True)
class RefuseAnswer:
    """The citizen does not accept the answer."""

    reason: Sealed | None


@dataclass(frozen=True, slots=True)
class Close:
    """File it."""


@dataclass(frozen=True, slots=True)
class Review:
    """Look again at a class C case; with a class A or B it can be solved now."""

    now_class: CaseClass
    finding: Sealed | None


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """Look back at a settled case 回头看; one that did not pass is reopened."""

    passed: bool
    finding: Sealed | None


@dataclass(frozen=True, slots=True)
class Inquire:
    """The level above asks the unit a question 质询."""

    question: Sealed | None


@dataclass(frozen=True, slots=True)
class Respond:
    """The unit replies to it."""

    text: Sealed | None


@dataclass(frozen=True, slots=True)
class Annul:
    """What it rested on is gone. `rating_revision`: the revision that says so; 0 by hand."""

    reason: AnnulmentReason
    rating_revision: int = 0


@dataclass(frozen=True, slots=True)
class Revive:
    """What it rested on counts again."""

    rating_revision: int


@dataclass(frozen=True, slots=True)
class ReachMark:
    """A timer fired."""

    clock: ClockName
    round: int
    percent: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Reschedule:
    """The calendar changed: reckon the marks anew."""


Command = (
    Contact
    | Classify
    | Assign
    | ProposeTransfer
    | AcceptTransfer
    | RefuseTransfer
    | MakePlan
    | Report
    | Extend
    | Pause
    | Resume
    | GiveAnswer
    | Confirm
    | RefuseAnswer
    | Close
    | Review
    | SpotCheck
    | Inquire
    | Respond
    | Annul
    | Revive
    | ReachMark
    | Reschedule
)
