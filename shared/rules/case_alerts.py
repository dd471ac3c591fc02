"""What a rule pack says about alerts on cases, strikes and sanctions; part of `Alerts`.

Everything here is optional in a pack: without a table or a key, these numbers.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shared.rules.alerting import Severity

if TYPE_CHECKING:
    from shared.rules.table import Table

TABLES: Final[tuple[str, ...]] = (
    "case_opened", "case_assigned", "case_clock", "case_overdue", "case_reopened", "case_refused_again",
)  # fmt: skip
"""Tables of ``[alerts]`` that are read here, each named as its rule."""


@dataclass(frozen=True, slots=True)
class CaseStepRule:
    """A step of a case that somebody has to know of."""

    severity: Severity


@dataclass(frozen=True, slots=True)
class CaseClockRule:
    """So many per cent of a case's time are used up.

    Attributes:
        percents: of the reminders that ``[rectify]`` has, those that are told.
        severity: until `urgent_from`.
        urgent_from: per cent from which on it is `urgent_severity`.
    """

    percents: tuple[int, ...] = (50, 80, 100)
    severity: Severity = Severity.INFO
    urgent_from: int = 80
    urgent_severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class CaseRefusedAgainRule:
    """The answers to a case were refused at least `times` times."""

    times: int = 2
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class CaseAlerts:
    """The rules that `read_case_alerts` finds in ``[alerts]``."""

    opened: CaseStepRule = field(default_factory=lambda: CaseStepRule(Severity.WARNING))
    assigned: CaseStepRule = field(default_factory=lambda: CaseStepRule(Severity.INFO))
    clock: CaseClockRule = field(default_factory=CaseClockRule)
    overdue: CaseStepRule = field(default_factory=lambda: CaseStepRule(Severity.WARNING))
    reopened: CaseStepRule = field(default_factory=lambda: CaseStepRule(Severity.WARNING))
    refused_again: CaseRefusedAgainRule = field(default_factory=CaseRefusedAgainRule)


@dataclass(frozen=True, slots=True)
class SanctionAlerts:
    """The rules that `read_sanction_alerts` finds in ``[alerts]``: how urgent each is."""

    strike: Severity = Severity.WARNING
    to_decide: Severity = Severity.WARNING
    step: Severity = Severity.WARNING
    nomination: Severity = Severity.INFO
    to_confirm: Severity = Severity.INFO
    candidate: Severity = Severity.WARNING
    check: Severity = Severity.INFO


def read_sanction_alerts(alerts: "Table") -> SanctionAlerts:
    """Read the optional tables of ``[alerts]`` on strikes, sanctions, nominations, candidates and checks."""
    usual = SanctionAlerts()

    def severity(name: str, default: Severity) -> Severity:
        if name not in alerts.keys():  # noqa: SIM118 - a table under strict reading, not a mapping
            return default
        table = alerts.table(name)
        found = table.choice("severity", Severity)
        table.done()
        return found

    return SanctionAlerts(
        severity("strike", usual.strike),
        severity("sanction_to_decide", usual.to_decide),
        severity("sanction_step", usual.step),
        severity("nomination_step", usual.nomination),
        severity("nomination_to_confirm", usual.to_confirm),
        severity("talk_candidate", usual.candidate),
        severity("quarterly_check", usual.check),
    )


def read_case_alerts(alerts: "Table") -> CaseAlerts:
    """Read the optional tables `TABLES` of ``[alerts]``."""
    tables = {name: alerts.table(name) for name in TABLES if name in alerts.keys()}  # noqa: SIM118 - a table under strict reading, not a mapping
    usual = CaseAlerts()
    clock, again = usual.clock, usual.refused_again

    def has(name: str, key: str) -> bool:
        return name in tables and key in tables[name].keys()  # noqa: SIM118 - as above

    def severity(name: str, default: Severity, key: str = "severity") -> Severity:
        return tables[name].choice(key, Severity) if has(name, key) else default

    def integer(name: str, key: str, default: int, high: int) -> int:
        return tables[name].integer(key, 1, high) if has(name, key) else default

    found = CaseAlerts(
        opened=CaseStepRule(severity("case_opened", usual.opened.severity)),
        assigned=CaseStepRule(severity("case_assigned", usual.assigned.severity)),
        clock=CaseClockRule(
            percents=tables["case_clock"].integers("percents", 1, 100)
            if has("case_clock", "percents")
            else clock.percents,
            severity=severity("case_clock", clock.severity),
            urgent_from=integer("case_clock", "urgent_from", clock.urgent_from, 100),
            urgent_severity=severity("case_clock", clock.urgent_severity, "urgent_severity"),
        ),
        overdue=CaseStepRule(severity("case_overdue", usual.overdue.severity)),
        reopened=CaseStepRule(severity("case_reopened", usual.reopened.severity)),
        refused_again=CaseRefusedAgainRule(
            integer("case_refused_again", "times", again.times, 100),
            severity("case_refused_again", again.severity),
        ),
    )
    for table in tables.values():
        table.done()
    return found
