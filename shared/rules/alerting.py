"""What a rule pack says about early warnings and about who is told; part of `RulePack`.

Everything here is optional in a pack: without a table or a key, these numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, TypeVar


class Severity(StrEnum):
    """How urgent an alert is, rising."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class SurgeRule:
    """More bad reviews of one kind of window in one county than its own past explains 群体性事件预警.

    Attributes:
        worst_grade: grades from 1 to this are bad.
        hours: length of the window that is looked at.
        baseline_days: days before the window that say what is usual.
        min_history_days: nothing is judged in a place with less history than this.
        min_ratings: bad reviews in the window from which on it is judged; at least 5 (k-anonymity).
        min_ratio: times the usual.
        probability: chance of as many without any cause, at most.
    """

    worst_grade: int = 2
    hours: int = 24
    baseline_days: int = 28
    min_history_days: int = 14
    min_ratings: int = 5
    min_ratio: float = 3.0
    probability: float = 1e-6
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class TooGoodRule:
    """Scoring flagged a unit's ratings as made up."""

    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class QuarantineShareRule:
    """A large share of a unit's ratings of the last `hours` is held; from `min_held` held ones on."""

    hours: int = 24
    min_held: int = 10
    share: float = 0.2
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class RankingStaleRule:
    """At least `min_ratings` ratings have waited for `minutes`, and no ranking with them was published."""

    minutes: int = 10
    min_ratings: int = 20
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class DeadLettersRule:
    """A consumer gave up on a message: one alert for each consumer and so many minutes."""

    period_minutes: int = 60
    severity: Severity = Severity.WARNING


RULE_NAMES: Final = frozenset(
    {
        "bad_review",
        "rank_drop",
        "band_change",
        "surge",
        "too_good",
        "quarantine_share",
        "ranking_stale",
        "dead_letters",
        "stream_diverged",
        "channel_disabled",
        "case_opened",
        "case_assigned",
        "case_clock",
        "case_overdue",
        "case_reopened",
        "case_refused_again",
        "strike",
        "sanction_to_decide",
        "sanction_step",
        "nomination_step",
        "nomination_to_confirm",
        "talk_candidate",
        "quarterly_check",
    }
)
"""Rules of alerts by name; grouping may be set for each."""

_GROUPED: Final = MappingProxyType({"rank_drop": 60, "band_change": 60, "too_good": 240, "case_clock": 60})


@dataclass(frozen=True, slots=True)
class EscalationMinutes:
    """How long an alert may wait for an acknowledgement before the next person is told; 0: for ever."""

    info: int = 0
    warning: int = 240
    critical: int = 15

    def of(self, severity: Severity) -> int:
        """Minutes for `severity`."""
        return int(getattr(self, severity.value))


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """Who is told when; times in minutes.

    Attributes:
        quota: alerts that one recipient is told at once within `quota_minutes`, critical ones aside.
        digest_minutes: what is over the quota, or grouped, comes together once in so many minutes.
        digest_most: alerts named in one digest; the others are counted.
        group_minutes: by rule: further alerts about the same unit within so many minutes go into a digest.
        escalate_minutes: by severity.
        first_step_critical: people of the chain that a critical alert is told to at once; else one.
        snooze_max_minutes: longest snooze.
    """

    quota: int = 30
    quota_minutes: int = 60
    digest_minutes: int = 60
    digest_most: int = 50
    group_minutes: Mapping[str, int] = field(default_factory=lambda: _GROUPED)
    escalate_minutes: EscalationMinutes = field(default_factory=EscalationMinutes)
    first_step_critical: int = 2
    snooze_max_minutes: int = 4320


_E = TypeVar("_E", bound=StrEnum)


class Table(Protocol):
    """A table of the pack under strict reading."""

    def integer(self, key: str, low: int, high: int) -> int: ...  # noqa: D102 - see parsing

    def number(self, key: str, low: float, high: float) -> float: ...  # noqa: D102 - see parsing

    def choice(self, key: str, choices: type[_E]) -> _E: ...  # noqa: D102 - see parsing

    def table(self, key: str) -> "Table": ...  # noqa: D102 - see parsing

    def note(self, key: str, value: object, expected: str, remedy: str) -> None: ...  # noqa: D102 - see parsing

    def keys(self) -> tuple[str, ...]: ...  # noqa: D102 - see parsing

    def done(self) -> None: ...  # noqa: D102 - see parsing


@dataclass(frozen=True, slots=True)
class Warnings:
    """The rules that `read_warnings` finds in ``[alerts]``."""

    surge: SurgeRule
    too_good: TooGoodRule
    quarantine_share: QuarantineShareRule
    ranking_stale: RankingStaleRule
    dead_letters: DeadLettersRule


class _Reader:
    """Reads the keys of one optional table, each of which may be left out."""

    def __init__(self, parent: Table, name: str) -> None:
        self._table = parent.table(name) if name in parent.keys() else None  # noqa: SIM118 - ours

    def _has(self, key: str) -> bool:
        return self._table is not None and key in self._table.keys()  # noqa: SIM118 - ours

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        return self._table.integer(key, low, high) if self._table and self._has(key) else default

    def number(self, key: str, default: float, low: float, high: float) -> float:
        return self._table.number(key, low, high) if self._table and self._has(key) else default

    def severity(self, default: Severity) -> Severity:
        return self._table.choice("severity", Severity) if self._table and self._has("severity") else default

    def part(self, key: str) -> "Table | None":
        return self._table.table(key) if self._table and self._has(key) else None

    def done(self) -> None:
        if self._table:
            self._table.done()


MINUTES: Final = (0, 60 * 24 * 31)
PERIOD: Final = (1, 60 * 24 * 31)


def read_warnings(alerts: Table) -> Warnings:
    """Read the optional rules of ``[alerts]``."""
    surge, good = _Reader(alerts, "surge"), _Reader(alerts, "too_good")
    held, stale = _Reader(alerts, "quarantine_share"), _Reader(alerts, "ranking_stale")
    letters = _Reader(alerts, "dead_letters")
    usual, share, old, dead = SurgeRule(), QuarantineShareRule(), RankingStaleRule(), DeadLettersRule()
    found = Warnings(
        SurgeRule(
            worst_grade=surge.integer("worst_grade", usual.worst_grade, 1, 4),
            hours=surge.integer("hours", usual.hours, 1, 24 * 7),
            baseline_days=surge.integer("baseline_days", usual.baseline_days, 7, 90),
            min_history_days=surge.integer("min_history_days", usual.min_history_days, 1, 90),
            min_ratings=surge.integer("min_ratings", usual.min_ratings, 5, 1_000_000),
            min_ratio=surge.number("min_ratio", usual.min_ratio, 1.0, 1_000.0),
            probability=surge.number("probability", usual.probability, 1e-15, 0.05),
            severity=surge.severity(usual.severity),
        ),
        TooGoodRule(good.severity(TooGoodRule().severity)),
        QuarantineShareRule(
            hours=held.integer("hours", share.hours, 1, 24 * 7),
            min_held=held.integer("min_held", share.min_held, 5, 1_000_000),
            share=held.number("share", share.share, 0.001, 1.0),
            severity=held.severity(share.severity),
        ),
        RankingStaleRule(
            minutes=stale.integer("minutes", old.minutes, *PERIOD),
            min_ratings=stale.integer("min_ratings", old.min_ratings, 1, 1_000_000),
            severity=stale.severity(old.severity),
        ),
        DeadLettersRule(
            letters.integer("period_minutes", dead.period_minutes, *PERIOD), letters.severity(dead.severity)
        ),
    )
    for part in (surge, good, held, stale, letters):
        part.done()
    return found


def read_routing(top: Table) -> RoutingRules:
    """Read the optional table ``[routing]``."""
    table, usual = _Reader(top, "routing"), RoutingRules()
    found = RoutingRules(
        quota=table.integer("quota", usual.quota, 1, 100_000),
        quota_minutes=table.integer("quota_minutes", usual.quota_minutes, *PERIOD),
        digest_minutes=table.integer("digest_minutes", usual.digest_minutes, *PERIOD),
        digest_most=table.integer("digest_most", usual.digest_most, 1, 200),
        group_minutes=_grouped(table.part("group_minutes")),
        escalate_minutes=_escalation(table.part("escalate_minutes")),
        first_step_critical=table.integer("first_step_critical", usual.first_step_critical, 1, 4),
        snooze_max_minutes=table.integer("snooze_max_minutes", usual.snooze_max_minutes, *PERIOD),
    )
    table.done()
    return found


def _grouped(table: Table | None) -> Mapping[str, int]:
    if table is None:
        return _GROUPED
    for key in set(table.keys()) - RULE_NAMES:
        table.note(key, key, f"one of the rules {', '.join(sorted(RULE_NAMES))}", "correct the name")
    return MappingProxyType({key: table.integer(key, *MINUTES) for key in table.keys()})  # noqa: SIM118 - ours


def _escalation(table: Table | None) -> EscalationMinutes:
    usual = EscalationMinutes()
    if table is None:
        return usual
    found = EscalationMinutes(
        **{
            each.value: table.integer(each.value, *MINUTES) if each.value in table.keys() else usual.of(each)  # noqa: SIM118 - ours
            for each in Severity
        }
    )
    table.done()
    return found
