"""``pingyi rules``: check rule packs, and show the one in force on a day."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.commands.options import JsonOption
from deploy.local.errors import LocalError
from deploy.local.showing import shown
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.kernel.units import load_units
from shared.rules import RulePack, examine_packs, load_pack, pack_settings

PacksArgument = Annotated[
    Path | None, typer.Argument(metavar="[PATH]", help="A pack, or a folder of packs; the committed ones.")
]

rules = typer.Typer(no_args_is_help=True, help="The rule packs: every number that policy decides.")


@rules.command("check")
def check(path: PacksArgument = None, as_json: JsonOption = False) -> None:
    """Check rule packs by themselves and together, all problems at once; exit code 1 on any."""
    found = examine_packs(path, load_units())
    packs = [_identity(pack) for pack in found.packs]
    if as_json:
        answer = {"ok": not found.problems, "packs": packs, "problems": list(found.problems)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif found.problems:
        typer.echo("\n".join(f"- {problem}" for problem in found.problems))
    else:
        typer.echo("\n".join(["OK", *(_line(pack) for pack in found.packs)]))
    raise typer.Exit(1 if found.problems else 0)


@rules.command("show")
def show(
    path: PacksArgument = None,
    on: Annotated[str | None, typer.Option(metavar="DAY", help="Business day, YYYY-MM-DD; today.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rule pack in force on a day, with its hash and all its values."""
    pack = load_pack(path, business_day(SystemClock().now()) if on is None else parse_day(on, "--on"))
    if as_json:
        answer = {**_identity(pack), "settings": pack_settings(pack)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(_line(pack))
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in pack_settings(pack).items():
        table.add_row(shown(key), shown(value))
    Console(highlight=False).print(table)


def parse_day(text: str, option: str) -> date:
    """Read a business day.

    Raises:
        LocalError: not ``YYYY-MM-DD``; names ``option``.
    """
    try:
        if len(text) == len("YYYY-MM-DD"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise LocalError(describe(text, f"a day as YYYY-MM-DD in {option}", "write it like 2026-11-20"))


def _identity(pack: RulePack) -> dict[str, str | None]:
    return {
        "version": pack.version,
        "valid_from": str(pack.valid_from),
        "valid_to": None if pack.valid_to is None else str(pack.valid_to),
        "hash": pack.hash,
    }


def _line(pack: RulePack) -> str:
    return f"{pack.version}  {pack.valid_from} – {pack.valid_to or 'open'}  {pack.hash}"
