"""Administrative divisions by GB/T 2260, effective-dated.

Codes change (360122 became 360112 in 2015), so a ranking of 2009 and one of today each ask for the list
of their own day. A row is in force on the days ``valid_from <= day < valid_to``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.tables import read_date, read_end, read_table

LIST_DATE: Final = date(2009, 12, 31)
"""Day of the code list on which the shipped unit registry rests: 11 cities and 99 counties."""

COLUMNS: Final = ("code", "name", "level", "parent", "valid_from", "valid_to")
"""Header of ``data/divisions.csv``."""


@dataclass(frozen=True, slots=True)
class Division:
    """One code under one name during one period.

    Attributes:
        code: six digits.
        name: official name, e.g. 南昌县.
        level: province, city or county (a district or county-level city counts as county).
        parent: code of the division above; None for the province.
        valid_from: first day in force; the day of the first code list that shows it.
        valid_to: first day no longer in force; None while in force.
    """

    code: str
    name: str
    level: Level
    parent: str | None
    valid_from: date
    valid_to: date | None

    def in_force(self, on: date) -> bool:
        """Tell whether this row holds on the day `on`."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


class DivisionRegistry:
    """All divisions over time; every answer is for one day, by default `LIST_DATE`."""

    def __init__(self, divisions: Iterable[Division]) -> None:
        """Index `divisions`.

        Raises:
            InvalidValueError: two rows of one code are in force on the same day.
        """
        self._rows: dict[str, list[Division]] = {}
        for row in sorted(divisions, key=lambda d: (d.code, d.valid_from)):
            rows = self._rows.setdefault(row.code, [])
            if rows and rows[-1].in_force(row.valid_from):
                raise InvalidValueError(
                    row, "no overlap with the code's earlier row", "end the earlier row first"
                )
            rows.append(row)
        self._lists: dict[date, dict[str, Division]] = {}

    def __iter__(self) -> Iterator[Division]:
        """Iterate over the rows of all times, by code and first day."""
        return (row for rows in self._rows.values() for row in rows)

    @classmethod
    def load(cls, path: Path | None = None) -> "DivisionRegistry":
        """Read the committed table, or `path` in the same form.

        Raises:
            InvalidValueError: malformed table.
        """
        return cls(
            Division(
                code=row["code"],
                name=row["name"],
                level=Level(row["level"]),
                parent=row["parent"] or None,
                valid_from=read_date(row["valid_from"]),
                valid_to=read_end(row["valid_to"]),
            )
            for row in read_table("divisions.csv", COLUMNS, path)
        )

    def _list(self, on: date) -> dict[str, Division]:
        found = self._lists.get(on)
        if found is None:
            found = {
                code: row for code, rows in self._rows.items() for row in reversed(rows) if row.in_force(on)
            }
            self._lists[on] = found
        return found

    def at(self, on: date = LIST_DATE) -> tuple[Division, ...]:
        """Return the list in force on the day `on`, ordered by code; empty before the first list."""
        return tuple(self._list(on).values())

    def get(self, code: str, on: date = LIST_DATE) -> Division:
        """Return the division that has `code` on the day `on`.

        Raises:
            NotFoundError: unknown code, or a code of another time (the message says which).
        """
        found = self._list(on).get(code)
        if found is not None:
            return found
        rows = self._rows.get(code)
        if rows is None:
            raise NotFoundError(
                code, f"a GB/T 2260 code in force on {on}", "look the code up in data/divisions.csv"
            )
        periods = "; ".join(f"{row.name} from {row.valid_from} to {row.valid_to or 'now'}" for row in rows)
        raise NotFoundError(code, f"a code in force on {on}", f"use a day on which it holds ({periods})")

    def knows(self, code: str) -> bool:
        """Whether `code` was in force on any day."""
        return code in self._rows

    def latest(self, code: str) -> Division:
        """Return the last division that had `code`, whether it is in force or not.

        Raises:
            NotFoundError: no division ever had it.
        """
        rows = self._rows.get(code)
        if rows is None:
            raise NotFoundError(code, "a GB/T 2260 code", "look it up, or load it with the registry first")
        return rows[-1]

    def children(self, code: str, on: date = LIST_DATE) -> tuple[Division, ...]:
        """Return the divisions directly below `code` on the day `on`, ordered by code.

        Raises:
            NotFoundError: `code` is not in force on that day.
        """
        self.get(code, on)
        return tuple(row for row in self._list(on).values() if row.parent == code)

    def city_of(self, code: str, on: date = LIST_DATE) -> Division:
        """Return the prefecture city that `code` is or lies in.

        Raises:
            NotFoundError: `code` is not in force on that day.
            InvalidValueError: `code` is the province.
        """
        row = self.get(code, on)
        while row.level is not Level.CITY:
            if row.parent is None:
                raise InvalidValueError(code, "the code of a city or county", "a province lies in no city")
            row = self.get(row.parent, on)
        return row


@cache
def load_divisions() -> DivisionRegistry:
    """Return the committed registry, read once per process."""
    return DivisionRegistry.load()


@cache
def home_province() -> str:
    """The code of the province that this platform is of: the one that the committed registry has."""
    return next(row.code for row in load_divisions() if row.level is Level.PROVINCE)
