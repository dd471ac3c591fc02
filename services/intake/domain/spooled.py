"""What becomes of a spooled message when its turn comes: the pure part of draining."""

from collections.abc import Sequence
from enum import StrEnum

from services.intake.domain.accepted import Accepted, Verdict, judge_repeat
from services.intake.domain.revisions import Move, Revision, State


class Kind(StrEnum):
    """What a spooled message is."""

    RATING = "rating"
    REVISION = "revision"
    CONFLICT = "conflict"


class Fate(StrEnum):
    """What draining does with a message."""

    PUBLISH = "publish"
    STORED = "stored"
    """It is in the stream already: its answer was lost, or another replica stored the same."""
    CONFLICT = "conflict"
    """Other content stands under its id: that is reported, and the first one stays."""
    RENUMBER = "renumber"
    """Another revision took its number, and what it says holds over that one, too."""
    LOST_RACE = "lost_race"
    """Another revision took its number: a person has to look."""


def fate_of_rating(digest: str, standing: Accepted | None) -> Fate:
    """What becomes of a spooled rating; `standing` is what the stream holds under its id."""
    if standing is None:
        return Fate.PUBLISH
    return Fate.STORED if judge_repeat(digest, standing).verdict is Verdict.DUPLICATE else Fate.CONFLICT


def fate_of_revision(revision: Revision, standing: Sequence[Revision]) -> Fate:
    """What becomes of a spooled revision; `standing` is what the stream holds of its rating, by number.

    A citizen's withdrawal goes behind whatever was decided meanwhile: it is open from every state. Any other
    decision was made for a rating as it was, and somebody has to look at it again.
    """
    if any(
        other.answers(revision.request, revision.digest)
        for other in standing
        if revision.request is not None or other.number == revision.number
    ):
        return Fate.STORED
    if all(other.number != revision.number for other in standing):
        return Fate.PUBLISH
    if revision.move is not Move.WITHDRAW:
        return Fate.LOST_RACE
    withdrawn = standing[-1].move.leads_to is State.WITHDRAWN
    return Fate.STORED if withdrawn else Fate.RENUMBER
