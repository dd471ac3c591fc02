"""``pingyi rankings``: a ranking as a table, of today or of an earlier day, or what moved in it."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import shown

DEFAULT_DAYS = 30
STATUS_LABELS = {"ranked": "", "unranked": "样本不足，不排名", "suppressed": "样本过少，不公布"}
BAND_LABELS = {"excellent": "优秀", "undecided": "待定", "below": "未达优秀", None: ""}


def rankings(
    level: Annotated[str, typer.Option(help="province, city, county or window.")] = "county",
    window: Annotated[int | None, typer.Option(help="Days of the rolling window; 30 if left out.")] = None,
    period: Annotated[str | None, typer.Option(help="Instead: 2026-11, 2026Q4 or 2026.")] = None,
    parent: Annotated[str | None, typer.Option(help="Id of a city or county: only what is below it.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of window, for example marriage.")] = None,
    at: Annotated[
        str | None, typer.Option(help="A day before today: the list as of that day, as known today.")
    ] = None,
    changes: Annotated[
        str | None, typer.Option(help="Instead: what moved since `yesterday` or a day, and why.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show.")] = 20,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the current ranking."""
    if changes is not None and (at is not None or parent is not None):
        raise typer.BadParameter("--changes compares a whole list with today's: leave out --at and --parent")
    address = f"{find_platform(data, port_base).service_url('scoring')}/v1/rankings"
    if changes is not None:
        key = f"{level}.{kind or 'all'}.{period or window or DEFAULT_DAYS}"
        answer = call("GET", f"{address}/{key}/changes", params={"since": changes, "limit": limit})
    else:
        asked = {"level": level, "window": window, "period": period, "kind": kind, "parent": parent, "at": at}
        answer = call("GET", address, params={**asked, "limit": limit})
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if changes is not None:
        console.print(
            f"{answer['list']} {answer['since']} 至 {answer['as_of']}，{answer['moved']} 个单位有变动"
        )
        console.print(changes_table(answer["items"]))
        return
    known = "（按今日所知重算）" if answer["recomputed"] else ""
    console.print(f"{answer['list']} 截至 {answer['as_of']}{known}，按 {answer['sorted_by']} 排序")
    console.print(ranking_table(answer["items"]))


def change_label(change: int | None) -> str:
    """A rank change: places climbed or lost, nothing if there is nothing to compare with."""
    if not change:
        return "" if change is None else "＝"
    return f"↑{change}" if change > 0 else f"↓{-change}"


def ranking_table(rows: list[dict[str, Any]], title: str | None = None) -> Table:
    """Rows of a ranking as a table with Chinese headings; shows the very number that it is sorted by.

    What became of cases, and the composite that it is a part of, only where there are cases.
    """
    rectified = any(row.get("rectification") is not None for row in rows)
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column("名次", justify="right")
    table.add_column("升降", justify="right")
    table.add_column("名次区间", justify="center")
    table.add_column("单位")
    table.add_column("得分", justify="right")
    table.add_column("90% 区间", justify="center")
    table.add_column("评价数", justify="right")
    table.add_column("好评率", justify="right")
    table.add_column("等次")
    if rectified:
        for heading in ("综合", "整改", "办结数"):
            table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            "–" if row["rank"] is None else str(row["rank"]),
            change_label(row["rank_change"]),
            "–" if row["rank"] is None else f"{row['rank_low']}–{row['rank_high']}",
            shown(row["name"]),
            "–" if row["score"] is None else f"{row['score']:.2f}",
            "–" if row["score"] is None else f"{row['interval_low']:.1f}–{row['interval_high']:.1f}",
            "<10" if row["ratings"] is None else str(row["ratings"]),
            "–" if row["good"] is None else f"{row['good'] * 100:.1f}%",
            BAND_LABELS.get(row["band"], "") if row["status"] == "ranked" else STATUS_LABELS[row["status"]],
            *(_rectified(row) if rectified else ()),
        )
    return table


def _rectified(row: dict[str, Any]) -> tuple[str, str, str]:
    """Composite, index, cases; without a case the composite is the score alone, and is said so."""
    index, cases = row.get("rectification"), row.get("cases")
    if row["score"] is None:
        return "–", "–", "–"
    if index is None:
        return f"{row['composite']:.2f}", "无办件", "–"
    return f"{row['composite']:.2f}", f"{index:.1f}", "<5" if cases is None else str(cases)


def changes_table(moves: list[dict[str, Any]]) -> Table:
    """What moved, as a table with Chinese headings; a dash where nothing may be shown."""
    table = Table(box=None, pad_edge=False)
    table.add_column("单位")
    for heading in ("名次", "升降", "得分", "新增 好/差", "移出 好/差", "自身", "同类"):
        table.add_column(heading, justify="right")
    for move in moves:
        why = move["why"]
        table.add_row(
            shown(move["name"]),
            f"{_shown(move['rank_before'])} → {_shown(move['rank_after'])}",
            change_label(move["places"]),
            f"{_shown(move['score_before'], '.2f')} → {_shown(move['score_after'], '.2f')}",
            _good_and_bad(why["entered"]),
            _good_and_bad(why["left"]),
            _shown(why["by_ratings"], "+.2f"),
            _shown(why["by_peers"], "+.2f"),
        )
    return table


def _shown(value: float | None, form: str = "") -> str:
    return "–" if value is None else format(value, form)


def _good_and_bad(side: dict[str, Any] | None) -> str:
    return "" if side is None else f"{_shown(side['good'])}/{_shown(side['bad'])}"
