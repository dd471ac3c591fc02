"""The early-warning rules: pure functions of one fact and the rule pack's thresholds.

Each gives an `Alert` or None. Adding a rule means its function, its place in one of the tuples below,
its thresholds in the rule pack, and, for single ratings, its grades in `concerns_reviews_of`. No rule may
copy anything about a citizen into an alert.
"""

from collections.abc import Callable, Mapping
from typing import Final

from services.notify.domain.about import alert_about
from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.facts import Divergence, Review, ScoreMove
from shared.kernel.units import ALL
from shared.rules.alerting import Severity
from shared.rules.pack import RulePack

_SEVERITIES: Final = tuple(Severity)


def bad_review(review: Review, rules: RulePack) -> Alert | None:
    """A rating has one of the grades that the rule pack lists (差评)."""
    rule = rules.alerts.bad_review
    if review.grade not in rule.grades:
        return None
    name = review.cause.unit_name
    return alert_about(
        "bad_review",
        rule.severity,
        review.cause,
        title=f"{name}收到差评",
        body=f"{name}收到一条“{review.grade.label}”评价。请责任人尽快核实、整改,并给评价人答复。",
        figures={
            "grade": str(int(review.grade)),
            "threshold": ",".join(str(int(grade)) for grade in rule.grades),
        },
    )


def rank_drop(move: ScoreMove, rules: RulePack) -> Alert | None:
    """A unit lost at least the rule pack's number of places; needs a rank before and after.

    Counted from the rank with which the business day began, so that a slide of a place a minute is seen: one
    alert for each unit, list and day whenever the loss reaches a further multiple of the threshold, the
    greatest one where it reaches several at once. Events of scoring that don't name that rank are compared
    with the announcement before, one alert for each event.
    """
    places = rules.alerts.rank_drop.places
    start = move.previous_rank if move.day_start_rank is None else move.day_start_rank
    if move.rank is None or start is None or move.rank - start < places:
        return None
    lost = move.rank - start
    if move.day_start_rank is None:
        return _drop_alert(move, rules, start, "", (move.cause.event_id,))
    step = lost // places
    if move.previous_rank is not None and step <= (move.previous_rank - start) // places:
        return None  # reached by an earlier event; a unit that recovers must not be reported as dropping
    once = (move.cause.unit_id, move.ranking, move.day.isoformat(), str(step))
    return _drop_alert(move, rules, start, "今日", once)


def _drop_alert(
    move: ScoreMove, rules: RulePack, start: int, since: str, key: tuple[str, ...]
) -> Alert | None:
    rule = rules.alerts.rank_drop
    lost = (move.rank or 0) - start
    name = move.cause.unit_name
    return alert_about(
        "rank_drop",
        rule.severity,
        move.cause,
        key=key,
        title=f"{name}{since}排名下降{lost}位",
        body=(
            f"{name}{since}在近{move.window_days}天榜单中由第{start}名降至第{move.rank}名。"
            "请查看近期评价,查明原因并采取措施。"
        ),
        figures={
            "rank": str(move.rank),
            "day_start_rank" if since else "previous_rank": str(start),
            "lost": str(lost),
            "threshold": str(rule.places),
            **_basis(move),
        },
    )


def band_change(move: ScoreMove, rules: RulePack) -> Alert | None:
    """A unit moved to another band: better has the pack's severity, worse is one step more urgent."""
    if move.band is None or move.previous_band is None or move.band is move.previous_band:
        return None
    worse = move.band < move.previous_band
    base = rules.alerts.band_change.severity
    name = move.cause.unit_name
    advice = "请查看近期评价,查明原因并采取措施。" if worse else "请总结经验,保持服务水平。"
    return alert_about(
        "band_change",
        _raised(base) if worse else base,
        move.cause,
        title=f"{name}等次{'下降' if worse else '上升'}:{move.previous_band.label}→{move.band.label}",
        body=(
            f"{name}在近{move.window_days}天的等次由“{move.previous_band.label}”"
            f"变为“{move.band.label}”。{advice}"
        ),
        figures={
            "band": move.band.name.lower(),
            "previous_band": move.previous_band.name.lower(),
            "threshold": f"{rules.bands.excellent_line:g}",
            "probability": f"{rules.bands.probability:g}",
            **_basis(move),
        },
    )


def stream_diverged(found: Divergence) -> Alert:
    """A stream and the archive hold different things: urgent; that they agree again: for information.

    No threshold and no rule pack: whether the audit trail is whole is no matter of policy.
    """
    what = _DIVERGENCES.get(found.kind, found.kind)
    if found.raised:
        title = f"存证核对异常:{found.stream} {what}"
        body = (
            f"事件流{found.stream}与存证不一致:{what},涉及序号{found.first}至{found.last}"
            f"(已知{found.sequences}条)。请勿删除任何数据,按运维手册“A stream went back”处理。"
        )
    else:
        title = f"存证核对恢复:{found.stream}"
        body = f"事件流{found.stream}与存证的不一致({what})已消除,两者重新一致。"
    return Alert(
        alert_id=alert_id("stream_diverged", found.event_id),
        rule="stream_diverged",
        severity=Severity.CRITICAL if found.raised else Severity.INFO,
        known_at=found.known_at,
        unit_id=None,
        unit_name=None,
        city=ALL,
        county=ALL,
        title=title,
        body=body,
        evidence=(found.event_id,),
        figures={
            "stream": found.stream,
            "kind": found.kind,
            "first": str(found.first),
            "last": str(found.last),
            "sequences": str(found.sequences),
        },
    )


_DIVERGENCES: Final[Mapping[str, str]] = {
    "lost_in_stream": "事件流丢失已存证的消息",
    "missing_in_archive": "存证缺少事件流中的消息",
    "other_bytes": "同一序号内容不同",
    "front_lost": "事件流前端提前丢失消息",
    "went_back": "事件流回退",
}

REVIEW_RULES: Final[tuple[Callable[[Review, RulePack], Alert | None], ...]] = (bad_review,)
"""Rules over single ratings."""

SCORE_RULES: Final[tuple[Callable[[ScoreMove, RulePack], Alert | None], ...]] = (rank_drop, band_change)
"""Rules over changes of rank, score and band."""


def grades_of_concern(rules: RulePack) -> frozenset[int]:
    """Return the grades that any of `REVIEW_RULES` could fire on: ratings of others are not looked at."""
    return frozenset(grade.value for grade in rules.alerts.bad_review.grades)


def review_alerts(review: Review, rules: RulePack) -> tuple[Alert, ...]:
    """Return what every review rule finds, in the order of `REVIEW_RULES`."""
    return tuple(alert for rule in REVIEW_RULES if (alert := rule(review, rules)) is not None)


def score_alerts(move: ScoreMove, rules: RulePack) -> tuple[Alert, ...]:
    """Return what every score rule finds; nothing outside of the window that alerts refer to."""
    if move.window_days != rules.windows.primary_days:
        return ()
    return tuple(alert for rule in SCORE_RULES if (alert := rule(move, rules)) is not None)


def _raised(severity: Severity) -> Severity:
    return _SEVERITIES[min(_SEVERITIES.index(severity) + 1, len(_SEVERITIES) - 1)]


def _basis(move: ScoreMove) -> dict[str, str]:
    basis = {"list": move.ranking, "window_days": str(move.window_days)}
    if move.score is not None:
        basis["score"] = f"{move.score:.2f}"
    if move.ratings is not None:
        basis["ratings"] = str(move.ratings)
    return basis
