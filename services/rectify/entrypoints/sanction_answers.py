"""What the API answers about sanctions, strikes and nominations, and what it takes."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.rectify.application.ladder_ports import StoredNomination, StoredSanction
from services.rectify.application.sanctioning import Asked, appealing, deciding, rejecting, signing
from services.rectify.domain.ladder_book import Kept
from services.rectify.domain.nominations import Nomination, NominationStatus
from services.rectify.domain.sanctions import Sanction, SanctionStatus, Why, open_moves
from services.rectify.domain.strikes import Basis, Ladder, Strike, StrikeEnd
from services.rectify.entrypoints.bodies import Body, Role
from shared.events.base import Instant
from shared.kernel.grades import Level

EvidenceField = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")], ...],
    Field(max_length=32, description="Where the papers are filed."),
]


class SanctionMove(Body):
    """What all moves of a sanction have in common."""

    by: Role | None = None

    def asked(self, who: str) -> Asked:
        """What `who` asks for."""
        raise NotImplementedError


class SignIn(SanctionMove):
    """签发: put a proposal in force."""

    def asked(self, who: str) -> Asked:
        """See `SanctionMove.asked`."""
        return signing(who)


class RejectIn(SanctionMove):
    """不予签发: refuse to sign."""

    reason: Literal["facts_wrong", "not_responsible", "disproportionate", "dealt_with"]
    evidence: EvidenceField = ()

    def asked(self, who: str) -> Asked:
        """See `SanctionMove.asked`."""
        return rejecting(who, self.reason, self.evidence)


class AppealIn(SanctionMove):
    """申诉: the unit appeals."""

    reason: Literal["facts_wrong", "not_responsible", "disproportionate", "procedure"]
    evidence: EvidenceField = ()

    def asked(self, who: str) -> Asked:
        """See `SanctionMove.asked`."""
        return appealing(who, self.reason, self.evidence)


class DecideIn(SanctionMove):
    """申诉决定: decide an appeal; never who signed."""

    granted: bool
    evidence: EvidenceField = ()

    def asked(self, who: str) -> Asked:
        """See `SanctionMove.asked`."""
        return deciding(who, self.evidence, granted=self.granted)


class ConfirmIn(Body):
    """确认推荐: one level's word for a nomination."""

    by: Role | None = None


class SanctionOut(BaseModel):
    """A sanction as it stands."""

    sanction_id: str
    etag: str = Field(description="Send it as If-Match to decide only on what you have seen.")
    unit_id: str
    city: str
    county: str
    ground: Why
    step: int
    measure: str
    veto: str | None
    year: int | None
    list: str | None
    status: SanctionStatus
    status_label: str
    in_force: bool
    signing_level: Level
    strikes: tuple[str, ...]
    rests_on: tuple[str, ...] = Field(description="Ids of the events that it rests on; `pingyi trace` them.")
    proposed_at: Instant
    signed_by: str | None
    signed_at: Instant | None
    rejected_by: str | None
    appeal_until: Instant | None
    appealed_by: str | None
    appealed_at: Instant | None
    decided_by: str | None
    open_moves: tuple[str, ...]

    @classmethod
    def of(cls, sanction: Sanction, sequence: int, now: datetime) -> "SanctionOut":
        """Render a state."""
        same = (
            "sanction_id", "unit_id", "city", "county", "ground", "step", "measure", "veto", "year", "list",
            "status", "in_force", "signing_level", "strikes", "rests_on", "proposed_at", "signed_by",
            "signed_at", "rejected_by", "appeal_until", "appealed_by", "appealed_at", "decided_by",
        )  # fmt: skip
        return cls(
            etag=f'"{sequence}"',
            status_label=sanction.status.label,
            open_moves=open_moves(sanction, now),
            **{name: getattr(sanction, name) for name in same},
        )

    @classmethod
    def of_stored(cls, stored: StoredSanction, now: datetime) -> "SanctionOut":
        """Render a state as the stream has it."""
        return cls.of(stored.sanction, stored.sequence, now)


class StrikeOut(BaseModel):
    """A strike as it stands."""

    strike_id: str
    unit_id: str
    ladder: Ladder
    case_id: str
    basis: Basis
    occurred_at: Instant
    number: int
    ended: StrikeEnd | None
    rests_on: tuple[str, ...]

    @classmethod
    def of(cls, strike: Strike) -> "StrikeOut":
        """Render a strike."""
        return cls(**{name: getattr(strike, name) for name in cls.model_fields})


class SanctionDetailOut(SanctionOut):
    """A sanction with the strikes that it rests on."""

    counted: tuple[StrikeOut, ...]


class SanctionPage(BaseModel):
    """Sanctions, the last changed first."""

    items: tuple[SanctionOut, ...]
    next: str | None = Field(description="Pass it as `cursor` for the next page; null at the end.")


class NominationOut(BaseModel):
    """A nomination as it stands."""

    nomination_id: str
    unit_id: str
    city: str
    county: str
    list: str
    period: str
    list_hash: str
    rank: int
    status: NominationStatus
    awaits: Level | None = Field(description="Level whose word is next.")
    confirmed_by: tuple[str, ...] = Field(description="Levels and who spoke for them, lowest first.")

    @classmethod
    def of(cls, nomination: Nomination) -> "NominationOut":
        """Render a state."""
        same = (
            "nomination_id", "unit_id", "city", "county", "list", "period", "list_hash", "rank", "status",
            "awaits",
        )  # fmt: skip
        return cls(
            **{name: getattr(nomination, name) for name in same},
            confirmed_by=tuple(f"{each.at_level}: {each.by}" for each in nomination.confirmations),
        )

    @classmethod
    def of_stored(cls, stored: StoredNomination) -> "NominationOut":
        """Render a state as the stream has it."""
        return cls.of(stored.nomination)


class NominationList(BaseModel):
    """Nominations, by list and rank."""

    items: tuple[NominationOut, ...]


def newest_first(found: list[tuple[Sanction, Kept]]) -> list[tuple[Sanction, Kept]]:
    """Sanctions, the last changed first."""
    return sorted(found, key=lambda each: -each[1].sequence)
