"""What a rule pack says about ratings that nothing proves: how much they may weigh in all.

Optional in a pack: `[unproven]`; under one without it there is no cap.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shared.rules.table import Table

MILLI: Final = 1000
MOST_FLOOR_MILLI: Final = 1_000_000_000
MOST_SHARE_MILLI: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class UnprovenCap:
    """The most that the public's unproven ratings of one unit weigh together in one span.

    Attributes:
        floor_milli: so much always, in thousandths of a rating; None: there is no cap.
        share_milli: so many thousandths of what its proven ratings weigh, if that is more.
    """

    floor_milli: int | None = None
    share_milli: int = 0


def read_unproven(top: "Table") -> UnprovenCap:
    """Read `[unproven]` of a pack."""
    if "unproven" not in top.keys():  # noqa: SIM118 - a method of ours, not a dict
        return UnprovenCap()
    table = top.table("unproven")
    found = UnprovenCap(
        table.integer("floor_milli", 0, MOST_FLOOR_MILLI), table.integer("share_milli", 0, MOST_SHARE_MILLI)
    )
    table.done()
    return found
