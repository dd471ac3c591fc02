"""One table of a rule pack under strict reading, and the error that tells all that is wrong with a pack."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import TypeVar

from shared.kernel.errors import PermanentError, describe

_E = TypeVar("_E", bound=StrEnum)


class RulePackError(PermanentError):
    """A rule pack cannot be used; `problems` lists every finding."""

    def __init__(self, origin: str, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join((f"Rule pack {origin} cannot be used:", *(f"- {p}" for p in problems))))
        self.origin = origin
        self.problems = problems


class Table:
    """One TOML table under strict reading; notes problems instead of raising, so that all are found."""

    def __init__(self, data: Mapping[str, object], place: str, problems: list[str]) -> None:
        self._data = data
        self._place = place
        self._problems = problems
        self._read: set[str] = set()
        self._noted = len(problems)

    @property
    def sound(self) -> bool:
        """Whether nothing was noted since reading of this table began."""
        return len(self._problems) == self._noted

    def at(self, key: str) -> str:
        """Where `key` stands, for messages."""
        return f"{self._place}.{key}" if self._place else key

    def note(self, key: str, value: object, expected: str, remedy: str) -> None:
        """Take down what is wrong with `key`."""
        self._problems.append(f"{self.at(key)}: {describe(value, expected, remedy)}")

    def keys(self) -> tuple[str, ...]:
        """All keys that are there."""
        return tuple(self._data)

    def value(self, key: str, expected: str) -> object:
        """What stands under `key`; noted if nothing does."""
        self._read.add(key)
        if key not in self._data:
            self._problems.append(f"{self.at(key)}: missing, expected {expected}: add the key.")
        return self._data.get(key)

    def table(self, key: str) -> "Table":
        """The table under `key`; an empty one, noted, if it is something else."""
        value = self.value(key, "a table")
        if not isinstance(value, dict):
            if value is not None:
                self.note(key, value, "a table", f"write [{self.at(key)}]")
            return Table({}, self.at(key), [])  # its keys are missing too, but one finding is enough
        return Table(value, self.at(key), self._problems)

    def text(self, key: str, expected: str, accept: Callable[[str], bool]) -> str:
        """A text that `accept`s; else noted, and empty."""
        value = self.value(key, expected)
        if isinstance(value, str) and accept(value):
            return value
        if value is not None:
            self.note(key, value, expected, "correct the text")
        return ""

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number of the range; else noted, and `low`."""
        expected = f"a whole number from {low} to {high}"
        value = self.value(key, expected)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        if value is not None:
            self.note(key, value, expected, "set it within that range, without quotes")
        return low

    def number(self, key: str, low: float, high: float) -> float:
        """A number of the range; else noted, and `low`."""
        expected = f"a number from {low:g} to {high:g}"
        value = self.value(key, expected)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        if value is not None:
            self.note(key, value, expected, "set it within that range, without quotes")
        return low

    def day(self, key: str, *, required: bool) -> date | None:
        """A date; None where it may be left out."""
        if not required and key not in self._data:
            return None
        expected = "a date"
        value = self.value(key, expected)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if value is not None:
            self.note(key, value, expected, "write it as YYYY-MM-DD, without time and quotes")
        return None

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """An ascending list of whole numbers of the range; else noted."""
        expected = f"an ascending list of different whole numbers from {low} to {high}"
        value = self.value(key, expected)
        if isinstance(value, list) and value:
            whole = [v for v in value if isinstance(v, int) and not isinstance(v, bool) and low <= v <= high]
            if len(whole) == len(value) and sorted(set(whole)) == whole:
                return tuple(whole)
        if value is not None:
            self.note(key, value, expected, "correct the list, e.g. [1, 2]")
        return (low,)

    def choice(self, key: str, choices: type[_E]) -> _E:
        """One of `choices`; else noted, and the first."""
        names = ", ".join(member.value for member in choices)
        value = self.value(key, f"one of {names}")
        for member in choices:
            if member.value == value:
                return member
        if value is not None:
            self.note(key, value, f"one of {names}", "choose one of them")
        return next(iter(choices))

    def done(self) -> None:
        """Note every key that nobody has read."""
        for key in self._data:
            if key not in self._read:
                known = ", ".join(sorted(self._read))
                self.note(key, key, f"one of the keys {known}", "remove or rename the key")
