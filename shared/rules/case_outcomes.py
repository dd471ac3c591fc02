"""What a rule pack says about the rectification index 整改指数: how cases count for their unit.

Optional in a pack: `[outcomes]`; one without it goes by the defaults here, those of the shipped pack.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shared.rules.table import Table

MOST_SHARE: Final = 100
MOST_CASES: Final = 1_000
LEAST_SHOWN: Final = 5
"""No pack may show counts of fewer cases."""


@dataclass(frozen=True, slots=True)
class OutcomeRules:
    """How cases that were settled, or are overdue, make a figure from 0 to 100.

    Attributes:
        on_time: share of a case that no deadline was missed in; the three shares are whole numbers.
        confirmed: share of the citizen's own word. It is left out where there is no citizen to ask.
        not_reopened: share of an answer that lasted.
        prior_cases: as many cases as the index of a unit without any would rest on.
        prior_index: that index, 0-100, in steps of a thousandth.
        show_from: cases from which their number is shown and each of them counts.
        few_count_as: as how many the cases of a unit count that has fewer, so that the index tells no count.
    """

    on_time: int = 1
    confirmed: int = 1
    not_reopened: int = 1
    prior_cases: int = 5
    prior_index: float = 75.0
    show_from: int = LEAST_SHOWN
    few_count_as: int = 2


def read_outcomes(top: "Table") -> OutcomeRules:
    """Read `[outcomes]` of a pack."""
    if "outcomes" not in top.keys():  # noqa: SIM118 - a method of ours, not a dict
        return OutcomeRules()
    table = top.table("outcomes")
    found = OutcomeRules(
        on_time=table.integer("on_time", 0, MOST_SHARE),
        confirmed=table.integer("confirmed", 0, MOST_SHARE),
        not_reopened=table.integer("not_reopened", 0, MOST_SHARE),
        prior_cases=table.integer("prior_cases", 1, MOST_CASES),
        prior_index=table.number("prior_index", 0, 100),
        show_from=table.integer("show_from", LEAST_SHOWN, MOST_CASES),
        few_count_as=table.integer("few_count_as", 1, LEAST_SHOWN - 1),
    )
    if table.sound and found.on_time + found.confirmed + found.not_reopened == 0:
        table.note("*", 0, "shares of which one is above 0", "correct on_time, confirmed, not_reopened")
    table.done()
    return found
