"""Facts about rectification cases. Stream ``CASES``, producer rectify. Never public.

All facts of a case are on one subject, which carries the optimistic lock (ADR 0037); each event holds the
whole resulting state. No field may carry an identity: texts are sealed under the case's own key, which is
kept elsewhere and can be destroyed.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, Instant, UnitIdField

ClockField = Literal["contact", "classify", "solve", "confirm", "review", "pause", "inquiry"]
StatusField = Literal[
    "opened", "classified", "assigned", "planned", "in_progress", "answered", "confirmed", "closed",
    "explained", "annulled",
]  # fmt: skip
ClassField = Literal["A", "B", "C"]
Percent = Annotated[int, Field(ge=1, le=100)]
Post = Annotated[str, Field(min_length=1, max_length=64)]
"""A post or an account, never a person's name."""


class SealedCaseText(EventData):
    """A text of a case: AES-256-GCM under the case's own key, kept outside of the streams."""

    nonce: Annotated[str, Field(description="96-bit nonce, base64.", max_length=24)]
    ciphertext: Annotated[
        str, Field(description="Ciphertext with its 128-bit tag, base64.", max_length=65536)
    ]


class CaseParty(EventData):
    """Who answers for a case."""

    unit_id: Annotated[UnitIdField, Field(description="Unit that answers for it.")]
    handler: Annotated[Post, Field(description="Post or account in it, never a name.")]


class CasePlan(EventData):
    """The six elements of a plan (六要素)."""

    goal: Annotated[SealedCaseText, Field(description="Goal 目标.")]
    measures: Annotated[SealedCaseText, Field(description="Measures 措施.")]
    deadline: Annotated[Instant, Field(description="Deadline 时限 that the unit has set itself.")]
    responsible_unit: Annotated[UnitIdField, Field(description="Responsible unit 责任单位.")]
    responsible_leader: Annotated[Post, Field(description="Post of the leader 责任领导.")]
    responsible_person: Annotated[Post, Field(description="Post or account of the person 责任人.")]


class CaseAnswer(EventData):
    """What the citizen is told."""

    outcome: Annotated[
        Literal["resolved", "unfounded", "explained"], Field(description="What became of the matter.")
    ]
    text: Annotated[SealedCaseText, Field(description="The answer itself.")]
    at: Annotated[Instant, Field(description="When it was given.")]
    on_time: Annotated[bool, Field(description="Whether it was within the deadline.")]


class CaseMark(EventData):
    """A moment at which so much of a clock's time will be used up."""

    percent: Annotated[Percent, Field(description="Per cent of the time.")]
    at: Annotated[Instant, Field(description="When that will be.")]


class CaseClock(EventData):
    """One clock of a case."""

    name: Annotated[ClockField, Field(description="What has to happen in time.")]
    round: Annotated[int, Field(description="Grows when it is set anew or given more time.", ge=1)]
    started_at: Annotated[Instant, Field(description="From when it counts.")]
    budget_min: Annotated[float, Field(description="Minutes of working time that it has.", ge=0)]
    used_min: Annotated[float, Field(description="Minutes used before running_since.", ge=0)]
    running_since: Annotated[Instant | None, Field(description="Since when it runs; null: not.")] = None
    stopped_at: Annotated[Instant | None, Field(description="When what it waited for happened.")] = None
    marks: Annotated[tuple[CaseMark, ...], Field(description="Its reminders, ascending.")] = ()
    reached: Annotated[tuple[Percent, ...], Field(description="Reminders that were announced.")] = ()


class CaseCommandMark(EventData):
    """A command that was carried out, so that its repeat is known."""

    key: Annotated[str, Field(description="Hash of the Idempotency-Key.", pattern="^[0-9a-f]{32}$")]
    digest: Annotated[str, Field(description="Hash of what was asked.", pattern="^[0-9a-f]{32}$")]


class CaseRecord(EventData):
    """The whole state of a case after an event."""

    origin: Annotated[
        Literal["rating", "complaint", "inspection", "incident", "manual"],
        Field(description="Why it was opened."),
    ]
    ref: Annotated[str, Field(description="Id of what opened it.", min_length=1, max_length=64)]
    kind: Annotated[str | None, Field(description="Kind of the window; null for a bureau.")] = None
    opened_at: Annotated[Instant, Field(description="When it was opened.")]
    has_text: Annotated[bool, Field(description="Whether the citizen wrote something.")]
    has_contact: Annotated[bool, Field(description="Whether the citizen can be called back.")]
    status: Annotated[StatusField, Field(description="Where it stands.")]
    version: Annotated[int, Field(description="Number of this event of the case, from 1.", ge=1)]
    case_class: Annotated[ClassField | None, Field(description="A, B or C, once classified.")] = None
    responsible: Annotated[CaseParty | None, Field(description="Who answers for it.")] = None
    pending_transfer: Annotated[CaseParty | None, Field(description="Who is asked to take it over.")] = None
    transfer_by: Annotated[
        str | None, Field(description="Role or credential that proposed the pending transfer.", max_length=64)
    ] = None
    contacted_at: Annotated[Instant | None, Field(description="When the citizen was first spoken to.")] = None
    plan: Annotated[CasePlan | None, Field(description="The plan in force.")] = None
    reports: Annotated[int, Field(description="Reports of progress so far.", ge=0)] = 0
    extended_wd: Annotated[int, Field(description="Working days of the extension; 0: none.", ge=0)] = 0
    paused_since: Annotated[Instant | None, Field(description="Since when it waits for the citizen.")] = None
    answer: Annotated[CaseAnswer | None, Field(description="The answer in force.")] = None
    first_answered_at: Annotated[Instant | None, Field(description="When it was answered first.")] = None
    confirmed_by: Annotated[
        Literal["citizen", "silence", "supervisor"] | None, Field(description="Whose word stands for it.")
    ] = None
    closed_at: Annotated[Instant | None, Field(description="When it was filed.")] = None
    reopened: Annotated[int, Field(description="How often the answer was refused.", ge=0)] = 0
    overdue: Annotated[bool, Field(description="Whether a deadline was ever missed.")] = False
    overdue_since: Annotated[
        Instant | None,
        Field(description="The first deadline missed since it was opened, or opened again; null: none."),
    ] = None
    spot_checks: Annotated[int, Field(description="How often it was looked back at.", ge=0)] = 0
    failed_checks: Annotated[int, Field(description="Of these, with a finding.", ge=0)] = 0
    reviews: Annotated[int, Field(description="How often class C was reviewed.", ge=0)] = 0
    inquiries: Annotated[int, Field(description="How often the level above asked a question.", ge=0)] = 0
    annulled_from: Annotated[StatusField | None, Field(description="Where it stood before.")] = None
    annulment: Annotated[
        Literal["withdrawn", "excluded", "corrected", "mistaken", "repeated", "refuted"] | None,
        Field(description="Why it is none."),
    ] = None
    rating_revision: Annotated[
        int, Field(description="Revision of the rating, or of the finding, it reflects.", ge=0)
    ] = 0
    clocks: Annotated[tuple[CaseClock, ...], Field(description="Its clocks, one of each name.")] = ()
    commands: Annotated[
        tuple[CaseCommandMark, ...], Field(description="The last commands that had a key.")
    ] = ()


class CaseChanged(EventData):
    """What all facts about a case have in common: whom it concerns, who acted, and the state after it."""

    case_id: Annotated[EventIdField, Field(description="Id of the case.")]
    unit_id: Annotated[UnitIdField, Field(description="Unit that the case is about.")]
    city: Annotated[CityCode, Field(description="Prefecture of the opening, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the opening, or 'all'.")]
    by: Annotated[
        str,
        Field(
            description="Role or credential that acted; 'citizen' or 'system'; never a person's name.",
            min_length=1,
            max_length=64,
        ),
    ]
    note: Annotated[
        SealedCaseText | None, Field(description="Reason, report or finding that came with it, sealed.")
    ] = None
    case: Annotated[CaseRecord, Field(description="The state after this event.")]


class CaseOpened(CaseChanged):
    """A case was opened: a bad review with a text or a contact, a complaint, a finding, or by hand."""


class CaseClassified(CaseChanged):
    """The case has a class, A, B or C, and with it a deadline."""


class CaseAssigned(CaseChanged):
    """Somebody answers for the case from now on."""


class CaseTransferProposed(CaseChanged):
    """Another party is asked to take the case over; the first handler stays responsible."""


class CaseTransferAccepted(CaseChanged):
    """The other party has taken the case over."""


class CaseTransferRefused(CaseChanged):
    """The other party does not take the case over; the reason is on file."""


class CaseContacted(CaseChanged):
    """The citizen was spoken to for the first time."""


class CasePlanned(CaseChanged):
    """There is a plan with all its six elements."""


class CaseProgressReported(CaseChanged):
    """How the work goes was reported."""


class CaseExtended(CaseChanged):
    """The deadline was extended, which happens once at most."""

    working_days: Annotated[int, Field(description="Working days that were added.", ge=1)]


class CasePaused(CaseChanged):
    """Clocks stand still while somebody waits for the citizen, all but `pause`, which bounds the wait."""


class CaseResumed(CaseChanged):
    """The citizen has replied; clocks go on."""


class CaseAnswered(CaseChanged):
    """The citizen was told what became of the matter."""


class CaseConfirmed(CaseChanged):
    """The answer stands: the citizen's word, or what takes its place."""


class CaseAnswerRefused(CaseChanged):
    """The citizen does not accept the answer; the case is open again."""


class CaseClosed(CaseChanged):
    """The case was filed with its outcome and its answer."""


class CaseReviewed(CaseChanged):
    """A class C case was looked at again."""


class CaseSpotChecked(CaseChanged):
    """A settled case was looked back at; one that did not pass is open again."""

    passed: Annotated[bool, Field(description="Whether what was done has lasted.")]


class CaseInquired(CaseChanged):
    """The level above asks the unit a question about the case 质询, with a time to reply; it is the note."""


class CaseInquiryAnswered(CaseChanged):
    """The unit replied to that question; the reply is the note."""


class CaseAnnulled(CaseChanged):
    """What the case rested on is gone; whatever rested on the case goes with it."""

    reason: Annotated[
        Literal["withdrawn", "excluded", "corrected", "mistaken", "repeated", "refuted"],
        Field(description="Why."),
    ]


class CaseRevived(CaseChanged):
    """What the case rested on counts again; it stands where it stood."""


class CaseClockReached(CaseChanged):
    """A clock of the case has used up so many per cent of its time. At the end of `pause` it goes on."""

    clock: Annotated[ClockField, Field(description="Which clock.")]
    percent: Annotated[Percent, Field(description="Per cent of its time that is used up.")]
    due_at: Annotated[Instant, Field(description="When that was.")]


class CaseRescheduled(CaseChanged):
    """The calendar changed, and with it the moments of the case's clocks."""
