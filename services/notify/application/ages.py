"""How old an event may be for an alert, by its kind as in the metrics."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

REVIEW: Final = "feedback"
NEVER_TOO_OLD: Final = frozenset({"case", "sanction", "nomination"})
"""What somebody has to act on until it is done, or what counts against a unit: news however late."""


@dataclass(frozen=True, slots=True)
class MaxAges:
    """Events received longer ago raise no alert, so that a consumer that starts with history buries nothing.

    Attributes:
        usual: of every kind but cases, sanctions and nominations, which have no limit.
        reviews: of single ratings; as `usual` if None.
    """

    usual: timedelta
    reviews: timedelta | None = None

    def of(self, kind: str) -> timedelta | None:
        """Return the limit for events of `kind`; None where there is none."""
        if kind in NEVER_TOO_OLD:
            return None
        if kind == REVIEW and self.reviews is not None:
            return self.reviews
        return self.usual
