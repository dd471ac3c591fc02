"""``pingyi import``: ratings from files, and undoing what a wrong file brought."""

import asyncio
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deploy.local.broker import cli_connection
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.feedback import feedback_batches
from deploy.local.importing import undoing
from deploy.local.importing.columns import read_overrides
from deploy.local.importing.encoding import encoding_of, fingerprint
from deploy.local.importing.intake_client import IntakeClient, new_http
from deploy.local.importing.rows import Line, Mapper
from deploy.local.importing.running import (
    Import,
    default_import_id,
    require_unchanged,
    run_import,
)
from deploy.local.importing.sources import Source, open_source
from deploy.local.importing.unit_names import UnitNames
from deploy.local.importing.workspace import Progress as Counts
from deploy.local.importing.workspace import open_workspace
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.kernel.grades import Channel, Level
from shared.kernel.grades import Source as Appraiser
from shared.rules import load_pack

_IMPORT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SHOWN: Final = 5
"""Refused rows that `--check` prints."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """How a file is to be read, as the options say."""

    channel: Channel
    source: Appraiser
    import_id: str | None
    sheet: str | None
    columns: Sequence[str]
    unit_names: Path | None
    by_row: bool


def import_(
    file: Annotated[
        Path | None, typer.Argument(help="A .csv, .xlsx or .ndjson file of ratings.", dir_okay=False)
    ] = None,
    *,
    channel: Annotated[
        Channel, typer.Option(help="Channel of rows that name none themselves.")
    ] = Channel.IMPORT,
    source: Annotated[
        Appraiser, typer.Option(help="Which of the five sources, of rows that name none.")
    ] = Appraiser.PUBLIC,
    import_id: Annotated[
        str | None, typer.Option(help="Id of the import; by default made of the file's bytes.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook; the first by default.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column holds, such as 经办窗口=unit; NAME= leaves it out."),
    ] = None,
    unit_names: Annotated[
        Path | None, typer.Option(help="CSV of two columns: what the file calls a unit, and its id.")
    ] = None,
    by_row: Annotated[
        bool, typer.Option("--by-row", help="Identify rows by number, whatever references the file has.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Read and judge the file, send nothing.")] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ID", help="Undo an import; takes two people.")
    ] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Agree to the undo and carry it out.")] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="Role or credential that undoes, never a person's name.")
    ] = None,
    level: Annotated[Level, typer.Option(help="Level of who undoes.")] = Level.COUNTY,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a file of ratings; the same command again goes on where it was, and adds nothing twice.

    Rows that can't be imported go into FILE.rejects with the reasons; corrected, that file is imported in the
    same way. See docs/import.md.
    """
    if undo is not None:
        if file is not None:
            raise typer.BadParameter("name either a file to import or an import to --undo")
        _undo(find_platform(data, port_base), undo, by, level, approve=approve, as_json=as_json)
        return
    if file is None:
        raise typer.BadParameter("name a file, or an import to --undo")
    if approve or by is not None:
        raise typer.BadParameter("--approve and --by go with --undo")
    choice = _Choice(channel, source, import_id, sheet, column or (), unit_names, by_row)
    layout = find_platform(data, port_base)
    asyncio.run(_check(layout, file, choice) if check else _import(layout, file, choice, as_json=as_json))


async def _prepared(source: Source, file: Path, choice: _Choice, intake: IntakeClient) -> Import:
    sha256 = (await asyncio.to_thread(fingerprint, file)).sha256
    named = choice.import_id or source.import_id
    import_id = _checked_id(named or default_import_id(sha256, choice.sheet))
    require_unchanged(file, import_id, sha256, named=named is not None)
    own_names = _own_names(choice.unit_names) if choice.unit_names is not None else None
    kinds = load_pack(None, business_day(SystemClock().now())).kinds
    mapper = Mapper(
        import_id=import_id,
        channel=choice.channel,
        source=choice.source,
        units=UnitNames(await intake.units(), kinds, own_names),
        name_of=source.name_of,
        own_references=not choice.by_row,
        corrected=source.corrected,
    )
    return Import(file, source, mapper)


def _checked_id(import_id: str) -> str:
    if _IMPORT_ID.fullmatch(import_id) is None:
        expected = "an import id of up to 64 letters, digits, dots, hyphens and underscores"
        raise LocalError(describe(import_id, expected, "name another with --import-id"))
    return import_id


def _own_names(path: Path) -> dict[str, str]:
    """A table of two columns: what a file calls units, and their ids."""
    with path.open(encoding=encoding_of(path), newline="") as file:
        rows = [row for row in csv.reader(file) if any(row)]
    for row in rows:
        if len(row) != 2:  # noqa: PLR2004 - name and id
            raise LocalError(
                describe(
                    ",".join(row), f"a name and a unit's id in each row of {path.name}", "correct the row"
                )
            )
    return {name.strip(): unit_id.strip() for name, unit_id in rows}


async def _check(layout: Layout, file: Path, choice: _Choice) -> None:
    async with new_http() as http:
        intake = IntakeClient(http, layout.service_url("intake"))
        with open_source(file, sheet=choice.sheet, overrides=read_overrides(choice.columns)) as source:
            job = await _prepared(source, file, choice, intake)
            typer.echo("\n".join(_about(job)))
            good = bad = 0
            for row in source.rows:
                mapped = job.mapper.map(row)
                if isinstance(mapped, Line):
                    good += 1
                    continue
                bad += 1
                if bad <= _SHOWN:
                    typer.echo(f"第 {mapped.number} 行：" + "".join(each.chinese for each in mapped.reasons))
    typer.echo(f"可以导入 {good} 行，不能导入 {bad} 行（没有发送任何内容）。")
    raise typer.Exit(1 if bad else 0)


async def _import(layout: Layout, file: Path, choice: _Choice, *, as_json: bool) -> None:
    console = Console(stderr=True, quiet=as_json)
    async with new_http() as http:
        intake = IntakeClient(
            http,
            layout.service_url("intake"),
            say=lambda text: console.print(f"等待评议受理服务：{text}"),
        )
        with open_source(file, sheet=choice.sheet, overrides=read_overrides(choice.columns)) as source:
            job = await _prepared(source, file, choice, intake)
            await _require_not_undone(intake, job.mapper.import_id)
            if not as_json:
                typer.echo("\n".join(_about(job)))
            workspace = open_workspace(file, job.identity(choice.sheet, choice.columns))
            begun = workspace.progress
            try:
                with _bar(console) as bar:
                    task = bar.add_task("导入", total=source.total, counts="")
                    counts = await run_import(
                        job,
                        workspace,
                        intake,
                        lambda counts, position: bar.update(
                            task, completed=position, counts=f"{counts.rows} 行"
                        ),
                    )
                    bar.update(task, completed=source.total)
            finally:
                workspace.close(finished=workspace.progress.done)
    _tell(job, counts, workspace.folder, again=begun.done, as_json=as_json)
    raise typer.Exit(1 if counts.rejected + counts.conflict else 0)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"), TimeElapsedColumn(), console=console,
    )  # fmt: skip


async def _require_not_undone(intake: IntakeClient, import_id: str) -> None:
    undo = await undoing.standing(import_id, intake)
    if undo is not None and undo.approved_by is not None:
        raise LocalError(
            describe(
                f"{import_id}, undone by {undo.requested_by} and {undo.approved_by}",
                "an import that nobody has undone",
                "import the corrected file under another --import-id (with --by-row if it has references)",
            )
        )


def _about(job: Import) -> list[str]:
    source = job.source
    facts = "，".join(f"{_FACTS[name]} {value!r}" for name, value in source.about.items())
    lines = [f"导入编号 {job.mapper.import_id}：{job.file.name}（{source.kind.value}，{facts}）"]
    if source.header is not None:
        read = "，".join(
            f"{source.header.names[place]}→{each.value}" for each, place in source.header.places.items()
        )
        lines.append(f"读取的列：{read}")
        if source.header.ignored:
            lines.append(f"不导入的列：{'、'.join(source.header.ignored)}")
    return lines


_FACTS: Final = {
    "encoding": "编码",
    "delimiter": "分隔符",
    "header_row": "表头行",
    "sheet": "工作表",
    "other_sheets": "未读的工作表",
}


def _tell(job: Import, counts: Counts, folder: Path, *, again: bool, as_json: bool) -> None:
    answer: dict[str, Any] = {
        "import_id": job.mapper.import_id,
        **{name: getattr(counts, name) for name in ("rows", "accepted", "duplicate", "conflict", "rejected")},
        "reject_file": counts.reject_file,
        "results": str(folder / "results.csv"),
        "finished_before": again,
    }
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    done = "此前已完成，没有再次发送。" if again else ""
    typer.echo(
        f"{done}共 {counts.rows} 行 = 受理 {counts.accepted} + 重复 {counts.duplicate} + "
        f"冲突 {counts.conflict} + 拒收 {counts.rejected}"
    )
    typer.echo(f"逐行结果：{answer['results']}")
    if counts.reject_file is not None:
        typer.echo(f"未导入的行：{counts.reject_file}（改正后用同一命令导入该文件）")


def _undo(
    layout: Layout, import_id: str, by: str | None, level: Level, *, approve: bool, as_json: bool
) -> None:
    if by is None:
        raise typer.BadParameter("name the role or credential that undoes with --by")
    undo = asyncio.run(_undone(layout, import_id, by, level, approve=approve, quiet=as_json))
    if as_json:
        typer.echo(json.dumps({**asdict(undo), "done": undo.done}, ensure_ascii=False))
    elif not approve:
        typer.echo(
            f"{undo.requested_by} 申请撤销导入 {import_id}：{undo.events} 条评价（尚未更改任何评价）。\n"
            f"请另一人确认：pingyi import --undo {import_id} --approve --by <角色>"
        )
    else:
        told = "，".join(
            f"{_STATES.get(name, name)} {count}" for name, count in (undo.outcomes or {}).items()
        )
        typer.echo(
            f"导入 {import_id} 已撤销（{undo.requested_by} 申请，{undo.approved_by} 确认）："
            f"{undo.events} 条评价，{told}"
        )


_STATES: Final = {
    "excluded": "已剔除",
    "excluded before": "此前已剔除",
    "withdrawn before": "群众此前已撤回",
}


async def _undone(
    layout: Layout, import_id: str, by: str, level: Level, *, approve: bool, quiet: bool
) -> undoing.Undo:
    async with cli_connection(layout) as client:
        events = await undoing.events_of(import_id, feedback_batches(client, (undoing.SUBMITTED,)))
    console = Console(stderr=True, quiet=quiet)
    async with new_http() as http:
        intake = IntakeClient(http, layout.service_url("intake"), say=console.print)
        if not approve:
            return await undoing.ask(import_id, events, by, level.value, intake)
        with _bar(console) as bar:
            task = bar.add_task("撤销", total=len(events), counts="")
            return await undoing.agree(
                import_id,
                events,
                by,
                level.value,
                intake,
                lambda count: bar.update(task, completed=count, counts=f"{count} 条"),
            )
