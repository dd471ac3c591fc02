"""Facts about what takes two people. Stream ``REGISTRY``, producer intake. Never public.

One person asks (``ApprovalRequested``), another one, of the same level or above, grants or rejects within the
time limit; the first decision in the stream stands (ADR 0034). People appear as roles or credentials, never
by name. ``approval_id`` is the id of the ``ApprovalRequested`` event.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, Instant, UnitIdField
from shared.events.feedback import DimensionGrades, GradeValue
from shared.kernel.grades import Level

ApprovalKind = Literal["exclusion", "reinstatement", "rules", "unmasking", "correction"]
CredentialField = Annotated[
    str,
    Field(
        description="Role or credential of a person, never a name.",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
    ),
]
ReasonCode = Annotated[str, Field(description="Code of a closed list.", pattern=r"^[a-z][a-z_]{0,31}$")]
Targets = Annotated[tuple[EventIdField, ...], Field(max_length=10_000, description="Ratings' event ids.")]


class SettingDifference(EventData):
    """One value that a proposed rule pack changes."""

    key: Annotated[str, Field(description="Path of the value, weights_milli.onsite.", max_length=128)]
    old: Annotated[str | None, Field(description="Until then; null: there was none.", max_length=2000)] = None
    new: Annotated[str | None, Field(description="From then on; null: there is none.", max_length=2000)] = (
        None
    )


class RulesProposal(EventData):
    """A rule pack that somebody wants in force from a day on."""

    version: Annotated[str, Field(description="Name of the pack.", max_length=32)]
    valid_from: Annotated[str, Field(description="First day in force, YYYY-MM-DD.", max_length=10)]
    hash: Annotated[str, Field(description="sha256:… of the pack's content.", max_length=80)]
    text: Annotated[str, Field(description="The pack, TOML.", max_length=131_072)]
    replaces: Annotated[str, Field(description="Hash of the pack that it was compared with.", max_length=80)]
    differences: Annotated[
        tuple[SettingDifference, ...], Field(description="What it changes, value by value.")
    ]


class CorrectionProposal(EventData):
    """What a rating shall count by from now on; what is null stays as it is."""

    unit_id: Annotated[UnitIdField | None, Field(description="The unit that was meant.")] = None
    grade: Annotated[GradeValue | None, Field(description="The grade that was meant.")] = None
    dimensions: Annotated[
        DimensionGrades | None, Field(description="All sub-grades anew; none in it: they are taken out.")
    ] = None


class ApprovalRequested(EventData):
    """Somebody asks for what only two people may do; nothing has happened yet."""

    kind: Annotated[ApprovalKind, Field(description="What is asked for.")]
    reason: Annotated[ReasonCode, Field(description="Why; of the kind's closed list.")]
    requested_by: Annotated[
        CredentialField | None, Field(description="Who asks; null: the citizen, with the receipt's code.")
    ] = None
    level: Annotated[Level | None, Field(description="Level of who asks; nobody below it may decide.")] = None
    city: Annotated[CityCode, Field(description="Prefecture concerned, or 'all'.")] = "all"
    county: Annotated[CountyCode, Field(description="County concerned, or 'all'.")] = "all"
    expires_at: Annotated[Instant, Field(description="From then on nobody can decide any more.")]
    targets: Annotated[Targets, Field(description="FeedbackSubmitted events that it is about.")] = ()
    import_id: Annotated[
        str | None, Field(description="Bulk import that it would undo, wholly or in part.", max_length=64)
    ] = None
    barred: Annotated[
        tuple[CredentialField, ...],
        Field(description="Who else may not decide: of an appeal, who decided the exclusion.", max_length=8),
    ] = ()
    rules: Annotated[RulesProposal | None, Field(description="Of kind rules: the pack.")] = None
    correction: Annotated[
        CorrectionProposal | None, Field(description="Of kind correction: what is put in force.")
    ] = None
    content: Annotated[str, Field(description="Fingerprint of the request's own fields.", max_length=64)]


class ApprovalGranted(EventData):
    """A second person agreed; what was asked for is carried out from now on."""

    approval_id: Annotated[EventIdField, Field(description="The ApprovalRequested event.")]
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    level: Annotated[Level, Field(description="Level of who decided.")]
    city: Annotated[CityCode, Field(description="As in the request.")] = "all"
    county: Annotated[CountyCode, Field(description="As in the request.")] = "all"


class ApprovalRejected(EventData):
    """A second person refused; nothing happens."""

    approval_id: Annotated[EventIdField, Field(description="The ApprovalRequested event.")]
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    level: Annotated[Level, Field(description="Level of who decided.")]
    reason: Annotated[ReasonCode, Field(description="Why; one of a closed list.")]
    city: Annotated[CityCode, Field(description="As in the request.")] = "all"
    county: Annotated[CountyCode, Field(description="As in the request.")] = "all"


class LeftAlone(EventData):
    """Targets for which nothing was done, and what they were instead."""

    state: Annotated[str, Field(description="excluded, withdrawn, counted: before; unknown: no such rating.")]
    targets: Annotated[Targets, Field(description="FeedbackSubmitted events.")]


class ApprovalCompleted(EventData):
    """Everything that was granted has been done, item by item."""

    approval_id: Annotated[EventIdField, Field(description="The ApprovalRequested event.")]
    done: Annotated[int, Field(description="Targets for which it was done.", ge=0)]
    left: Annotated[tuple[LeftAlone, ...], Field(description="The others, by what they were.")] = ()
    city: Annotated[CityCode, Field(description="As in the request.")] = "all"
    county: Annotated[CountyCode, Field(description="As in the request.")] = "all"
