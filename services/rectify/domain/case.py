"""A case 整改件 as a value: what is known after its last event. Without personal data: texts are sealed."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.rectify.domain.clocks import Clock, ClockName

MARKS_KEPT: Final = 32
"""Commands that a case remembers by their keys: a retry comes within minutes, not after so many others."""


class Origin(StrEnum):
    """Why a case was opened."""

    RATING = "rating"
    """A bad review with a text or a contact 差评."""
    COMPLAINT = "complaint"
    """A verified complaint 查实投诉."""
    INSPECTION = "inspection"
    """A finding of a spot check 抽查发现."""
    INCIDENT = "incident"
    """A verified incident that citizens wait for an answer to 群体上访、失信承诺."""
    MANUAL = "manual"
    """By hand 人工立案."""


class Status(StrEnum):
    """Where a case stands."""

    OPENED = "opened"
    CLASSIFIED = "classified"
    ASSIGNED = "assigned"
    PLANNED = "planned"
    IN_PROGRESS = "in_progress"
    ANSWERED = "answered"
    CONFIRMED = "confirmed"
    CLOSED = "closed"
    EXPLAINED = "explained"
    ANNULLED = "annulled"

    @property
    def label(self) -> str:
        """The Chinese term."""
        return _STATUS_LABELS[self]


_STATUS_LABELS: Final = {
    Status.OPENED: "已立案",
    Status.CLASSIFIED: "已分类",
    Status.ASSIGNED: "已交办",
    Status.PLANNED: "已制定方案",
    Status.IN_PROGRESS: "整改中",
    Status.ANSWERED: "已答复",
    Status.CONFIRMED: "群众已确认",
    Status.CLOSED: "已办结",
    Status.EXPLAINED: "已解释说明",
    Status.ANNULLED: "已撤销",
}


class CaseClass(StrEnum):
    """How a case can be solved."""

    A = "A"
    """Prominent and soon solvable 突出且能马上解决."""
    B = "B"
    """Complex, wide 情况复杂、涉及面广."""
    C = "C"
    """Not solvable now for objective reasons 因客观原因暂时不能解决."""


class Outcome(StrEnum):
    """What became of the matter 着落."""

    RESOLVED = "resolved"
    """Put right 已整改."""
    UNFOUNDED = "unfounded"
    """Looked into, and not so 查无实据."""
    EXPLAINED = "explained"
    """Can't be solved now; explained 解释说明."""


class ConfirmedBy(StrEnum):
    """Whose word, or silence, stands for the citizen's."""

    CITIZEN = "citizen"
    SILENCE = "silence"
    """The citizen said nothing until the time was up 逾期未反馈."""
    SUPERVISOR = "supervisor"
    """There is no citizen: a spot check, a case by hand 上级核验."""


class AnnulmentReason(StrEnum):
    """Why a case is none."""

    WITHDRAWN = "withdrawn"
    EXCLUDED = "excluded"
    CORRECTED = "corrected"
    MISTAKEN = "mistaken"
    """Opened by mistake, by hand 误立案."""
    REPEATED = "repeated"
    """Another case is about the same 重复立案."""
    REFUTED = "refuted"
    """The finding that it rested on was looked into, and is none 查否."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text that can be erased: nonce and ciphertext, base64; the key is the case's, kept elsewhere."""

    nonce: str
    ciphertext: str


@dataclass(frozen=True, slots=True)
class Party:
    """Who answers for a case: a unit and a post or account in it, never a person's name."""

    unit_id: str
    handler: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with all six elements 六要素."""

    goal: Sealed
    measures: Sealed
    deadline: datetime
    responsible_unit: str
    responsible_leader: str
    responsible_person: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the citizen is told."""

    outcome: Outcome
    text: Sealed
    at: datetime
    on_time: bool


@dataclass(frozen=True, slots=True)
class CommandMark:
    """A command that was carried out: its key and its content, both as hashes."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Case:
    """The state of a case.

    Attributes:
        case_id: derived from what opened it.
        origin: why it was opened.
        ref: id of what opened it: a rating, an inspection, or its own for one by hand.
        unit_id: whom it is about.
        kind: kind of the window, None for a bureau; picks the calendar.
        city: place of the opening, which is in the subject for good.
        county: likewise.
        has_text: whether the citizen wrote something, which intake keeps sealed.
        has_contact: whether the citizen can be called back.
        version: number of its last event, from 1.
        pending_transfer: whom it is to be handed to; until they accept, `responsible` stays.
        transfer_by: account that proposed that.
        extended_wd: working days of the one extension; 0: none yet.
        paused_since: while waiting for the citizen.
        reopened: how often the citizen or a spot check refused the answer.
        overdue: whether any clock of the unit's was ever used up.
        overdue_since: when the first one was that was since the case was opened, or opened again; None: none.
        spot_checks: how often it was looked back at 回头看.
        failed_checks: of these, with a finding.
        reviews: how often a class C case was looked at again.
        inquiries: how often the level above asked a question 质询; one that waits has a running clock.
        annulled_from: where it stood before its annulment; it goes back there if that is undone.
        rating_revision: highest revision of the rating that was taken into account.
        commands: the last ones with a key, newest last.
    """

    case_id: str
    origin: Origin
    ref: str
    unit_id: str
    kind: str | None
    city: str
    county: str
    opened_at: datetime
    has_text: bool
    has_contact: bool
    status: Status = Status.OPENED
    version: int = 1
    case_class: CaseClass | None = None
    responsible: Party | None = None
    pending_transfer: Party | None = None
    transfer_by: str | None = None
    contacted_at: datetime | None = None
    plan: Plan | None = None
    reports: int = 0
    extended_wd: int = 0
    paused_since: datetime | None = None
    answer: Answer | None = None
    first_answered_at: datetime | None = None
    confirmed_by: ConfirmedBy | None = None
    closed_at: datetime | None = None
    reopened: int = 0
    overdue: bool = False
    overdue_since: datetime | None = None
    spot_checks: int = 0
    failed_checks: int = 0
    reviews: int = 0
    inquiries: int = 0
    annulled_from: Status | None = None
    annulment: AnnulmentReason | None = None
    rating_revision: int = 0
    clocks: tuple[Clock, ...] = ()
    commands: tuple[CommandMark, ...] = field(default=())

    def clock(self, name: ClockName) -> Clock | None:
        """The clock of that name, in its last round."""
        return next((clock for clock in self.clocks if clock.name is name), None)

    @property
    def has_citizen(self) -> bool:
        """Whether somebody holds a receipt for what opened it."""
        return self.origin in {Origin.RATING, Origin.COMPLAINT}

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done now."""
        return self.status in SETTLED


SETTLED: Final = frozenset({Status.CLOSED, Status.EXPLAINED, Status.ANNULLED})
AT_WORK: Final = frozenset({Status.ASSIGNED, Status.PLANNED, Status.IN_PROGRESS})
