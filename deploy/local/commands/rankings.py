"""``pingyi rankings``: the current ranking as a table."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA

STATUS_LABELS = {"ranked": "", "unranked": "样本不足，不排名", "suppressed": "样本过少，不公布"}
BAND_LABELS = {"excellent": "优秀", "undecided": "待定", "below": "未达优秀", None: ""}


def rankings(
    level: Annotated[str, typer.Option(help="province, city, county or window.")] = "county",
    window: Annotated[int | None, typer.Option(help="Days of the rolling window; 30 if left out.")] = None,
    period: Annotated[str | None, typer.Option(help="Instead: 2026-11, 2026Q4 or 2026.")] = None,
    parent: Annotated[str | None, typer.Option(help="Id of a city or county: only what is below it.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of window, for example marriage.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show.")] = 20,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the current ranking."""
    layout = find_platform(data, port_base)
    answer = call(
        "GET",
        f"{layout.service_url('scoring')}/v1/rankings",
        params={
            "level": level,
            "window": window,
            "period": period,
            "kind": kind,
            "parent": parent,
            "limit": limit,
        },
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(f"{answer['list']} 截至 {answer['as_of']}，按 {answer['sorted_by']} 排序")
    console.print(ranking_table(answer["items"]))


def change_label(change: int | None) -> str:
    """A rank change: places climbed or lost, nothing if there is nothing to compare with."""
    if not change:
        return "" if change is None else "＝"
    return f"↑{change}" if change > 0 else f"↓{-change}"


def ranking_table(rows: list[dict[str, Any]], title: str | None = None) -> Table:
    """Rows of a ranking as a table with Chinese headings; shows the very number that it is sorted by."""
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
    for row in rows:
        table.add_row(
            "–" if row["rank"] is None else str(row["rank"]),
            change_label(row["rank_change"]),
            "–" if row["rank"] is None else f"{row['rank_low']}–{row['rank_high']}",
            row["name"],
            "–" if row["score"] is None else f"{row['score']:.2f}",
            "–" if row["score"] is None else f"{row['interval_low']:.1f}–{row['interval_high']:.1f}",
            "<10" if row["ratings"] is None else str(row["ratings"]),
            "–" if row["good"] is None else f"{row['good'] * 100:.1f}%",
            BAND_LABELS.get(row["band"], "") if row["status"] == "ranked" else STATUS_LABELS[row["status"]],
        )
    return table
