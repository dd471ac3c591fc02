"""What a rule pack says about people's data; part of `RulePack`. Without the table: these numbers."""

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True, slots=True)
class People:
    """Time limits of looking at what the vault keeps.

    Attributes:
        unmask_decide_hours: how long a second person may decide about a request to unmask.
        unmask_show_hours: how long it may be read once that person has agreed.
    """

    unmask_decide_hours: int = 72
    unmask_show_hours: int = 24


class _Table(Protocol):
    def integer(self, key: str, low: int, high: int) -> int: ...

    def keys(self) -> tuple[str, ...]: ...

    def done(self) -> None: ...


MOST_HOURS = 24 * 31


def read_people(table: _Table) -> People:
    """Read the table ``[people]``; keys that are left out have their usual value."""
    given = {
        each.name: table.integer(each.name, 1, MOST_HOURS)
        for each in fields(People)
        if each.name in table.keys()  # noqa: SIM118 - a method of ours, not a dict
    }
    table.done()
    return People(**given)
