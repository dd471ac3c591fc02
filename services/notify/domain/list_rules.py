"""The rules on closed lists: pure functions of one fact and the rule pack, like those in `rules`.

Who is among the first goes up the levels: each is asked for its word once it is its turn. Who is among the
last is a candidate for a talk, which is for a person to decide: told one level up, and not to the unit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from services.notify.domain.about import alert_about
from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.facts import Cause
from services.notify.domain.list_facts import CandidateFact, NominationFact, QuarterClosed
from shared.rules.alerting import Severity
from shared.rules.pack import RulePack

MOST_EVIDENCE: Final = 20
LEVELS: Final[Mapping[str, str]] = {
    "window": "窗口", "county": "县级", "city": "市级", "province": "省级",
}  # fmt: skip
_STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "unit-nominated": ("推荐提名", "在{period}榜单({list})中列第{rank}名,已列入推荐,待{awaits}确认。"),
    "nomination-confirmed": ("推荐进展", "{period}榜单({list})的推荐已获一级确认,待{awaits}确认。"),
    "nomination-withdrawn": ("推荐撤销", "因一票否决,{period}榜单({list})的推荐已撤销。"),
}
_THROUGH: Final = ("推荐通过", "{period}榜单({list})的推荐已获各级确认。")


def nomination_step(fact: NominationFact, rules: RulePack) -> Alert | None:
    """The unit hears that it is nominated, how far it has come, and that it is so no more."""
    title, body = _STEPS.get(fact.fact, ("", ""))
    if fact.fact == "nomination-confirmed" and fact.awaits is None:
        title, body = _THROUGH
    if not title:
        return None
    words = {
        "period": fact.period,
        "list": fact.list,
        "rank": fact.rank,
        "awaits": LEVELS.get(fact.awaits or "", fact.awaits or ""),
    }
    name = fact.cause.unit_name
    return _of_nomination(
        "nomination_step",
        rules.alerts.sanctions.nomination,
        fact.cause,
        fact,
        f"{title}:{name}",
        f"{name}{body.format(**words)}",
    )


def nomination_to_confirm(fact: NominationFact, rules: RulePack) -> Alert | None:
    """The next level is asked for its word: told one level above who spoke last."""
    if fact.below is None or fact.awaits is None:
        return None
    name, level = fact.cause.unit_name, LEVELS.get(fact.awaits, fact.awaits)
    return _of_nomination(
        "nomination_to_confirm",
        rules.alerts.sanctions.to_confirm,
        fact.below,
        fact,
        f"推荐待确认:{name}",
        f"{name}在{fact.period}榜单({fact.list})中列第{fact.rank}名,请{level}核实后确认推荐。",
    )


def talk_candidate(fact: CandidateFact, rules: RulePack) -> Alert:
    """A unit is among the last of a closed list; nothing follows unless a person decides so."""
    name = fact.cause.unit_name
    more = (
        "评价数量和得分足以提出约谈建议,建议另行待签。"
        if fact.proposable
        else "评价数量或得分尚不足以提出约谈建议。"
    )
    return _about(
        "talk_candidate",
        rules.alerts.sanctions.candidate,
        fact.cause,
        fact.rests_on,
        title=f"约谈候选:{name}",
        body=(
            f"{name}在{fact.period}榜单({fact.list})的{fact.ranked}个单位中列第{fact.rank}名,"
            f"得分{fact.score:g}(90%区间上限{fact.interval_high:g}),列为约谈候选,是否约谈由上级决定。{more}"
        ),
        figures={
            "list": fact.list,
            "period": fact.period,
            "rank": str(fact.rank),
            "ranked": str(fact.ranked),
            "score": f"{fact.score:g}",
            "interval_high": f"{fact.interval_high:g}",
            "weight": f"{fact.n:g}",
            "proposable": "yes" if fact.proposable else "no",
            "subject_id": fact.candidate_id,
            "threshold": f"rank>{fact.ranked - rules.lists.bottom}",
        },
    )


def quarterly_check(fact: QuarterClosed, rules: RulePack) -> tuple[Alert, ...]:
    """A quarter's results are final: each region checks what is below it, once for each quarter."""
    command = f"pingyi sanctions check {fact.quarter}"
    return tuple(
        Alert(
            alert_id=alert_id("quarterly_check", fact.quarter, city, county),
            rule="quarterly_check",
            severity=rules.alerts.sanctions.check,
            known_at=fact.known_at,
            unit_id=None,
            unit_name=None,
            city=city,
            county=county,
            title=f"季度检查:{name}{fact.quarter}",
            body=(
                f"{fact.quarter}评议结果已定,请{name}对所辖单位开展季度检查:未结和逾期的整改件、未签的问责建议、"
                f"待裁定的申诉和待确认的推荐(用 {command} 查看)。"
            ),
            evidence=(fact.event_id,),
            figures={"place": name, "period": fact.quarter, "command": command},
        )
        for city, county, name in fact.places
    )


def nomination_alerts(fact: NominationFact, rules: RulePack) -> tuple[Alert, ...]:
    """Return what the rules on nominations find."""
    found = (nomination_step(fact, rules), nomination_to_confirm(fact, rules))
    return tuple(alert for alert in found if alert is not None)


def _of_nomination(
    rule: str, severity: Severity, cause: Cause, fact: NominationFact, title: str, body: str
) -> Alert:
    figures = {
        "fact": fact.fact,
        "nominee": fact.cause.unit_name,
        "list": fact.list,
        "period": fact.period,
        "rank": str(fact.rank),
        **({} if fact.awaits is None else {"awaits": fact.awaits}),
        "subject_id": fact.nomination_id,
    }
    return _about(rule, severity, cause, fact.rests_on, title=title, body=body, figures=figures)


def _about(
    rule: str,
    severity: Severity,
    cause: Cause,
    rests_on: tuple[str, ...],
    *,
    title: str,
    body: str,
    figures: Mapping[str, str],
) -> Alert:
    alert = alert_about(rule, severity, cause, title=title, body=body, figures=figures)
    return replace(alert, evidence=(*alert.evidence, *rests_on[-MOST_EVIDENCE:]))
