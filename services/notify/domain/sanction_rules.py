"""The rules on strikes and sanctions: pure functions of one fact and the rule pack, like those in `rules`.

A proposal is not the unit's business before a person has signed it: whoever is to sign hears of it, one level
up. What counts against the unit, and what is in force, it hears of itself, with its time to appeal.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.notify.domain.about import alert_about
from services.notify.domain.alert import Alert
from services.notify.domain.sanction_facts import SanctionFact
from shared.kernel.clock import SHANGHAI
from shared.rules.alerting import Severity
from shared.rules.pack import RulePack

MOST_EVIDENCE: Final = 20
_GROUNDS: Final[Mapping[str, str]] = {
    "U": "整改不力", "C": "查实投诉", "veto": "一票否决", "score": "群众评议靠后",
}  # fmt: skip
_WHY: Final[Mapping[str, str]] = {
    "overdue": "整改逾期",
    "failed_check": "回头看未通过",
    "complaint": "投诉查实",
    "case_annulled": "整改件已撤销",
    "unfounded": "查无实据",
    "sanction_rejected": "问责建议未获签署",
    "appeal_granted": "申诉成立",
    "strike_fell_away": "所依据的计次已撤销",
    "finding_fell_away": "所依据的检查结论已撤销",
}
_IN_FORCE: Final[Mapping[str, tuple[str, str]]] = {
    "signed": ("问责决定", "{measure}已签署生效。{appeal}"),
    "veto-imposed": ("一票否决", "{measure}已签署生效,当年不得评先评优。{appeal}"),
}
_OFF: Final[Mapping[str, tuple[str, str]]] = {
    "withdrawn": ("问责撤销", "{measure}不再有效({why})。"),
    "veto-lifted": ("一票否决解除", "{measure}不再有效({why}),恢复评先评优资格。"),
}


def strike(fact: SanctionFact, rules: RulePack) -> Alert | None:
    """A verified neglect or complaint counts against the unit, or counts no more."""
    counted = fact.fact == "strike-counted"
    if not counted and fact.fact != "strike-withdrawn":
        return None
    name, why = fact.cause.unit_name, _WHY.get(fact.why or "", fact.why or "")
    ground = _GROUNDS.get(fact.ground, fact.ground)
    if counted:
        title = f"问责计次:{name}({why})"
        body = f"{name}因{why}记“{ground}”一次;问责须经上级签署后方可生效,可以申诉。"
    else:
        title = f"问责计次撤销:{name}"
        body = f"{name}的一次“{ground}”计次已撤销({why})。"
    severity = rules.alerts.sanctions.strike
    return _alert("strike", severity if counted else Severity.INFO, fact, title, body)


def sanction_to_decide(fact: SanctionFact, rules: RulePack) -> Alert | None:
    """A sanction is proposed, or appealed against: somebody one level up has to decide."""
    name, measure = fact.cause.unit_name, fact.measure or ""
    ground = _GROUNDS.get(fact.ground, fact.ground)
    if fact.fact == "proposed":
        title = f"问责待签:{name} {measure}"
        body = f"系统建议对{name}{measure}({ground},第{fact.step}步)。请核对所依据的事件,签署或说明理由否决。"
    elif fact.fact == "appealed":
        title = f"问责申诉待裁定:{name} {measure}"
        body = f"{name}对{measure}提出申诉,裁定前决定仍然有效。请由签署人以外的人裁定。"
    else:
        return None
    return _alert("sanction_to_decide", rules.alerts.sanctions.to_decide, fact, title, body)


def sanction_step(fact: SanctionFact, rules: RulePack) -> Alert | None:
    """A sanction of the unit is in force, stays so, or is so no more."""
    severity = rules.alerts.sanctions.step
    name = fact.cause.unit_name
    until = _moment(fact.appeal_until)
    appeal = "" if until is None else f"如有异议,可在{until}前申诉。"
    words = {"measure": fact.measure or "", "why": _WHY.get(fact.why or "", fact.why or ""), "appeal": appeal}
    if fact.fact in _IN_FORCE:
        title, body = _IN_FORCE[fact.fact]
    elif fact.fact in _OFF:
        (title, body), severity = _OFF[fact.fact], Severity.INFO
    elif fact.fact == "appeal-decided" and fact.granted:
        title, body, severity = "申诉成立", "{measure}已撤销,相应计次一并撤销。", Severity.INFO
    elif fact.fact == "appeal-decided":
        title, body = "申诉未获支持", "{measure}维持有效。"
    else:
        return None
    return _alert(
        "sanction_step", severity, fact, f"{title}:{name} {fact.measure}", f"{name}:{body.format(**words)}"
    )


SANCTION_RULES: Final[tuple[Callable[[SanctionFact, RulePack], Alert | None], ...]] = (
    strike, sanction_to_decide, sanction_step,
)  # fmt: skip
"""Rules over facts about strikes and sanctions."""


def sanction_alerts(fact: SanctionFact, rules: RulePack) -> tuple[Alert, ...]:
    """Return what every rule on sanctions finds, in the order of `SANCTION_RULES`."""
    return tuple(alert for rule in SANCTION_RULES if (alert := rule(fact, rules)) is not None)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def _alert(rule: str, severity: Severity, fact: SanctionFact, title: str, body: str) -> Alert:
    figures = {
        "fact": fact.fact,
        "ground": fact.ground,
        "step": str(fact.step),
        "subject_id": fact.subject_id,
        "measure": fact.measure,
        "why": fact.why,
        "appeal_until": _moment(fact.appeal_until),
        "granted": None if fact.granted is None else "yes" if fact.granted else "no",
    }
    alert = alert_about(
        rule,
        severity,
        fact.cause,
        title=title,
        body=body,
        figures={name: value for name, value in figures.items() if value is not None},
    )
    return replace(alert, evidence=(*alert.evidence, *fact.rests_on[-MOST_EVIDENCE:]))
