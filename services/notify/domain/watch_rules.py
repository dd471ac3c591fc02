"""The rules over what was flagged, given up or counted: pure functions like those in `rules`.

What is about made-up ratings goes to those who supervise the unit and never to the unit itself; see
`catalogue`.
"""

from collections.abc import Sequence
from typing import Final

from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.channels import kind_of
from services.notify.domain.findings import DeadLetter, EndpointOff, Flag, HeldShare, Staleness, Surge
from shared.kernel.clock import SHANGHAI, business_day
from shared.kernel.units import ALL
from shared.rules.alerting import Severity
from shared.rules.pack import RulePack

DELIVERY: Final = "notify-deliver-"
"""Start of the names of the consumers that deliver; the channel's name follows."""

SIGNALS: Final = {
    "zero_variance": "评价毫无差异",
    "burst": "评价数量突增",
    "co_burst": "多家窗口同时突增",
    "terminal_share": "评价几乎全部来自窗口评价器",
    "seconds_between": "评价间隔仅数秒",
    "off_site_gap": "窗口评价远高于场外评价",
    "funnel": "好评率偏离同类窗口",
}
"""What a signal says, in Chinese."""

ISSUES: Final = {
    "service": "服务", "efficiency": "效率", "quality": "质量", "conduct": "作风", "image": "形象",
}  # fmt: skip
"""The dimensions 五比, in Chinese."""


def too_good(flag: Flag, rules: RulePack) -> Alert | None:
    """Scoring flagged a unit's ratings as made up 虚高; that a flag is taken down raises nothing."""
    if not flag.raised:
        return None
    what = SIGNALS.get(flag.signal, flag.signal)
    name = flag.cause.unit_name
    chance = "" if flag.probability is None else f",在无异常时出现的概率约为{_chance(flag.probability)}"
    return Alert(
        alert_id=alert_id("too_good", flag.cause.event_id),
        rule="too_good",
        severity=rules.alerts.too_good.severity,
        known_at=flag.cause.known_at,
        unit_id=flag.cause.unit_id,
        unit_name=name,
        city=flag.cause.city,
        county=flag.cause.county,
        title=f"评价数据存疑:{name} {what}",
        body=(
            f"{name}近{flag.window_days}天的评价{what}:指标{flag.statistic:.4g},阈值{flag.threshold:.4g}{chance}。"
            "这只是观察,不是结论。请上级单位核查是否存在诱导、代评或刷评。"
        ),
        evidence=(flag.cause.event_id,),
        figures={
            "signal": flag.signal,
            "statistic": f"{flag.statistic:.6g}",
            "threshold": f"{flag.threshold:.6g}",
            "window_days": str(flag.window_days),
            **({} if flag.probability is None else {"probability": _chance(flag.probability)}),
        },
    )


def dead_letter(letter: DeadLetter, rules: RulePack) -> Alert:
    """A consumer gave up on a message; one alert for each consumer and period of the rule pack.

    Once in a period, so that a channel whose receiver is dead can't make alerts of its own failures for ever.
    """
    rule = rules.alerts.dead_letters
    period = int(letter.known_at.timestamp()) // (rule.period_minutes * 60)
    return Alert(
        alert_id=alert_id("dead_letters", letter.service, letter.consumer, str(period)),
        rule="dead_letters",
        severity=rule.severity,
        known_at=letter.known_at,
        unit_id=None,
        unit_name=None,
        city=ALL,
        county=ALL,
        title=f"死信:{letter.consumer} 放弃了消息",
        body=(
            f"消费者{letter.consumer}({letter.service})放弃了{letter.stream}第{letter.sequence}条消息:"
            f"{letter.error}。请用 pingyi deadletter list 查看,排除原因后用 replay 重放。"
            f"同一消费者{rule.period_minutes}分钟内只提醒一次。"
        ),
        evidence=(letter.event_id,),
        figures={
            "service": letter.service,
            "consumer": letter.consumer,
            "stream": letter.stream,
            "sequence": str(letter.sequence),
            "error": letter.error,
            "period_minutes": str(rule.period_minutes),
        },
    )


def beside_failing(alert: Alert, wanted: Sequence[str], all_of: Sequence[str]) -> tuple[str, ...]:
    """Return who tells `alert`: of `wanted`, those of other channels than the one whose failure it is about.

    Where that leaves nobody, `all_of` the others do; where there are none, endpoints of the same channel:
    one of them may be well. An endpoint that is its channel's only one never tells of its own failure.
    """
    consumer = alert.figures.get("consumer", "") if alert.rule == "dead_letters" else ""
    if not consumer.startswith(DELIVERY):
        return tuple(wanted)
    failing = consumer.removeprefix(DELIVERY)
    for each in (wanted, all_of):
        others = tuple(address for address in each if kind_of(address) != failing)
        if others:
            return others
    return tuple(address for address in wanted if address != failing)


def channel_disabled(off: EndpointOff) -> Alert:
    """An endpoint answered 410: it wants no more alerts. No matter of policy, so no number of the pack."""
    return Alert(
        alert_id=alert_id("channel_disabled", off.event_id),
        rule="channel_disabled",
        severity=Severity.CRITICAL,
        known_at=off.known_at,
        unit_id=None,
        unit_name=None,
        city=ALL,
        county=ALL,
        title=f"预警接收端 {off.endpoint} 已停用",
        body="对方答复 410,不再接收预警。请核对地址后修改配置,或重新启用;停用期间不向它发送。",
        evidence=(off.event_id, off.alert_id),
        figures={"endpoint": off.endpoint, "threshold": "HTTP 410"},
    )


def surge(found: Surge, place: str, rules: RulePack) -> Alert:
    """Bad reviews of one kind or issue in one county far beyond its own past 群体性事件预警; once a day.

    `place` is the division's name.
    """
    rule = rules.alerts.surge
    day = business_day(found.known_at)
    if found.issue:
        about = f"issue {found.issue}"
        label = f"“{ISSUES.get(found.issue, found.issue)}”问题"
        what = f"各类窗口最近{rule.hours}小时收到“{ISSUES.get(found.issue, found.issue)}”分项差评"
    else:
        about, label = found.kind, rules.kinds.get(found.kind, found.kind)
        what = f"{label}窗口最近{rule.hours}小时收到差评"
    return Alert(
        alert_id=alert_id("surge", found.city, found.county, about, day.isoformat()),
        rule="surge",
        severity=rule.severity,
        known_at=found.known_at,
        unit_id=None,
        unit_name=None,
        city=found.city,
        county=found.county,
        title=f"群体性事件预警:{place}{label}{rule.hours}小时内差评{found.count}条",
        body=(
            f"{place}的{what}{found.count}条;按此前{found.days}天的情况,"
            f"同样时长通常约{found.usual:.1f}条,在无特殊原因时出现{found.count}条及以上的概率约为"
            f"{_chance(found.probability)}。请立即了解情况,防止矛盾激化。"
        ),
        evidence=found.evidence,
        figures={
            "place": place,
            **({"issue": found.issue} if found.issue else {"kind": found.kind}),
            "count": str(found.count),
            "usual": f"{found.usual:.3f}",
            "probability": _chance(found.probability),
            "days": str(found.days),
            "hours": str(rule.hours),
            "threshold": f"count>={rule.min_ratings},ratio>={rule.min_ratio:g},p<={rule.probability:g}",
        },
    )


def quarantine_share(found: HeldShare, unit_name: str, rules: RulePack) -> Alert:
    """A large share of a unit's ratings of late is held; once a day for each unit."""
    rule = rules.alerts.quarantine_share
    share = found.held / found.ratings
    day = business_day(found.known_at)
    return Alert(
        alert_id=alert_id("quarantine_share", found.unit_id, day.isoformat()),
        rule="quarantine_share",
        severity=rule.severity,
        known_at=found.known_at,
        unit_id=found.unit_id,
        unit_name=unit_name,
        city=found.city,
        county=found.county,
        title=f"评价被暂扣比例过高:{unit_name}",
        body=(
            f"{unit_name}最近{rule.hours}小时的{found.ratings}条评价中有{found.held}条({share:.0%})因存疑被暂扣。"
            "请上级单位复核,决定恢复或排除。"
        ),
        evidence=found.evidence,
        figures={
            "held": str(found.held),
            "ratings": str(found.ratings),
            "share": f"{share:.4f}",
            "hours": str(rule.hours),
            "threshold": f"held>={rule.min_held},share>={rule.share:g}",
        },
    )


def ranking_stale(found: Staleness, rules: RulePack) -> Alert:
    """Ratings wait too long for a ranking that contains them; once for each position that it stands at."""
    rule = rules.alerts.ranking_stale
    oldest = found.oldest.astimezone(SHANGHAI)
    return Alert(
        alert_id=alert_id("ranking_stale", str(found.position)),
        rule="ranking_stale",
        severity=rule.severity,
        known_at=found.oldest,
        unit_id=None,
        unit_name=None,
        city=ALL,
        county=ALL,
        title="排名停滞",
        body=(
            f"自{oldest:%Y-%m-%d %H:%M}起已有{found.waiting}条评价超过{rule.minutes}分钟"
            f"未计入任何已发布的排名(排名停在FEEDBACK第{found.position}条)。请检查评分服务。"
        ),
        evidence=(),
        figures={
            "position": str(found.position),
            "waiting": str(found.waiting),
            "last_sequence": str(found.last_sequence),
            "threshold": f"minutes>={rule.minutes},ratings>={rule.min_ratings}",
        },
    )


def _chance(probability: float) -> str:
    return f"{probability:.2g}"
