"""What the rules on strikes and sanctions look at."""

from dataclasses import dataclass
from datetime import datetime

from services.notify.domain.facts import Cause


@dataclass(frozen=True, slots=True)
class SanctionFact:
    """One fact about a strike or a sanction.

    Attributes:
        cause: the event, the unit that it is about, and its place.
        fact: what happened, as in the event's type: ``strike-counted``, ``proposed`` …
        subject_id: id of the strike or of the sanction.
        ground: ladder U or C, veto or score, in the event's words.
        step: step of the ladder of a sanction; of a strike how often it has been counted.
        measure: what is proposed, in the rule pack's words; None for a strike.
        why: what a strike was counted for, or what took a strike or a sanction away; None where nothing did.
        rests_on: ids of the events behind it, oldest first.
        appeal_until: until when the unit may appeal; None before it is signed.
        granted: of a decided appeal.
    """

    cause: Cause
    fact: str
    subject_id: str
    ground: str
    step: int
    measure: str | None
    why: str | None
    rests_on: tuple[str, ...]
    appeal_until: datetime | None = None
    granted: bool | None = None
