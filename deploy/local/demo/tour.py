"""What the demonstration shows at its end, in Chinese: rankings, alerts, books, speed, addresses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.commands.rankings import ranking_table
from deploy.local.demo.play import Played
from deploy.local.demo.real import Comparison
from deploy.local.demo.receiver import Inbox
from deploy.local.demo.settle import Books
from deploy.local.demo.signing import GOAL_S, Delays
from deploy.local.layout import SERVICES, Layout
from deploy.local.showing import shown

SHOWN = 5
OUTCOME_LABELS = {
    "accepted": "受理",
    "duplicate": "重复（同一回执）",
    "conflict": "冲突",
    "rejected": "拒收（有误）",
}
SERVICE_LABELS = {"intake": "受理", "scoring": "排名", "notify": "预警", "archive": "存证", "rectify": "整改"}


@dataclass(frozen=True, slots=True)
class Move:
    """How a county's rank changed between noon and the end of the day."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured in this run; latencies in seconds, None when nothing was accepted."""

    visible_p50_s: float | None
    visible_p99_s: float | None
    observed: int


TOLD_GOAL_S = 1.0
"""Event → first attempt at a channel, p99."""


@dataclass(frozen=True, slots=True)
class Told:
    """How long alerts of this run took from the receipt of the event, in seconds.

    Attributes:
        p50_s: to the first channel that took it, by the records of notify's API.
        p99_s: likewise.
        alerts: how many that was.
        arrived_p50_s: to an outside receiver of webhooks, in the load's own process; None: nothing came.
        arrived_p99_s: likewise.
    """

    p50_s: float
    p99_s: float
    alerts: int
    arrived_p50_s: float | None = None
    arrived_p99_s: float | None = None


def show_play(console: Console, played: Played) -> None:
    """How intake answered."""
    parts = "，".join(
        f"{OUTCOME_LABELS.get(name, name)} {count}" for name, count in sorted(played.outcomes.items())
    )
    console.print(f"[bold]接口应答[/]  {parts}；{played.seconds:.1f} 秒，每秒 {played.rate:,.0f} 条")


def show_rankings(console: Console, ranked: Sequence[Mapping[str, Any]], moves: Sequence[Move]) -> None:
    """Top and bottom of the county ranking, and what moved most since noon."""
    rows = [dict(row) for row in ranked]
    console.print()
    console.print(ranking_table(rows[:SHOWN], title=f"[bold]县（市、区）排名：前 {SHOWN} 名[/]（近 30 天）"))
    console.print()
    console.print(ranking_table(rows[-SHOWN:], title=f"[bold]县（市、区）排名：后 {SHOWN} 名[/]"))
    if not moves:
        return
    console.print()
    table = Table(
        box=None, pad_edge=False, title="[bold]名次变化最大[/]（当日 12 时 → 全天）", title_justify="left"
    )
    for heading in ("单位", "12 时", "全天", "变化"):
        table.add_column(heading, justify="left" if heading == "单位" else "right")
    for move in moves[:SHOWN]:
        delta = move.before - move.after
        table.add_row(
            shown(move.name),
            str(move.before),
            str(move.after),
            f"[green]↑{delta}[/]" if delta > 0 else f"[red]↓{-delta}[/]",
        )
    console.print(table)


def show_alerts(
    console: Console, alerts: Sequence[Mapping[str, Any]], total: Mapping[str, int], inbox: Inbox | None
) -> None:
    """The latest alerts, counts by rule, and what the webhook's receiver got; None: no alert goes there."""
    console.print()
    counts = "，".join(f"{name} {count}" for name, count in sorted(total.items())) or "无"
    console.print(f"[bold]预警[/]  {counts}")
    for alert in alerts[:SHOWN]:
        console.print(f"  {shown(alert['title'])}", highlight=False)
    if inbox is None:
        return
    repeats = len(inbox.ids) - len(set(inbox.ids))
    console.print(
        f"  回调接收端：收到 {len(set(inbox.ids))} 条，签名有效，重复 {repeats} 次，伪造 {inbox.forged} 次"
        if inbox.ids
        else "  回调接收端：本次运行没有新的投递"
    )


def show_books(console: Console, books: Books, report: Mapping[str, Any]) -> None:
    """Whether nothing was lost and nothing counted twice, and whether the audit trail is whole."""
    verdict = "[bold green]平衡 ✓[/]" if books.balanced else "[bold red]不平衡 ✗[/]"
    console.print()
    console.print(
        f"[bold]账目[/]  受理 {books.accepted} = 计入 {books.counted} + 被替换 {books.replaced}"
        f" + 暂扣 {books.held} + 剔除 {books.excluded} + 迟到 {books.late} = 存证 {books.archived}  {verdict}"
    )
    intact = "[bold green]完整 ✓[/]" if report["ok"] else "[bold red]有问题 ✗[/]"
    console.print(
        f"[bold]存证[/]  {report['entries']} 条，{report['checkpoints']} 个签名检查点，逐条重算哈希：{intact}"
    )
    for finding in report["findings"]:
        console.print(f"  [red]{finding['where']}：{finding['what']}[/]")


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Whether the ranking computed straight from the data frame is the one that the platform shows."""
    verdict = "[bold red]有差异 ✗[/]" if comparison.differences else "[bold green]完全一致 ✓[/]"
    console.print()
    console.print(
        f"[bold]独立核算[/]  {comparison.units} 个单位（其中 {comparison.ranked} 个参与排名）"
        f"逐一核对名次与得分（四位小数）：{verdict}"
    )
    for difference in comparison.differences[:SHOWN]:
        console.print(f"  {difference.unit_id}：平台 {difference.shown}，独立核算 {difference.computed}")


def show_speed(console: Console, speed: Speed) -> None:
    """Latency seen by an outside subscriber."""
    console.print()
    if speed.visible_p50_s is not None and speed.visible_p99_s is not None:
        console.print(
            f"[bold]受理 → 排名可见[/]  p50 {speed.visible_p50_s:.2f} 秒，p99 {speed.visible_p99_s:.2f} 秒"
            f"（{speed.observed} 条，由外部订阅者测得）"
        )


def show_told(console: Console, told: Told) -> None:
    """How soon people hear of what has happened."""
    verdict = "[bold green]达到 ✓[/]" if told.p99_s <= TOLD_GOAL_S else "[bold red]未达到 ✗[/]"
    console.print(
        f"[bold]事件 → 首次投递[/]  p50 {told.p50_s:.2f} 秒，p99 {told.p99_s:.2f} 秒"
        f"（{told.alerts} 条预警，据投递记录），目标 {TOLD_GOAL_S:g} 秒：{verdict}"
    )
    if told.arrived_p50_s is not None and told.arrived_p99_s is not None:
        console.print(
            f"[bold]事件 → 回调送达[/]  p50 {told.arrived_p50_s:.2f} 秒，p99 {told.arrived_p99_s:.2f} 秒"
            "（由外部接收端测得，与压测同进程）"
        )


def show_signing(console: Console, signed: Delays) -> None:
    """How long what was accepted waited for its signed checkpoint: an upper bound of every percentile."""
    longest = signed.longest_s
    if longest is None:
        return
    verdict = "[bold green]达到 ✓[/]" if longest <= GOAL_S else "[bold red]未达到 ✗[/]"
    waited = "超过 10 分钟" if longest == inf else f"p99 不超过 {longest:g} 秒"
    console.print(
        f"[bold]受理 → 签名检查点[/]  {waited}（{signed.checkpoints} 个检查点，均按等待最久的一条计）"
        f"，目标 {GOAL_S:g} 秒：{verdict}"
    )


def show_memory(console: Console, memory_mb: Mapping[str, float]) -> None:
    """Resident memory of each service."""
    parts = "，".join(f"{SERVICE_LABELS[name]} {size:.0f}" for name, size in memory_mb.items())
    console.print(f"[bold]常驻内存[/]  {parts}，合计 {sum(memory_mb.values()):.0f} MB")


def show_addresses(console: Console, layout: Layout) -> None:
    """Where to go on."""
    console.print()
    for name in SERVICES:
        console.print(f"  {SERVICE_LABELS[name]} {layout.service_url(name)}/docs")
    console.print(f"  排名 {layout.service_url('scoring')}/v1/rankings?level=county&window=30")
    console.print(f"  事件 {layout.nats_url}  订阅 ranking.v1.*.3607.>（赣州市）")


def count_by_rule(alerts: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Alerts by the rule that raised them."""
    return Counter(str(alert["rule"]) for alert in alerts)
