"""The section ``[intake.screening]`` of a rule pack; see `shared.rules.screening`."""

from enum import StrEnum
from typing import Protocol, Self, TypeVar

from shared.kernel.grades import Channel
from shared.rules.screening import Baseline, ClusterRule, Familiar, Screening, SurgeRule, Vouched

_E = TypeVar("_E", bound=StrEnum)
_MOST = 1_000_000
_LONGEST_S = 31 * 86_400


class Table(Protocol):
    """What reading needs of the strict tables of `shared.rules.parsing`."""

    def keys(self) -> tuple[str, ...]:
        """The keys that are there."""
        ...

    def value(self, key: str, expected: str) -> object:
        """The value of a key, noting a problem if it is missing."""
        ...

    def note(self, key: str, value: object, expected: str, remedy: str) -> None:
        """Note a problem."""
        ...

    def table(self, key: str) -> Self:
        """A table below this one."""
        ...

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number in a range."""
        ...

    def number(self, key: str, low: float, high: float) -> float:
        """A number in a range."""
        ...

    def done(self) -> None:
        """Note the keys that nobody asked for."""
        ...


def parse_screening(table: Table | None) -> Screening:
    """Read the section; the defaults where a pack has none. Problems are noted in the table."""
    if table is None:
        return Screening()
    found = Screening(
        enabled=_flag(table, "enabled"),
        exempt_imports=_flag(table, "exempt_imports"),
        staff_channels=_words(table, "staff_channels", Channel),
        shared_device_channels=_words(table, "shared_device_channels", Channel),
        text_min_chars=table.integer("text_min_chars", 4, 10_000),
        act_within_s=table.number("act_within_s", 60, 400 * 86_400),
        most_members=table.integer("most_members", 1000, 100_000_000),
        device=_cluster(table.table("device")),
        shared_device=_cluster(table.table("shared_device")),
        address=_cluster(table.table("address")),
        text=_cluster(table.table("text")),
        near_text=_cluster(table.table("near_text")),
        hour=_surge(table.table("hour")),
        day=_surge(table.table("day")),
        vouched=_vouched(table.table("vouched")),
        tokens=_vouched(table.table("tokens")),
        familiar=_familiar(table.table("familiar")),
        baseline=_baseline(table.table("baseline")),
    )
    table.done()
    return found


def _flag(table: Table, key: str) -> bool:
    value = table.value(key, "true or false")
    if isinstance(value, bool):
        return value
    if value is not None:
        table.note(key, value, "true or false", "write it without quotes")
    return True


def _words(table: Table, key: str, kind: type[_E]) -> tuple[_E, ...]:
    expected = f"a list of {', '.join(member.value for member in kind)}"
    value = table.value(key, expected)
    if isinstance(value, list):
        found = tuple(member for member in kind if member.value in value)
        if len(found) == len(value):
            return found
    if value is not None:
        table.note(key, value, expected, "correct the list, each word once")
    return ()


def _cluster(table: Table) -> ClusterRule:
    found = ClusterRule(
        within_s=table.number("within_s", 60, _LONGEST_S),
        most=table.integer("most", 1, _MOST),
        keep=table.integer("keep", 0, _MOST),
        all_from=table.integer("all_from", 2, _MOST),
        usual=table.number("usual", 0, 1000),
    )
    if found.keep > found.most:
        table.note("keep", found.keep, f"at most most ({found.most})", "lower it")
    if table.keys() and found.all_from <= found.most:
        table.note("all_from", found.all_from, f"more than most ({found.most})", "raise it")
    table.done()
    return found


def _vouched(table: Table) -> Vouched:
    found = Vouched(
        hour=_surge(table.table("hour")),
        day=_surge(table.table("day")),
        week=_surge(table.table("week"), longest_s=_LONGEST_S),
    )
    table.done()
    return found


def _familiar(table: Table) -> Familiar:
    found = Familiar(
        since_days=table.integer("since_days", 1, 400),
        on_days=table.integer("on_days", 1, 400),
        most=table.integer("most", 1, 1000),
        pace=_surge(table.table("pace")),
    )
    table.done()
    return found


def _surge(table: Table, longest_s: float = 2 * 86_400) -> SurgeRule:
    found = SurgeRule(
        within_s=table.number("within_s", 60, longest_s),
        least=table.integer("least", 1, _MOST),
        ratio=table.number("ratio", 1, 1000),
        deviations=table.number("deviations", 0, 100),
        day_share=table.number("day_share", 0.01, 31),
    )
    table.done()
    return found


def _baseline(table: Table) -> Baseline:
    found = Baseline(
        days=table.integer("days", 1, 60),
        peer_days=table.number("peer_days", 0, 1000),
        dispersion=table.number("dispersion", 0, 100),
        min_days=table.integer("min_days", 0, 60),
        fresh_day=table.number("fresh_day", 0, _MOST),
        busy_damping=table.number("busy_damping", 0.001, 1_000_000),
    )
    table.done()
    return found
