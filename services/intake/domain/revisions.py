"""What becomes of an accepted rating: its states, the moves between them, and its numbered revisions.

The first move of each state's list is what a person would mostly look for. A rating that was withdrawn stays
withdrawn: whoever gave it has the last word on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.intake.domain.accepted import Accepted
from shared.kernel.ids import derived_id


class State(StrEnum):
    """What a rating is worth at present."""

    COUNTED = "counted"
    WITHDRAWN = "withdrawn"
    EXCLUDED = "excluded"
    QUARANTINED = "quarantined"


class Move(StrEnum):
    """What can be done to a rating; each one done is a revision."""

    CORRECT = "correct"
    WITHDRAW = "withdraw"
    EXCLUDE = "exclude"
    REINSTATE = "reinstate"
    QUARANTINE = "quarantine"
    RELEASE = "release"

    @property
    def leads_to(self) -> State:
        """The state that it leaves a rating in, wherever that came from."""
        return _LEADS_TO[self]


_LEADS_TO: Mapping[Move, State] = {
    Move.CORRECT: State.COUNTED,
    Move.WITHDRAW: State.WITHDRAWN,
    Move.EXCLUDE: State.EXCLUDED,
    Move.REINSTATE: State.COUNTED,
    Move.QUARANTINE: State.QUARANTINED,
    Move.RELEASE: State.COUNTED,
}
_OPEN: Mapping[State, tuple[Move, ...]] = {
    State.COUNTED: (Move.CORRECT, Move.WITHDRAW, Move.EXCLUDE, Move.QUARANTINE),
    State.WITHDRAWN: (),
    State.EXCLUDED: (Move.REINSTATE, Move.WITHDRAW),
    State.QUARANTINED: (Move.RELEASE, Move.EXCLUDE, Move.WITHDRAW),
}


def open_moves(state: State) -> tuple[Move, ...]:
    """The moves that `state` allows; empty where it is final."""
    return _OPEN[state]


def revision_id(target_id: str, number: int) -> str:
    """The event id of a rating's revision: two who claim the same number claim the same id."""
    return derived_id("feedback-revision", target_id, str(number))


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision in the stream, as far as intake remembers it.

    Attributes:
        receipt: receipt of the rating that it revises.
        number: 1, 2, 3 … for each rating.
        sequence: place in FEEDBACK; of two revisions with one number the first one counts.
        received_at: when intake took the decision down, whole milliseconds.
        request: pseudonym of the request's key, None if it had none.
        digest: keyed digest of the request's own fields.
        unit_id: unit in force from here on.
        grade: grade in force from here on.
    """

    receipt: bytes
    number: int
    move: Move
    sequence: int
    received_at: datetime
    request: str | None
    digest: str
    unit_id: str
    grade: int

    def answers(self, request: str | None, digest: str) -> bool:
        """Whether it is what that request asked for."""
        return (self.request, self.digest) == (request, digest)


@dataclass(frozen=True, slots=True)
class History:
    """An accepted rating with everything that became of it: `revisions` by number, without a gap."""

    accepted: Accepted
    revisions: tuple[Revision, ...] = ()

    @property
    def number(self) -> int:
        """Number of the revision in force; 0 for a rating as it was accepted."""
        return self.revisions[-1].number if self.revisions else 0

    @property
    def state(self) -> State:
        """What the rating is worth at present."""
        return self.revisions[-1].move.leads_to if self.revisions else State.COUNTED

    @property
    def moves(self) -> tuple[Move, ...]:
        """The moves that are open."""
        return open_moves(self.state)

    @property
    def corrected(self) -> bool:
        """Whether other fields than those submitted are in force."""
        return any(revision.move is Move.CORRECT for revision in self.revisions)

    @property
    def unit_id(self) -> str:
        """The unit in force."""
        return self.revisions[-1].unit_id if self.revisions else self.accepted.unit_id

    @property
    def grade(self) -> int:
        """The grade in force."""
        return self.revisions[-1].grade if self.revisions else self.accepted.grade

    @property
    def sequence(self) -> int:
        """Place in FEEDBACK of what is in force."""
        return self.revisions[-1].sequence if self.revisions else self.accepted.sequence

    def under(self, request: str | None) -> Revision | None:
        """The revision that came with that request key; None if there is none, or no key."""
        if request is None:
            return None
        return next((revision for revision in self.revisions if revision.request == request), None)

    def followed_by(self, revision: Revision) -> "History":
        """The history with one more revision; unchanged if it knows that number already."""
        if revision.number <= self.number:
            return self
        return History(self.accepted, (*self.revisions, revision))
