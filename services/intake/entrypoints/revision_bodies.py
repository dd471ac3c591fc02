"""What clients send to revise a rating: the move's reason from its closed list, never free text."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move
from services.intake.entrypoints.bodies import refuse_repeats
from shared.kernel.ids import is_uuid
from shared.kernel.reasons import (
    QuarantineReason,
    ReinstatementReason,
    ReleaseReason,
    WithdrawalReason,
)
from shared.kernel.scrubbing import scrub


def naming_nobody(expected: str, remedy: str) -> AfterValidator:
    """Refuse what has a person's number in it, saying what was `expected` and the `remedy`."""

    def without_number(text: str) -> str:
        if not is_uuid(text) and scrub(text, mistyped=True) != text:
            raise ValueError(f"{expected}, without a person's number: {remedy}")
        return text

    return AfterValidator(without_number)


NamesNobody: Final = naming_nobody("a role or a credential", "name the one that acts")
"""Refuses what would lead to a person: who acts goes into events for good."""

_Decider = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), NamesNobody]
DecidedBy = Annotated[
    _Decider | None,
    Field(description="Role or credential that decides, such as city-3607-reviewer; never a person's name."),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WithdrawalBody(_Body):
    """Why the citizen takes the rating back; nobody has to say."""

    reason: Annotated[WithdrawalReason, Field(description="Why.")] = WithdrawalReason.UNSTATED


class ReinstatementBody(_Body):
    """Why the excluded rating shall count again."""

    reason: Annotated[ReinstatementReason, Field(description="Why.")]
    decided_by: DecidedBy = None


class QuarantineBody(_Body):
    """Why the rating is held."""

    reason: Annotated[QuarantineReason, Field(description="Why.")]
    decided_by: DecidedBy = None


class ReleaseBody(_Body):
    """Why the held rating shall count."""

    reason: Annotated[ReleaseReason, Field(description="Why.")]
    decided_by: DecidedBy = None


RevisionBody = WithdrawalBody | ReinstatementBody | QuarantineBody | ReleaseBody
_BODIES: Final[dict[Move, type[RevisionBody]]] = {
    Move.WITHDRAW: WithdrawalBody,
    Move.REINSTATE: ReinstatementBody,
    Move.QUARANTINE: QuarantineBody,
    Move.RELEASE: ReleaseBody,
}


def parse_decision(move: Move, raw: bytes) -> Decision:
    """Read the body of a request for `move`.

    Raises:
        ValidationError: see `bodies.describe_errors`; never let its own text out, it quotes the input.
        RejectedError: a name comes twice.
    """
    body = _BODIES[move].model_validate_json(raw)
    refuse_repeats(raw)
    return Decision(
        move=move,
        reason=body.reason.value,
        decided_by=None if isinstance(body, WithdrawalBody) else body.decided_by,
    )
