"""What a rule pack says about ladders, vetoes, nominations and talks.

Optional in a pack: `[ladders]`, and each of its keys; what is left out has the default here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from shared.rules.table import Table

LONGEST_MEASURE: Final = 64
MOST_STEPS: Final = 10
SEVERITIES: Final = ("ordinary", "major", "severe")
"""Of an incident, ascending: 一般, 重大, 特别重大."""
PERIODS: Final = ("month", "quarter", "year")


def _vetoes() -> Mapping[str, str]:
    return MappingProxyType(
        {
            "liability_accident": "major",
            "serious_violation": "ordinary",
            "crime": "ordinary",
            "group_petition": "ordinary",
            "broken_promise": "major",
        }
    )


@dataclass(frozen=True, slots=True)
class Ladders:
    """Steps, periods and bounds; wd are working days.

    Attributes:
        months: how long a strike counts.
        u_steps: measures of ladder U, a unit that neglects rectification; beyond the last it stays there.
        c_steps: measures of ladder C, verified complaints.
        c_strict: the stricter variant of ladder C: the first verified complaint leads to `c_strict_measure`.
        appeal_wd: how long a unit may appeal.
        vetoes: kinds of incidents that veto awards, with the least severity of each; not to be changed.
        veto_measure: what a veto is called.
        score_measure: what is proposed for the last of a closed list.
        award_periods: which closed periods lead to nominations and candidates, `Lists` many of each.
        score_line: a score is poor where nearly all of its distribution is below this.
        score_ratings: sum of weights that a proposal on a score needs.
    """

    months: int = 12
    u_steps: tuple[str, ...] = ("诫勉谈话", "通报批评", "组织处理建议")
    c_steps: tuple[str, ...] = ("诫勉谈话", "通报批评", "交流换岗")
    c_strict: bool = False
    c_strict_measure: str = "离岗"
    appeal_wd: int = 5
    vetoes: Mapping[str, str] = field(default_factory=_vetoes)
    veto_measure: str = "一票否决"
    score_measure: str = "约谈主要负责人"
    award_periods: tuple[str, ...] = ("quarter", "year")
    score_line: float = 0.80
    score_ratings: float = 30.0

    def steps(self, ladder: str) -> tuple[str, ...]:
        """Measures of ladder ``U`` or ``C``, the mildest first."""
        if ladder == "U":
            return self.u_steps
        return (self.c_strict_measure,) if self.c_strict else self.c_steps

    def vetoes_for(self, kind: str, severity: str | None) -> bool:
        """Whether an incident of `kind` and `severity` vetoes awards."""
        least = self.vetoes.get(kind)
        return least is not None and SEVERITIES.index(severity or "ordinary") >= SEVERITIES.index(least)


def read_ladders(top: "Table") -> Ladders:
    """Read ``[ladders]`` of a pack, if it is there; keys that are left out have their usual value."""
    if "ladders" not in top.keys():  # noqa: SIM118 - a method of ours, not a dict
        return Ladders()
    table = top.table("ladders")
    read: dict[str, Any] = {
        "months": lambda: table.integer("months", 1, 60),
        "u_steps": lambda: _measures(table, "u_steps"),
        "c_steps": lambda: _measures(table, "c_steps"),
        "c_strict": lambda: _flag(table, "c_strict"),
        "c_strict_measure": lambda: _measure(table, "c_strict_measure"),
        "appeal_wd": lambda: table.integer("appeal_wd", 1, 60),
        "vetoes": lambda: _severities(table.table("vetoes")),
        "veto_measure": lambda: _measure(table, "veto_measure"),
        "score_measure": lambda: _measure(table, "score_measure"),
        "award_periods": lambda: _periods(table),
        "score_line": lambda: table.number("score_line", 0.01, 0.99),
        "score_ratings": lambda: table.number("score_ratings", 1, 1_000_000),
    }
    given = {name: reader() for name, reader in read.items() if name in table.keys()}  # noqa: SIM118 - a method of ours, not a dict
    table.done()
    return Ladders(**given)


def _measure(table: "Table", key: str) -> str:
    return table.text(key, "a short term", lambda text: 0 < len(text.strip()) <= LONGEST_MEASURE)


def _measures(table: "Table", key: str) -> tuple[str, ...]:
    expected = f"a list of 1 to {MOST_STEPS} short terms, the mildest first"
    value = table.value(key, expected)
    if isinstance(value, list) and 1 <= len(value) <= MOST_STEPS:
        found = [each for each in value if isinstance(each, str) and 0 < len(each.strip()) <= LONGEST_MEASURE]
        if len(found) == len(value):
            return tuple(found)
    table.note(key, value, expected, 'write e.g. ["诫勉谈话", "通报批评"]')
    return ("",)


def _flag(table: "Table", key: str) -> bool:
    value = table.value(key, "true or false")
    if not isinstance(value, bool):
        table.note(key, value, "true or false", "write it without quotes")
    return value is True


def _severities(table: "Table") -> Mapping[str, str]:
    known = _vetoes()
    expected = f"one of {', '.join(SEVERITIES)}"
    found: dict[str, str] = {}
    for kind in table.keys():  # noqa: SIM118 - a method of ours, not a dict
        least = table.text(kind, expected, lambda text: text in SEVERITIES)
        if kind not in known:
            table.note(kind, kind, f"one of {', '.join(known)}", "remove or rename the kind")
        found[kind] = least
    return MappingProxyType(found)


def _periods(table: "Table") -> tuple[str, ...]:
    expected = f"a list of some of {', '.join(PERIODS)}"
    value = table.value("award_periods", expected)
    if isinstance(value, list) and all(each in PERIODS for each in value):
        return tuple(dict.fromkeys(value))
    table.note("award_periods", value, expected, 'write e.g. ["year"]')
    return ()
