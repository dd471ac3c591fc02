"""Facts about strikes, sanctions, vetoes, nominations and talks. Stream ``REGISTRY``, producer rectify.

Kept for good, never public. Each strike, sanction, nomination and candidate has a subject of its own, which
carries the optimistic lock (ADR 0041); each event of a sanction or a nomination holds the whole resulting
state. People appear as roles or credentials, reasons as codes of closed lists, papers as references: no field
may carry an identity or a free text. The rule pack that an event goes by is the envelope's ``rules``.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.approvals import CredentialField
from shared.events.base import (
    CityCode,
    CountyCode,
    DayField,
    EventData,
    EventIdField,
    Instant,
    Ordinal,
    UnitIdField,
)
from shared.events.ranking import ListHash, PeriodLabel, Points
from shared.events.supervision import EvidenceReference
from shared.kernel.grades import Level

LadderField = Literal["U", "C"]
GroundField = Literal["U", "C", "veto", "score"]
VetoKind = Literal[
    "liability_accident", "serious_violation", "crime", "group_petition", "broken_promise", "criticised"
]
StrikeBasis = Literal["overdue", "failed_check", "complaint"]
StrikeEnd = Literal["case_annulled", "unfounded", "sanction_rejected", "appeal_granted"]
SanctionStatus = Literal["proposed", "signed", "rejected", "appealed", "upheld", "overturned", "withdrawn"]
RejectionReason = Literal["facts_wrong", "not_responsible", "disproportionate", "dealt_with"]
AppealReason = Literal["facts_wrong", "not_responsible", "disproportionate", "procedure"]
WithdrawalCause = Literal["strike_fell_away", "finding_fell_away"]
NominationStatus = Literal["open", "confirmed", "withdrawn"]

RestsOn = Annotated[
    tuple[EventIdField, ...],
    Field(description="Ids of the events that it rests on, oldest first.", min_length=1, max_length=200),
]
Evidence = Annotated[tuple[EvidenceReference, ...], Field(description="Where papers are.", max_length=32)]
Count = Annotated[int, Field(ge=0)]
Rank = Annotated[int, Field(ge=1, description="Rank in the closed list; 1 is best.")]


class _AboutAUnit(EventData):
    unit_id: Annotated[UnitIdField, Field(description="Unit that it is about.")]
    city: Annotated[CityCode, Field(description="Prefecture of the unit, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the unit, or 'all'.")]


class _OfAStrike(_AboutAUnit):
    """What the facts of one strike have in common."""

    strike_id: Annotated[EventIdField, Field(description="Id of the strike; one for each case and ladder.")]
    ladder: Annotated[
        LadderField, Field(description="U: rectification neglected. C: a complaint that was verified.")
    ]
    case_id: Annotated[EventIdField, Field(description="Case that it came from.")]
    number: Annotated[Ordinal, Field(description="How often it has been counted, from 1.")]
    rests_on: RestsOn


class StrikeCounted(_OfAStrike):
    """A verified neglect or complaint counts against a unit, for twelve months from ``occurred_at``.

    Nothing follows from it by itself: it leads to a ``SanctionProposed`` that a person signs or rejects.
    """

    basis: Annotated[
        StrikeBasis,
        Field(description="overdue 逾期, failed_check 敷衍整改 (ladder U), complaint 查实投诉 (C)."),
    ]
    occurred_at: Annotated[Instant, Field(description="When it happened; from then on it counts.")]


class StrikeWithdrawn(_OfAStrike):
    """A strike has fallen away: it counts no more, and what was proposed for it is withdrawn."""

    because: Annotated[
        StrikeEnd,
        Field(description="What took it away; only one whose case was annulled can be counted again."),
    ]


class SanctionRecord(EventData):
    """The whole state of a sanction after an event."""

    ground: Annotated[
        GroundField,
        Field(description="Ladder U or C, veto 一票否决, or score: the bottom of a closed list."),
    ]
    step: Annotated[int, Field(description="Step of the ladder, from 1; 1 where there is no ladder.", ge=1)]
    measure: Annotated[
        str,
        Field(
            description="What is proposed, in the rule pack's words: 诫勉谈话 …", min_length=1, max_length=64
        ),
    ]
    strikes: Annotated[
        tuple[EventIdField, ...],
        Field(description="Ids of the strikes that it rests on, that which led to it last.", max_length=100),
    ] = ()
    rests_on: RestsOn
    veto: Annotated[VetoKind | None, Field(description="Of ground veto: which.")] = None
    year: Annotated[
        int | None, Field(description="Of ground veto: year without awards.", ge=2000, le=2999)
    ] = None
    list: Annotated[str | None, Field(description="Of ground score: the closed list.", max_length=64)] = None
    signing_level: Annotated[Level, Field(description="Level whose person signs: one above the unit's.")]
    status: Annotated[
        SanctionStatus,
        Field(description="In force while signed, appealed or upheld; overturned: the appeal was granted."),
    ]
    version: Annotated[int, Field(description="Number of this event of the sanction, from 1.", ge=1)]
    proposed_at: Annotated[Instant, Field(description="When it was proposed.")]
    signed_by: Annotated[CredentialField | None, Field(description="Who signed it.")] = None
    signed_at: Annotated[Instant | None, Field(description="When it was signed.")] = None
    rejected_by: Annotated[CredentialField | None, Field(description="Who rejected the proposal.")] = None
    appeal_until: Annotated[Instant | None, Field(description="Until when the unit may appeal.")] = None
    appealed_by: Annotated[CredentialField | None, Field(description="Who appealed.")] = None
    appealed_at: Annotated[Instant | None, Field(description="When it was appealed against.")] = None
    decided_by: Annotated[
        CredentialField | None, Field(description="Who decided the appeal; never who signed.")
    ] = None


class SanctionChanged(_AboutAUnit):
    """What all facts about a sanction have in common: whom it concerns, who acted, and the state after it."""

    sanction_id: Annotated[EventIdField, Field(description="Id of the sanction.")]
    by: Annotated[
        CredentialField, Field(description="Role or credential that acted, or 'system'; never a name.")
    ]
    sanction: Annotated[SanctionRecord, Field(description="The state after this event.")]


class SanctionProposed(SanctionChanged):
    """A sanction is proposed; nothing is in force before a person one level above the unit signs it."""


class SanctionSigned(SanctionChanged):
    """A person signed a sanction; it is in force, and the unit may appeal until ``appeal_until``.

    A signed veto is ``VetoImposed`` instead.
    """


class SanctionRejected(SanctionChanged):
    """A person refused to sign: the proposal is off, and the strike that led to it falls away."""

    reason: Annotated[RejectionReason, Field(description="Why.")]
    evidence: Evidence = ()


class SanctionAppealed(SanctionChanged):
    """The unit appeals; the sanction stays in force until the appeal is decided."""

    reason: Annotated[AppealReason, Field(description="Why.")]
    evidence: Evidence = ()


class AppealDecided(SanctionChanged):
    """Another person than the signer decided an appeal.

    Granted: the sanction is overturned, and the strike that led to it falls away. A veto that is lifted so is
    ``VetoLifted`` instead.
    """

    granted: Annotated[bool, Field(description="Whether the sanction is overturned.")]
    evidence: Evidence = ()


class SanctionWithdrawn(SanctionChanged):
    """What the sanction rested on has fallen away, whether it was signed or not; nobody has to do anything.

    Where other strikes stand, another one is proposed for them. A veto in force is ``VetoLifted`` instead.
    """

    because: Annotated[WithdrawalCause, Field(description="What fell away.")]


class VetoImposed(SanctionChanged):
    """A person signed a veto: the unit and its head can get no award of ``year``, from now on."""

    veto: Annotated[VetoKind, Field(description="Which point of the veto list; criticised: in a spot check.")]
    year: Annotated[int, Field(description="Year whose awards are lost.", ge=2000, le=2999)]


class VetoLifted(SanctionChanged):
    """A veto that was imposed holds no more."""

    veto: Annotated[VetoKind, Field(description="Which it was.")]
    year: Annotated[int, Field(description="Year whose awards can be had again.", ge=2000, le=2999)]
    because: Annotated[
        Literal["appeal_granted", "finding_fell_away"], Field(description="What took it away.")
    ]


class Confirmation(EventData):
    """One level's word for a nomination."""

    at_level: Annotated[Level, Field(description="Level that confirmed.")]
    by: Annotated[CredentialField, Field(description="Role or credential that did.")]
    at: Annotated[Instant, Field(description="When.")]


class NominationRecord(EventData):
    """The whole state of a nomination after an event."""

    list: Annotated[str, Field(description="The closed list.", max_length=64)]
    period: Annotated[PeriodLabel, Field(description="Quarter or year of the list: 2026Q4, 2026.")]
    list_hash: Annotated[ListHash, Field(description="The hash in PeriodClosed.")]
    rank: Rank
    rests_on: RestsOn
    status: Annotated[
        NominationStatus, Field(description="open until every level above the unit has confirmed it.")
    ]
    awaits: Annotated[
        Level | None, Field(description="Level whose word is next: each confirms what is one level below.")
    ] = None
    confirmations: Annotated[
        tuple[Confirmation, ...], Field(description="The levels' words, lowest first.", max_length=3)
    ] = ()
    version: Annotated[int, Field(description="Number of this event of the nomination, from 1.", ge=1)]


class NominationChanged(_AboutAUnit):
    """What all facts about a nomination have in common."""

    nomination_id: Annotated[EventIdField, Field(description="Id of the nomination.")]
    by: Annotated[
        CredentialField, Field(description="Role or credential that acted, or 'system'; never a name.")
    ]
    nomination: Annotated[NominationRecord, Field(description="The state after this event.")]


class UnitNominated(NominationChanged):
    """A unit is among the first of a closed list and under no veto: it goes up the levels to be confirmed."""


class NominationConfirmed(NominationChanged):
    """One level confirmed a nomination; the next one above is asked, or it stands."""


class NominationWithdrawn(NominationChanged):
    """A veto was imposed on the unit for the year of the list."""

    veto_id: Annotated[EventIdField, Field(description="The sanction whose VetoImposed it is.")]


class TalkCandidateNamed(_AboutAUnit):
    """A unit is among the last of a closed list: candidate for a talk 约谈 with its head, nothing more.

    Only with ``proposable`` a sanction is proposed: enough ratings, and a poor score beyond doubt.
    """

    candidate_id: Annotated[EventIdField, Field(description="Id of the candidacy.")]
    list: Annotated[str, Field(description="The closed list.", max_length=64)]
    period: Annotated[PeriodLabel, Field(description="Quarter or year of the list: 2026Q4, 2026.")]
    list_hash: Annotated[ListHash, Field(description="The hash in PeriodClosed.")]
    closed_on: Annotated[DayField, Field(description="Day on which the period closed.")]
    rank: Rank
    ranked: Annotated[int, Field(description="Units that have a rank in the list.", ge=1)]
    score: Annotated[Points, Field(description="Score in the closed list, x100.")]
    interval_high: Annotated[Points, Field(description="Upper end of its 90 % interval, x100.")]
    n: Annotated[float, Field(description="Sum of weights, in ratings.", ge=0)]
    proposable: Annotated[
        bool, Field(description="Whether n and the interval carry a proposed sanction, by the rule pack.")
    ]
    rests_on: RestsOn


class CheckedRegion(EventData):
    """What a quarterly check found in one county, or about a city or the province itself."""

    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]
    opened: Annotated[Count, Field(description="Cases opened in the quarter.")]
    closed: Annotated[Count, Field(description="Cases filed in the quarter.")]
    open: Annotated[
        Count, Field(description="Opened up to its end, with something to do when it was signed.")
    ]
    overdue: Annotated[Count, Field(description="Of these, where it should have been done.")]
    strikes: Annotated[Count, Field(description="Strikes counted in the quarter that stand.")]
    unsigned: Annotated[Count, Field(description="Sanctions proposed up to its end that nobody has decided.")]
    appeals: Annotated[Count, Field(description="Of those proposed up to its end, with an appeal to decide.")]
    nominations: Annotated[Count, Field(description="Nominations that wait for a level's word.")]


class QuarterChecked(EventData):
    """A division's quarterly check 季度检查 was signed, with its figures; the highest revision stands."""

    city: Annotated[CityCode, Field(description="Prefecture of the division, or 'all' of the province.")]
    county: Annotated[CountyCode, Field(description="Its county, or 'all'.")]
    quarter: Annotated[str, Field(description="The quarter, 2026Q4.", pattern="^2[0-9]{3}Q[1-4]$")]
    by: Annotated[CredentialField, Field(description="Role or credential that signed; never a name.")]
    revision: Annotated[int, Field(description="1, 2, … for each quarter and division.", ge=1)]
    regions: Annotated[
        tuple[CheckedRegion, ...],
        Field(
            description="The division and what is below it, by code; without those with nothing.",
            max_length=500,
        ),
    ]


STRIKE_FACTS: tuple[tuple[str, type[EventData]], ...] = (
    ("strike-counted", StrikeCounted),
    ("strike-withdrawn", StrikeWithdrawn),
)
SANCTION_FACTS: tuple[tuple[str, type[EventData]], ...] = (
    ("proposed", SanctionProposed),
    ("signed", SanctionSigned),
    ("rejected", SanctionRejected),
    ("appealed", SanctionAppealed),
    ("appeal-decided", AppealDecided),
    ("withdrawn", SanctionWithdrawn),
)
VETO_FACTS: tuple[tuple[str, type[EventData]], ...] = (
    ("veto-imposed", VetoImposed),
    ("veto-lifted", VetoLifted),
)
"""On the subject of their sanction."""
NOMINATION_FACTS: tuple[tuple[str, type[EventData]], ...] = (
    ("unit-nominated", UnitNominated),
    ("nomination-confirmed", NominationConfirmed),
    ("nomination-withdrawn", NominationWithdrawn),
)
CHECK_FACTS: tuple[tuple[str, type[EventData]], ...] = (("quarter-checked", QuarterChecked),)
CANDIDATE_FACTS: tuple[tuple[str, type[EventData]], ...] = (("talk-candidate-named", TalkCandidateNamed),)
