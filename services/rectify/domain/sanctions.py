"""A sanction 问责 as a value, and what can be done about it: proposed, signed, appealed against, decided.

Pure. Every change gives the fact (as in the event's type) and the state after it. Who may do what is for the
caller to check, but for one thing: whoever signed does not decide the appeal.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from shared.kernel.errors import ConflictError, NotFoundError, describe
from shared.kernel.grades import Level


class Why(StrEnum):
    """What a sanction is for; as the event's ``ground``."""

    U = "U"
    C = "C"
    VETO = "veto"
    SCORE = "score"


class SanctionStatus(StrEnum):
    """Where a sanction stands."""

    PROPOSED = "proposed"
    SIGNED = "signed"
    REJECTED = "rejected"
    APPEALED = "appealed"
    UPHELD = "upheld"
    OVERTURNED = "overturned"
    WITHDRAWN = "withdrawn"

    @property
    def label(self) -> str:
        """The Chinese term."""
        return _LABELS[self]


_LABELS: Final = {
    SanctionStatus.PROPOSED: "待签发",
    SanctionStatus.SIGNED: "已签发",
    SanctionStatus.REJECTED: "不予签发",
    SanctionStatus.APPEALED: "申诉中",
    SanctionStatus.UPHELD: "申诉驳回",
    SanctionStatus.OVERTURNED: "申诉成立，已撤销",
    SanctionStatus.WITHDRAWN: "依据已消失，已撤回",
}
IN_FORCE: Final = frozenset({SanctionStatus.SIGNED, SanctionStatus.APPEALED, SanctionStatus.UPHELD})
STANDING: Final = IN_FORCE | {SanctionStatus.PROPOSED}
"""Withdrawn when what they rest on falls away."""


@dataclass(frozen=True, slots=True)
class Sanction:
    """The state of a sanction.

    Attributes:
        city: place of the unit when it was proposed, which is in the subject for good.
        county: likewise.
        strikes: ids of the strikes that it rests on, that which led to it last.
        rests_on: ids of the events that it rests on, oldest first.
        veto: of a veto: which.
        year: of a veto: the year without awards.
        list: of a sanction on a score: the closed list.
        signing_level: whose person signs.
    """

    sanction_id: str
    unit_id: str
    city: str
    county: str
    ground: Why
    step: int
    measure: str
    rests_on: tuple[str, ...]
    signing_level: Level
    proposed_at: datetime
    strikes: tuple[str, ...] = ()
    veto: str | None = None
    year: int | None = None
    list: str | None = None
    status: SanctionStatus = SanctionStatus.PROPOSED
    version: int = 1
    signed_by: str | None = None
    signed_at: datetime | None = None
    rejected_by: str | None = None
    appeal_until: datetime | None = None
    appealed_by: str | None = None
    appealed_at: datetime | None = None
    decided_by: str | None = None

    @property
    def in_force(self) -> bool:
        """Whether it holds; an appeal does not suspend it."""
        return self.status in IN_FORCE

    @property
    def is_veto(self) -> bool:
        """Whether it takes awards away."""
        return self.ground is Why.VETO


class IllegalSanctionMoveError(ConflictError):
    """The sanction does not allow that now (HTTP 409); `open_moves` are those that are possible."""

    title: ClassVar[str] = "The sanction does not allow that now"

    def __init__(self, move: str, sanction: Sanction, needed: str, now: datetime) -> None:
        """`needed` is a noun phrase."""
        self.open_moves = open_moves(sanction, now)
        moves = ", ".join(self.open_moves) or "none"
        super().__init__(
            describe(f"{move} while {sanction.status.value}", needed, f"moves that are open now: {moves}")
        )


class SanctionNotFoundError(NotFoundError):
    """No sanction has that id, or it is none of theirs to know of."""


@dataclass(frozen=True, slots=True)
class Change:
    """The fact that a move leads to, and the state after it."""

    fact: str
    sanction: Sanction


def open_moves(sanction: Sanction, now: datetime) -> tuple[str, ...]:
    """What people can do about it at `now`."""
    match sanction.status:
        case SanctionStatus.PROPOSED:
            return ("sign", "reject")
        case SanctionStatus.SIGNED if _in_time(sanction, now):
            return ("appeal",)
        case SanctionStatus.APPEALED:
            return ("decide",)
        case _:
            return ()


def _in_time(sanction: Sanction, now: datetime) -> bool:
    return sanction.appeal_until is not None and now <= sanction.appeal_until


def sign(sanction: Sanction, by: str, now: datetime, appeal_until: datetime) -> Change:
    """A person puts it in force.

    Raises:
        IllegalSanctionMoveError: it is no open proposal.
    """
    _require(sanction, SanctionStatus.PROPOSED, "sign", "a proposal that nobody has decided", now)
    after = replace(
        _next(sanction, SanctionStatus.SIGNED), signed_by=by, signed_at=now, appeal_until=appeal_until
    )
    return Change("veto-imposed" if sanction.is_veto else "signed", after)


def reject(sanction: Sanction, by: str, now: datetime) -> Change:
    """A person refuses to sign; raises like `sign`."""
    _require(sanction, SanctionStatus.PROPOSED, "reject", "a proposal that nobody has decided", now)
    return Change("rejected", replace(_next(sanction, SanctionStatus.REJECTED), rejected_by=by))


def appeal(sanction: Sanction, by: str, now: datetime) -> Change:
    """The unit appeals.

    Raises:
        IllegalSanctionMoveError: it is not signed, was appealed against before, or the time for it is over.
    """
    _require(sanction, SanctionStatus.SIGNED, "appeal", "a signed sanction without an appeal", now)
    if not _in_time(sanction, now):
        until = sanction.appeal_until.isoformat() if sanction.appeal_until is not None else "no time"
        raise IllegalSanctionMoveError("appeal", sanction, f"an appeal until {until}", now)
    return Change(
        "appealed", replace(_next(sanction, SanctionStatus.APPEALED), appealed_by=by, appealed_at=now)
    )


def decide_appeal(sanction: Sanction, by: str, now: datetime, *, granted: bool) -> Change:
    """Somebody else than who signed decides the appeal.

    Raises:
        IllegalSanctionMoveError: there is no open appeal, or the signer decides.
    """
    _require(sanction, SanctionStatus.APPEALED, "decide", "an appeal that nobody has decided", now)
    if by == sanction.signed_by:
        raise IllegalSanctionMoveError("decide", sanction, "another person than who signed", now)
    status = SanctionStatus.OVERTURNED if granted else SanctionStatus.UPHELD
    fact = "veto-lifted" if granted and sanction.is_veto else "appeal-decided"
    return Change(fact, replace(_next(sanction, status), decided_by=by))


def withdraw(sanction: Sanction) -> Change:
    """What it rests on has fallen away; it must be standing."""
    fact = "veto-lifted" if sanction.is_veto and sanction.in_force else "withdrawn"
    return Change(fact, _next(sanction, SanctionStatus.WITHDRAWN))


def propose_again(earlier: Sanction, wanted: Sanction) -> Sanction:
    """A withdrawn proposal is wanted once more: as new, on the same subject."""
    return replace(wanted, version=earlier.version + 1, city=earlier.city, county=earlier.county)


def _require(sanction: Sanction, status: SanctionStatus, move: str, needed: str, now: datetime) -> None:
    if sanction.status is not status:
        raise IllegalSanctionMoveError(move, sanction, needed, now)


def _next(sanction: Sanction, status: SanctionStatus) -> Sanction:
    return replace(sanction, status=status, version=sanction.version + 1)
