"""What a rule pack says about things that take two people; optional, since older packs don't."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """Time limits and bounds.

    Attributes:
        pending_hours: how long a second person has to decide.
        appeal_days: days after an exclusion in which it can be appealed.
        appeal_hours: how long somebody has to decide an appeal.
        max_targets: most ratings of one request.
        hold_days: how long one person alone can keep a rating from counting.
    """

    pending_hours: int = 72
    appeal_days: int = 30
    appeal_hours: int = 240
    max_targets: int = 10_000
    hold_days: int = 10


RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "pending_hours": (1, 2_400),
    "appeal_days": (1, 366),
    "appeal_hours": (1, 2_400),
    "max_targets": (1, 10_000),
    "hold_days": (1, 366),
}
"""Least and most of each key of ``[approvals]``; what a pack leaves out has its default."""
