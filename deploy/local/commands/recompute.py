"""``pingyi recompute``: rankings once more, from nothing but the events."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.commands.rankings import ranking_table
from deploy.local.errors import LocalError, NoPlatformError
from deploy.local.history import closed, reports
from deploy.local.history.moments import Moment, parse_moment
from deploy.local.history.offline import Offline, recompute_offline
from deploy.local.history.recomputing import (
    Packs,
    check_live,
    check_past,
    chosen_lists,
    read_other_pack,
    suppose,
)
from deploy.local.history.sources import STREAM, Source
from deploy.local.layout import DEFAULT_DATA, Layout
from services.scoring.domain.lists import RankedList
from shared.kernel.clock import SystemClock
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry, load_units
from shared.rules import RulePack

AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="T",
        help="A time with its offset, a day (its end), or seq:N of FEEDBACK, seq:N/M with CASES.",
    ),
]
RulesOption = Annotated[
    Path | None, typer.Option("--rules", metavar="FILE", help="What if: recompute under this pack instead.")
]
RulesDirOption = Annotated[
    Path | None,
    typer.Option(
        "--rules-dir", metavar="DIR", envvar="RULES_PATH", help="Where packs are, beside the committed ones."
    ),
]
UnitsOption = Annotated[
    Path | None,
    typer.Option(
        "--units",
        metavar="FILE",
        help="Table of units; left out: the one loaded there (pingyi registry load), else the committed one.",
    ),
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="SOURCE", help="stream, archive, or a file of JSON lines (-: stdin).")
]


@dataclass(frozen=True, slots=True)
class _Question:
    """The options that every kind of recomputation has."""

    source: Source
    moment: Moment | None
    only: str | None
    out: Path | None
    as_json: bool
    registry: UnitRegistry

    def answer(self, values: dict[str, Any], lines: list[str], lists: dict[str, RankedList] | None) -> None:
        """Print the answer in the form asked for, and write ``lists`` if asked for."""
        if self.out is not None and lists is not None:
            values["written"] = reports.write_lists(self.out, lists)
            lines.append(f"{values['written']} lists written to {self.out}")
        typer.echo(json.dumps(values, ensure_ascii=False) if self.as_json else "\n".join(lines))


def recompute(
    at: AtOption = None,
    rules: RulesOption = None,
    from_: FromOption = STREAM,
    rules_dir: RulesDirOption = None,
    units: UnitsOption = None,
    only: Annotated[
        str | None, typer.Option("--list", metavar="KEY", help="This list only, e.g. window.marriage.30.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the recomputed lists there as JSON.")
    ] = None,
    closed_: Annotated[
        str | None,
        typer.Option("--closed", metavar="PERIOD", help="Closed lists of e.g. 2026-10, 2026Q3, 2025."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="With a file and --rules: say what would change; asks a platform."),
    ] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute rankings from the events and compare them byte for byte; exit code 1 if one differs.

    Without options: every published list, at the position of the stream that it states, so a running
    platform is no hindrance. With --at: the rankings that were in force then, each under its own rule pack.
    With --rules: what would be different under another pack. With --closed: whether what became known since
    would change a closed period's lists, each under the pack that it was closed under. With --from FILE and
    --rules no platform is needed: the lists are printed or written.
    """
    registry = load_units(units or Layout(data.resolve()).units_path)
    moment = None if at is None else parse_moment(at)
    if moment is not None:
        moment.require_past(SystemClock().now())
    question = _Question(Source(from_), moment, only, out, as_json, registry)
    other = None if rules is None else read_other_pack(rules)
    if closed_ is not None and (at is not None or other is not None):
        wanted = "--closed alone: it takes in all up to today, under each list's own pack"
        raise LocalError(describe("--closed beside --at or --rules", wanted, "leave out the others"))
    if other is not None and question.source.is_file and not compare:
        _recompute_offline(question, other)
        return
    layout = _platform_for(question.source, data, port_base)
    packs = Packs(rules_dir)
    if closed_ is not None:
        _check_closed(question, layout, packs, closed_)
    elif other is not None:
        _suppose(question, layout, packs, other)
    elif question.moment is None:
        _check_live(question, layout, packs)
    else:
        _check_past(question, question.moment, layout, packs)


def _platform_for(source: Source, data: Path, port_base: int | None) -> Layout:
    try:
        return find_platform(data, port_base)
    except NoPlatformError as error:
        if not source.is_file:
            raise
        hint = "a file holds events, not what was ranked then; with --rules FILE it is recomputed without one"
        raise NoPlatformError(f"{error} ({hint})") from error


def _check_live(question: _Question, layout: Layout, packs: Packs) -> None:
    check = asyncio.run(check_live(question.source, layout, packs, question.only, question.registry))
    differences = list(check.differences)
    values = {
        "ok": not differences,
        "lists": check.published,
        "differences": differences,
        **reports.folded_answer(check.folded),
    }
    agreed = (
        f"OK: {check.published} lists recomputed from {check.folded.ratings} messages, equal byte for byte."
    )
    lines = [*(differences or [agreed]), *reports.folded_notes(check.folded)]
    question.answer(values, lines, dict(check.lists))
    raise typer.Exit(1 if differences else 0)


def _check_closed(question: _Question, layout: Layout, packs: Packs, period: str) -> None:
    check = asyncio.run(
        closed.check_closed(question.source, layout, packs, period, question.only, question.registry)
    )
    values = closed.closed_answer(check)
    lists = {each.standing.key: each.recomputed for each in check.lists if each.recomputed is not None}
    question.answer(values, closed.closed_lines(check), lists)
    raise typer.Exit(0 if values["ok"] else 1)


def _check_past(question: _Question, moment: Moment, layout: Layout, packs: Packs) -> None:
    check = asyncio.run(check_past(question.source, layout, packs, moment, question.only, question.registry))
    values = reports.past_answer(check, moment.text, question.source.name)
    lists = {each.record.list: each.recomputed for each in check.verdicts if each.recomputed is not None}
    question.answer(values, reports.past_lines(check, moment.text, question.source.title), lists)
    raise typer.Exit(0 if values["ok"] else 1)


def _suppose(question: _Question, layout: Layout, packs: Packs, other: RulePack) -> None:
    found = asyncio.run(suppose(question.source, layout, packs, question.moment, other, question.registry))
    lists = chosen_lists(found.lists, question.only)
    values = reports.hypothesis_answer(found, question.only)
    question.answer(values, reports.hypothesis_lines(found, question.only), lists)


def _recompute_offline(question: _Question, rules: RulePack) -> None:
    found = asyncio.run(recompute_offline(question.source, rules, question.moment, question.registry))
    lists = chosen_lists(found.lists, question.only)
    head = _offline_head(found)
    if question.only is None or question.out is not None:
        values = {
            "hypothetical": True,
            "position": found.position,
            "as_of": str(found.as_of),
            "rules": {"version": rules.version, "hash": rules.hash},
            "lists": {key: each.hash for key, each in lists.items()},
            **reports.folded_answer(found.folded),
        }
        rows = [f"  {key}  {len(each.rows)} units  {each.hash}" for key, each in lists.items()]
        question.answer(values, [*head, *rows], lists)
    elif question.as_json:
        typer.echo(lists[question.only].canonical().decode())
    else:
        typer.echo("\n".join(head))
        Console(highlight=False).print(
            ranking_table([json.loads(item) for item in lists[question.only].items])
        )


def _offline_head(found: Offline) -> list[str]:
    return [
        reports.HYPOTHETICAL,
        f"位置 FEEDBACK {found.position}，截至 {found.as_of}（{found.folded.ratings} 条评价）",
        f"规则 {found.rules.version} {found.rules.hash}",
        *reports.folded_notes(found.folded),
    ]
