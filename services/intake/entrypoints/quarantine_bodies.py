"""What reviewers send and get: held ratings, and decisions about many of them at once."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.intake.application.errors import RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.domain.decisions import Decision
from services.intake.domain.quarantine import Held, HeldCluster
from services.intake.domain.revisions import Move, State
from services.intake.entrypoints.bodies import refuse_repeats
from services.intake.entrypoints.revision_bodies import DecidedBy
from shared.kernel.grades import Channel, Verification
from shared.kernel.reasons import ExclusionReason, QuarantineReason, ReleaseReason

MOST_AT_ONCE: Final = 10_000
"""Ratings that one request may decide about."""
ClusterName = Annotated[str, Field(pattern=r"^[a-z_]{1,16}-[0-9a-f]{16}$")]


class HeldAnswer(BaseModel):
    """One held rating; nothing in it tells who gave it."""

    event_id: Annotated[str, Field(description="Id of the rating.")]
    unit_id: str
    city: str
    county: str
    grade: int
    channel: Channel
    verification: Verification
    reason: Annotated[QuarantineReason, Field(description="Why it is held.")]
    cluster: Annotated[str | None, Field(description="What it is held with; null: a person held it.")]
    decided_by: str | None
    occurred_at: str
    received_at: str
    held_at: str

    @classmethod
    def of(cls, held: Held) -> "HeldAnswer":
        """Describe `held`."""
        return cls.model_validate({name: getattr(held, name) for name in cls.model_fields})


class HeldPageAnswer(BaseModel):
    """One page of held ratings, the longest held first."""

    total: Annotated[int, Field(description="Held ratings that match, on all pages.")]
    items: list[HeldAnswer]
    next: Annotated[str | None, Field(description="Cursor of the next page; null on the last.")]


class ClusterAnswer(BaseModel):
    """Ratings of one unit that are held with one another."""

    cluster: Annotated[str | None, Field(description="Null: those that people held, one by one.")]
    unit_id: str
    reason: QuarantineReason
    ratings: int
    first_held_at: str
    last_held_at: str

    @classmethod
    def of(cls, held: HeldCluster) -> "ClusterAnswer":
        """Describe `held`."""
        return cls.model_validate({name: getattr(held, name) for name in cls.model_fields})


class ClustersAnswer(BaseModel):
    """The largest clusters of held ratings."""

    items: list[ClusterAnswer]


class DecisionsBody(BaseModel):
    """One decision about many held ratings: a whole cluster, or those that are named."""

    model_config = ConfigDict(extra="forbid")

    move: Annotated[Literal["release", "exclude"], Field(description="They count again, or never do.")]
    reason: Annotated[str, Field(description="Why; a word of the list of the move.", max_length=64)]
    cluster: Annotated[ClusterName | None, Field(description="Everything that is held with it.")] = None
    event_ids: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None,
        Field(description="Single ratings.", min_length=1, max_length=MOST_AT_ONCE),
    ] = None
    cursor: Annotated[
        str | None, Field(description="Of an exclusion: the `next` of the answer before.", max_length=32)
    ] = None
    decided_by: DecidedBy = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "DecisionsBody":
        if (self.cluster is None) == (self.event_ids is None):
            raise ValueError("name either a cluster or event_ids")
        if self.cursor is not None and (self.cluster is None or self.move != Move.EXCLUDE.value):
            raise ValueError("a cursor goes with the exclusion of a cluster")
        return self


class DecidedAnswer(BaseModel):
    """What became of one rating."""

    event_id: str
    outcome: Annotated[
        Literal["done", "asked", "already", "not_open", "not_found"],
        Field(
            description="done: released now, or by this very request before; asked: another person has to "
            "approve its exclusion, until then it is held; already: it was in that state; "
            "not_open: somebody has decided otherwise; not_found: no such rating."
        ),
    ]
    state: Annotated[State | None, Field(description="Its state now.")]
    revision: Annotated[int | None, Field(description="Number of the revision in force.")]


class DecisionsAnswer(BaseModel):
    """What became of each rating."""

    approval_id: Annotated[
        str | None, Field(description="The request that its ratings with `asked` wait in; see /v1/approvals.")
    ] = None
    done: int
    asked: int
    already: int
    not_open: int
    not_found: int
    remaining: Annotated[
        int, Field(description="Of a release: ratings of the cluster that are held still; ask again.")
    ]
    next: Annotated[
        str | None,
        Field(description="Of an exclusion: cursor for the rest of the cluster; null where none is left."),
    ] = None
    results: list[DecidedAnswer]


def parse_decisions(raw: bytes) -> tuple[DecisionsBody, Decision]:
    """Read a request to decide about many ratings.

    Raises:
        ValidationError: see `bodies.describe_errors`; never let its own text out, it quotes the input.
        RejectedError: a name comes twice, or the reason is not of the move's list.
    """
    body = DecisionsBody.model_validate_json(raw)
    refuse_repeats(raw)
    move = Move(body.move)
    reasons = ReleaseReason if move is Move.RELEASE else ExclusionReason
    try:
        reason = reasons(body.reason)
    except ValueError as error:
        known = ", ".join(each.value for each in reasons)
        raise RejectedError(
            (Issue("reason", f"{len(body.reason)} characters", f"one of {known}", "choose one of them"),)
        ) from error
    return body, Decision(move, reason.value, body.decided_by)
