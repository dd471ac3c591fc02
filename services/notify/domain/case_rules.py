"""The rules on cases: pure functions of one fact about a case and the rule pack, like those in `rules`.

Who works on a case hears of it along the unit's chain; what is late, refused again or waits for a decision
goes one level up. No rule may copy a text of a case, or anything about the citizen, into an alert.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from services.notify.domain.about import alert_about
from services.notify.domain.alert import Alert
from services.notify.domain.case_facts import (
    CLASSIFY,
    CONFIRM,
    CONTACT,
    INQUIRY,
    PAUSE,
    REVIEW,
    SOLVE,
    CaseFact,
    ClockMark,
)
from shared.kernel.clock import SHANGHAI
from shared.rules.alerting import Severity
from shared.rules.pack import RulePack

FULL: Final = 100
CLOCKS: Final[Mapping[str, str]] = {
    CONTACT: "首次联系", CLASSIFY: "分类", SOLVE: "办结", CONFIRM: "群众反馈", REVIEW: "复核",
    PAUSE: "等待群众", INQUIRY: "答复质询",
}  # fmt: skip
"""What a clock is for, in Chinese."""
_FOR_THOSE_ABOVE: Final = frozenset({REVIEW, CONFIRM})
"""Clocks after which one level up decides: another look, or a word in a citizen's place."""
_ORIGINS: Final[Mapping[str, str]] = {"inspection": "抽查发现", "incident": "事件", "manual": "人工立案"}
_TODO: Final[Mapping[str, str]] = {
    CONTACT: "请尽快联系评价人。",
    CLASSIFY: "请尽快对整改件分类(A、B或C类)。",
    SOLVE: "请抓紧整改,按期答复。",
    PAUSE: "期满后自动恢复办理,请再次联系评价人,或按已掌握的情况办理。",
    INQUIRY: "请尽快答复上级质询。",
}


def case_opened(fact: CaseFact, rules: RulePack) -> Alert | None:
    """A case was opened by a finding or by hand; what a bad review opens, `bad_review` has told."""
    if fact.fact != "opened" or fact.has_citizen:
        return None
    name, why = fact.cause.unit_name, _ORIGINS.get(fact.origin, fact.origin)
    return _alert(
        "case_opened",
        rules.alerts.cases.opened.severity,
        fact,
        title=f"整改立案:{name}({why})",
        body=f"{name}因{why}立案整改。请按时限分类、交办并制定整改方案。",
    )


def case_assigned(fact: CaseFact, rules: RulePack) -> Alert | None:
    """A case was handed to somebody, or somebody is asked to take it over, or does not, or is questioned."""
    told = {
        "assigned": ("整改件交办", "已交由贵单位办理,请制定整改方案"),
        "transfer-proposed": ("整改件申请转办", "申请转由贵单位办理,请接受,或说明理由予以否决"),
        "inquired": ("上级质询", "收到上级质询,请按时答复"),
        "transfer-refused": ("整改件转办被否决", "的转办申请被否决,仍由贵单位办理"),
    }.get(fact.fact)
    if told is None:
        return None
    asked = fact.fact == "inquired"  # has a clock of its own, which reminds
    until = "" if fact.due_at is None or asked else f"答复时限:{_moment(fact.due_at)}。"
    post = "" if fact.handler is None else f"责任岗位:{fact.handler}。"
    return _alert(
        "case_assigned",
        rules.alerts.cases.assigned.severity,
        fact,
        title=f"{told[0]}:{fact.cause.unit_name}",
        body=f"关于{fact.about}的整改件{told[1]}。{post}{until}",
        more={"fact": fact.fact},
    )


def case_clock(fact: CaseFact, rules: RulePack) -> Alert | None:
    """So many per cent of a clock's time are used up, and the unit can still, or should now, do something.

    Not of the citizen's own time, after which only the level above may take silence for consent, not of what
    else that level decides, and not when a later reminder of the same clock is due as well.
    """
    clock, rule = fact.clock, rules.alerts.cases.clock
    if (
        clock is None
        or clock.overtaken
        or clock.name in _FOR_THOSE_ABOVE
        or clock.percent not in rule.percents
    ):
        return None
    name = fact.cause.unit_name
    label = CLOCKS.get(clock.name, clock.name)
    late = clock.percent >= FULL and clock.name != PAUSE  # what ends then is a wait
    return _alert(
        "case_clock",
        rule.urgent_severity if clock.percent >= rule.urgent_from else rule.severity,
        fact,
        title=f"整改{'逾期' if late else '时限提醒'}:{name}{label}时限已用{clock.percent}%",
        body=f"关于{fact.about}的整改件,{label}时限已用{clock.percent}%。{_TODO.get(clock.name, '')}",
        more=_of_clock(clock, ",".join(f"{percent}%" for percent in rule.percents)),
    )


def case_overdue(fact: CaseFact, rules: RulePack) -> Alert | None:
    """A deadline has passed, or a decision of the level above is due: told one level up."""
    clock = fact.clock
    if clock is None or clock.percent < FULL:
        return None
    name, label = fact.cause.unit_name, CLOCKS.get(clock.name, clock.name)
    if clock.name == REVIEW:
        title, body = f"C类件到期复核:{name}", "的C类整改件复核期已到,请复核是否已具备解决条件。"
    elif clock.name == CONFIRM and fact.has_citizen:
        title = f"群众反馈期已满:{name}"
        body = "的整改件在反馈期内没有收到群众意见,可按逾期未反馈确认,请核对答复后确认。"
    elif clock.name == PAUSE:
        title, body = f"等待群众期满:{name}", "的整改件等待群众期满,已自动恢复办理,请督促办理。"
    elif clock.name == INQUIRY:
        title, body = f"质询逾期未复:{name}", "的整改件上级质询逾期未复,请督促答复。"
    elif clock.name == CONFIRM:
        title, body = f"整改待核验:{name}", "的整改件没有评价人可确认,请上级核验后确认。"
    else:
        title, body = f"整改逾期:{name}{label}", f"的整改件{label}逾期,请督促办理;逾期将计入考核。"
    return _alert(
        "case_overdue",
        rules.alerts.cases.overdue.severity,
        fact,
        title=title,
        body=f"关于{fact.about}{body}",
        more=_of_clock(clock, f"{FULL}%"),
    )


def case_reopened(fact: CaseFact, rules: RulePack) -> Alert | None:
    """The citizen does not accept the answer, or a look back found that it did not last."""
    if not _reopened(fact):
        return None
    refused = fact.fact == "answer-refused"
    why = "群众不认可答复" if refused else "回头看未通过"
    until = "" if fact.due_at is None else f"新的答复时限:{_moment(fact.due_at)}。"
    return _alert(
        "case_reopened",
        rules.alerts.cases.reopened.severity,
        fact,
        title=f"{why}:{fact.cause.unit_name}",
        body=f"关于{fact.about}的整改件{why},已重新办理(第{fact.refused}次)。请重新整改并答复。{until}",
        more={"refused": str(fact.refused)},
    )


def case_refused_again(fact: CaseFact, rules: RulePack) -> Alert | None:
    """The answers to one case were refused so often that it looks perfunctory 敷衍整改: told one level up."""
    rule = rules.alerts.cases.refused_again
    if not _reopened(fact) or fact.refused < rule.times:
        return None
    name = fact.cause.unit_name
    return _alert(
        "case_refused_again",
        rule.severity,
        fact,
        title=f"多次不认可:{name}",
        body=f"{name}办理的整改件已第{fact.refused}次未获认可或回头看未通过,请上级核查是否敷衍整改。",
        more={"refused": str(fact.refused), "threshold": f"times>={rule.times}"},
    )


CASE_RULES: Final[tuple[Callable[[CaseFact, RulePack], Alert | None], ...]] = (
    case_opened, case_assigned, case_clock, case_overdue, case_reopened, case_refused_again,
)  # fmt: skip
"""Rules over facts about cases."""

LOOKED_AT: Final = frozenset(
    {
        "opened",
        "assigned",
        "transfer-proposed",
        "transfer-refused",
        "inquired",
        "clock-reached",
        "answer-refused",
        "spot-checked",
    }
)
"""Facts that any of `CASE_RULES` could fire on: the others are not looked at."""


def case_alerts(fact: CaseFact, rules: RulePack) -> tuple[Alert, ...]:
    """Return what every rule on cases finds, in the order of `CASE_RULES`."""
    return tuple(alert for rule in CASE_RULES if (alert := rule(fact, rules)) is not None)


def _reopened(fact: CaseFact) -> bool:
    return fact.fact == "answer-refused" or (fact.fact == "spot-checked" and fact.passed is False)


def _of_clock(clock: ClockMark, threshold: str) -> dict[str, str]:
    return {
        "clock": clock.name,
        "percent": str(clock.percent),
        "due_at": _moment(clock.due_at),
        "threshold": threshold,
    }


def _moment(at: datetime) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def _alert(
    rule: str,
    severity: Severity,
    fact: CaseFact,
    *,
    title: str,
    body: str,
    more: Mapping[str, str] | None = None,
) -> Alert:
    return alert_about(
        rule,
        severity,
        fact.cause,
        title=title,
        body=body,
        figures={
            "case_id": fact.case_id,
            "status": fact.status,
            **({"case_class": fact.case_class} if fact.case_class else {}),
            **(more or {}),
        },
    )
