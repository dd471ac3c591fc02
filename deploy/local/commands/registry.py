"""``pingyi registry``: tables of units, successors, responsible people: checked, compared, loaded."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.api import call
from deploy.local.broker import cli_connection
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import visible
from deploy.registry.materialise import write_table
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.kernel.grades import Level
from shared.kernel.regions import load_divisions
from shared.kernel.registry_book import units_hash
from shared.kernel.unit_tables import Fault, read_rows, units_of
from shared.kernel.units import OPTIONAL_COLUMNS
from shared.messaging.registry import read_registry
from shared.rules import load_pack

LOAD_S = 300.0

registry = typer.Typer(no_args_is_help=True, help="The registry: units, successors, responsible people.")

Units = Annotated[Path | None, typer.Argument(help="Table of all units, CSV.", dir_okay=False, exists=True)]
Merges = Annotated[
    Path | None, typer.Option(help="CSV of successors: unit_id,into,on.", dir_okay=False, exists=True)
]
Divisions = Annotated[
    Path | None,
    typer.Option(help="CSV of divisions that are added or ended.", dir_okay=False, exists=True),
]
Offices = Annotated[
    Path | None,
    typer.Option(
        "--responsibilities", help="CSV: unit_id,role,person,valid_from.", dir_okay=False, exists=True
    ),
]


@registry.command("validate")
def validate(
    units: Annotated[Path, typer.Argument(help="Table of all units, CSV.", dir_okay=False, exists=True)],
    as_json: JsonOption = False,
) -> None:
    """Check a table by itself, all faults at once with line and column; exit code 1 on any."""
    rows, faults = read_rows(_text(units), optional=OPTIONAL_COLUMNS)
    kinds = load_pack(None, business_day(SystemClock().now())).kinds
    found, more = units_of(rows, kinds, load_divisions())
    faults = [*faults, *more]
    if as_json:
        answer = {"ok": not faults, "units": len(found), "faults": [fault._asdict() for fault in faults]}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        typer.echo("\n".join(_told(faults)) if faults else f"OK: {len(found)} units.")
    raise typer.Exit(1 if faults else 0)


@registry.command("diff")
def diff(
    units: Units = None,
    merges: Merges = None,
    offices: Offices = None,
    divisions: Divisions = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what tables would change; nothing is changed."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/registry/differences"
    answer = call("POST", url, body=_tables(units, merges, offices, divisions), timeout_s=LOAD_S)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        fields = f" ({', '.join(each['fields'])})" if each.get("fields") else ""
        detail = visible(each.get("detail") or "")
        typer.echo(f"{each['what']:<10} {visible(each['unit_id'])} {detail}{fields}")
    typer.echo(f"{answer['changes']} changes.")


@registry.command("load")
def load(
    by: Annotated[str, typer.Option("--by", help="Role or credential that loads; never a person's name.")],
    units: Units = None,
    merges: Merges = None,
    offices: Offices = None,
    divisions: Divisions = None,
    level: Annotated[Level, typer.Option(help="Level of who loads.")] = Level.PROVINCE,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put tables in force, all or nothing; running services take them up within seconds."""
    layout = find_platform(data, port_base)
    body = {**_tables(units, merges, offices, divisions), "decided_by": by, "level": level.value}
    url = f"{layout.service_url('intake')}/v1/registry/loads"
    answer = call("POST", url, body=body, timeout_s=LOAD_S)

    async def materialise() -> str:
        async with cli_connection(layout) as client:
            book = await read_registry(client)
        await asyncio.to_thread(write_table, book, layout.units_file)
        return units_hash(book.units)

    written = asyncio.run(materialise())
    if written != answer["units_hash"]:
        raise LocalError(
            describe(written, f"the table {answer['units_hash']}", "repeat it: somebody else loads, too")
        )
    answer["file"] = str(layout.units_file)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(f"Number {answer['number']}: {answer['changes']} changes. {layout.units_file}")
    typer.echo("Running services take it up within seconds.")


def _tables(
    units: Path | None, merges: Path | None, offices: Path | None, divisions: Path | None
) -> dict[str, Any]:
    given = {"units": units, "merges": merges, "responsibilities": offices, "divisions": divisions}
    if not any(given.values()):
        raise typer.BadParameter("name a table of units, --merges, --responsibilities or --divisions")
    return {name: _text(path) for name, path in given.items() if path is not None}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        expected = "text in UTF-8"
        raise LocalError(describe(f"{path.name} ({error})", expected, "save the file as UTF-8")) from error


def _told(faults: list[Fault]) -> list[str]:
    return [f"- {fault}" for fault in faults]
