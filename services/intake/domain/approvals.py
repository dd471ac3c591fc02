"""What takes two people: asked for by one, decided by another, within a time limit. Pure; a fold of events.

A decision is honoured by every replica only if the rules allowed it at its own time, so nobody has to believe
whoever took it down: the first valid one in the stream stands (ADR 0034).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from services.intake.domain.decisions import Changes
from shared.kernel.clock import rfc3339
from shared.kernel.grades import Level
from shared.kernel.units import ALL


class Kind(StrEnum):
    """What is asked for."""

    EXCLUSION = "exclusion"
    REINSTATEMENT = "reinstatement"
    RULES = "rules"
    UNMASKING = "unmasking"
    CORRECTION = "correction"

    @property
    def carried_out(self) -> bool:
        """Whether intake itself does something once it is granted."""
        return self in {Kind.EXCLUSION, Kind.REINSTATEMENT, Kind.CORRECTION}


class Stage(StrEnum):
    """How far a request has come."""

    PENDING = "pending"
    EXPIRED = "expired"
    REJECTED = "rejected"
    GRANTED = "granted"
    CARRIED_OUT = "carried_out"


_LADDER = tuple(Level)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a role or credential, never a name, and the level that it belongs to."""

    credential: str
    level: Level

    def stands_below(self, level: Level) -> bool:
        """Whether the actor's level is below `level`."""
        return _LADDER.index(self.level) > _LADDER.index(level)


@dataclass(frozen=True, slots=True)
class Pack:
    """A proposed rule pack; `differences` are (key, old, new)."""

    version: str
    valid_from: str
    hash: str
    text: str = field(repr=False)
    replaces: str
    differences: tuple[tuple[str, str | None, str | None], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for.

    Attributes:
        requested_by: None for a citizen, who holds the receipt's code.
        expires_at: from then on nobody can decide.
        targets: event ids of ratings; let go once everything is carried out.
        barred: who else may not decide.
        city: place of the subject, as are all of its events: of all targets together; it stays when they go.
        changes: of a correction: what is put in force.
        content: fingerprint of the request's own fields.
        sequence: place in the stream REGISTRY.
    """

    approval_id: str
    kind: Kind
    reason: str
    requested_by: Actor | None
    requested_at: datetime
    expires_at: datetime
    content: str
    targets: tuple[str, ...] = field(default=(), repr=False)
    import_id: str | None = None
    barred: frozenset[str] = frozenset()
    pack: Pack | None = None
    changes: Changes | None = None
    city: str = ALL
    county: str = ALL
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the second person decided; `reason` of a rejection."""

    granted: bool
    by: Actor
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the targets: how many were done, and the others by what they were instead."""

    done: int
    left: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request with what was decided about it; `size` counts its targets."""

    request: Request
    size: int
    verdict: Verdict | None = None
    outcomes: Outcomes | None = None

    def stage(self, now: datetime) -> Stage:
        """How far it has come at `now`."""
        if self.verdict is None:
            return Stage.EXPIRED if now >= self.request.expires_at else Stage.PENDING
        if not self.verdict.granted:
            return Stage.REJECTED
        if self.outcomes is None and self.request.kind.carried_out:
            return Stage.GRANTED
        return Stage.CARRIED_OUT if self.outcomes is not None else Stage.GRANTED


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why somebody may not decide now: what there is, what was expected, the remedy.

    Attributes:
        personal: another person might.
    """

    value: str
    expected: str
    remedy: str
    personal: bool = False


def obstacle(approval: Approval, actor: Actor, now: datetime) -> Obstacle | None:
    """What keeps `actor` from deciding at `now`; None: nothing does."""
    request = approval.request
    stage = approval.stage(now)
    if stage is not Stage.PENDING:
        since = f", since {rfc3339(request.expires_at)}" if stage is Stage.EXPIRED else ""
        return Obstacle(
            f"a decision about a request that is {stage}{since}",
            "a request that is pending",
            f"look at GET /v1/approvals/{request.approval_id}; ask anew if it is still wanted",
        )
    asker = request.requested_by
    if asker is not None and asker.credential == actor.credential:
        return Obstacle(
            actor.credential,
            "another person than the one who asked",
            "let somebody else decide (two-person rule)",
            personal=True,
        )
    if actor.credential in request.barred:
        return Obstacle(
            actor.credential,
            "a person who had no part in the exclusion",
            "let somebody decide who neither asked for it nor agreed to it",
            personal=True,
        )
    if asker is not None and actor.stands_below(asker.level):
        return Obstacle(
            f"{actor.credential} of level {actor.level}",
            f"a person of level {asker.level} or above",
            f"let somebody of level {asker.level} or above decide",
            personal=True,
        )
    return None


def common_place(places: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The city and county, as subjects name them, that hold all of `places`; `ALL` for several."""
    found = set(places)
    cities, counties = {city for city, _ in found}, {county for _, county in found}
    if len(cities) != 1:
        return ALL, ALL
    return cities.pop(), counties.pop() if len(counties) == 1 else ALL


class ApprovalBook:
    """Every request and what became of it, folded from the stream in order."""

    def __init__(self) -> None:
        """Know nothing."""
        self._approvals: dict[str, Approval] = {}

    def __iter__(self) -> Iterator[Approval]:
        """All of them, oldest first."""
        return iter(self._approvals.values())

    def clear(self) -> None:
        """Know nothing any more."""
        self._approvals.clear()

    def count(self, stage: Stage, now: datetime) -> int:
        """How many are at `stage`."""
        return sum(each.stage(now) is stage for each in self)

    def get(self, approval_id: str) -> Approval | None:
        """The one with that id."""
        return self._approvals.get(approval_id)

    def requested(self, request: Request) -> None:
        """Take a request in; of two with one id the first stands."""
        if request.approval_id not in self._approvals:
            self._approvals[request.approval_id] = Approval(request, len(request.targets))

    def decided(self, approval_id: str, verdict: Verdict) -> None:
        """Take a decision in, if the rules allowed it; of two the first stands."""
        approval = self._approvals.get(approval_id)
        if approval is not None and obstacle(approval, verdict.by, verdict.at) is None:
            self._approvals[approval_id] = replace(approval, verdict=verdict)

    def carried_out(self, approval_id: str, outcomes: Outcomes) -> None:
        """Take in what became of the targets; they themselves are forgotten, those left alone excepted."""
        approval = self._approvals.get(approval_id)
        if approval is not None and approval.verdict is not None and approval.outcomes is None:
            settled = replace(approval.request, targets=())
            self._approvals[approval_id] = replace(approval, request=settled, outcomes=outcomes)

    def unfinished(self) -> tuple[Approval, ...]:
        """Granted, not carried out yet, and for intake to do; oldest first."""
        return tuple(
            each
            for each in self
            if each.verdict is not None
            and each.verdict.granted
            and each.outcomes is None
            and each.request.kind.carried_out
        )
