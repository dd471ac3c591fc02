"""What becomes of a spooled message when its turn comes: the pure part of draining."""

from enum import StrEnum

from services.intake.domain.accepted import Accepted, Verdict, judge_repeat
from services.intake.domain.revisions import Revision


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
    LOST_RACE = "lost_race"
    """Another revision took its number: a person has to look."""


def fate_of_rating(digest: str, standing: Accepted | None) -> Fate:
    """What becomes of a spooled rating; `standing` is what the stream holds under its id."""
    if standing is None:
        return Fate.PUBLISH
    return Fate.STORED if judge_repeat(digest, standing).verdict is Verdict.DUPLICATE else Fate.CONFLICT


def fate_of_revision(revision: Revision, standing: Revision | None) -> Fate:
    """What becomes of a spooled revision; `standing` is what the stream holds under its number."""
    if standing is None:
        return Fate.PUBLISH
    return Fate.STORED if standing.answers(revision.request, revision.digest) else Fate.LOST_RACE
