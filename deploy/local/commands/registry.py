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
from deploy.local.registry_in_force import registry_in_force
from deploy.local.showing import visible
from deploy.registry.materialise import write_divisions, write_table
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.kernel.grades import Level
from shared.kernel.regions import load_divisions
from shared.kernel.registry_book import units_hash
from shared.kernel.registry_tables import divisions_of, merges_of, offices_of
from shared.kernel.unit_tables import read_rows, units_of
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
    units: Units = None,
    merges: Merges = None,
    offices: Offices = None,
    divisions: Divisions = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Check tables before they are loaded, all faults with table, line and column; exit code 1 on any.

    Where they name what is not in themselves, the registry in force is asked, or the committed tables.
    """
    texts = _tables(units, merges, offices, divisions)
    standing = registry_in_force(data)
    after = {unit.unit_id: unit for unit in standing.units}
    _, places, wrong = divisions_of(texts.get("divisions", ""), standing.divisions)
    faults = [("divisions", fault) for fault in wrong]
    count = len(after)
    if "units" in texts:
        rows, wrong = read_rows(texts["units"], optional=OPTIONAL_COLUMNS)
        kinds = load_pack(None, business_day(SystemClock().now())).kinds
        found, more = units_of(rows, kinds, places)
        faults += [("units", fault) for fault in (*wrong, *more)]
        after |= {unit.unit_id: unit for unit in found}
        count = len(found)
    faults += [("merges", fault) for fault in merges_of(texts.get("merges", ""), after)[1]]
    faults += [
        ("responsibilities", fault) for fault in offices_of(texts.get("responsibilities", ""), after)[1]
    ]
    if as_json:
        told = [{"table": table, **fault._asdict()} for table, fault in faults]
        answer = {"ok": not faults, "units": count, "by": standing.about, "faults": told}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        lines = [f"- {table}, {fault}" for table, fault in faults]
        typer.echo("\n".join(lines) if faults else f"OK: {count} units.")
        typer.echo(f"Divisions and units that the tables do not have: {standing.about}.", err=True)
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
            book = await read_registry(client, load_divisions())
        await asyncio.to_thread(write_divisions, book, layout.divisions_file)
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
