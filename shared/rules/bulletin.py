"""What a rule pack says about bulletins 简报: the optional ``[bulletin]``; without it, these numbers."""

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What a bulletin shows.

    How many units it names at either end of a long list is the pack's `lists`.

    Attributes:
        least_group: k: a group of fewer people is neither counted nor found by subtraction.
        named_of_few: units that it names at the top of a list too short for `lists`.
        moved: most units named in one sentence: as excellent, as risen, as fallen.
        plotted: most units in a plot of a ranking; of a longer list its two ends.
    """

    least_group: int = 5
    named_of_few: int = 3
    moved: int = 5
    plotted: int = 20


class _Table(Protocol):
    def integer(self, key: str, low: int, high: int) -> int: ...

    def keys(self) -> tuple[str, ...]: ...

    def table(self, key: str) -> "_Table": ...

    def done(self) -> None: ...


LEAST = {"least_group": 5, "named_of_few": 1, "moved": 1, "plotted": 4}
"""Fewer than five would point at people."""
MOST = 100


def read_bulletin(pack: _Table) -> Bulletin:
    """Read the table ``[bulletin]`` of `pack`; what is left out has its usual value."""
    if "bulletin" not in pack.keys():  # noqa: SIM118 - a method of ours, not a dict
        return Bulletin()
    table = pack.table("bulletin")
    given = {
        each.name: table.integer(each.name, LEAST[each.name], MOST)
        for each in fields(Bulletin)
        if each.name in table.keys()  # noqa: SIM118 - a method of ours, not a dict
    }
    table.done()
    return Bulletin(**given)
