"""``pingyi rules``: check rule packs, and show the one in force on a day."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.commands.rule_test import rule_test
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import shown
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.kernel.grades import Level
from shared.kernel.reasons import RuleChangeReason
from shared.kernel.units import load_units
from shared.rules import RulePack, examine_packs, load_pack, load_packs, pack_settings, parse_pack
from shared.rules.loading import APPROVED, read_texts

PacksArgument = Annotated[
    Path | None, typer.Argument(metavar="[PATH]", help="A pack, or a folder of packs; the committed ones.")
]

UnitsOption = Annotated[
    Path | None, typer.Option("--units", metavar="FILE", help="Table of units; the committed one.")
]

rules = typer.Typer(no_args_is_help=True, help="The rule packs: every number that policy decides.")

rules.command("test")(rule_test)


@rules.command("check")
def check(path: PacksArgument = None, units: UnitsOption = None, as_json: JsonOption = False) -> None:
    """Check rule packs by themselves and together, all problems at once; exit code 1 on any."""
    found = examine_packs(path, load_units(units))
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


@rules.command("propose")
def propose(
    file: Annotated[Path, typer.Argument(help="The new rule pack.", dir_okay=False, exists=True)],
    by: Annotated[str, typer.Option("--by", help="Role or credential that asks; never a person's name.")],
    reason: Annotated[RuleChangeReason, typer.Option(help="Why.")] = RuleChangeReason.POLICY,
    level: Annotated[Level, typer.Option(help="Level of who asks.")] = Level.PROVINCE,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask that a rule pack be used; another person approves it. Shows what it changes."""
    parse_pack(file.read_text(encoding="utf-8"), file.name)  # names all problems before anything is sent
    body = {
        "pack": file.read_text(encoding="utf-8"),
        "reason": reason.value,
        "decided_by": by,
        "level": level.value,
    }
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals"
    answer = call("POST", f"{url}/rules", body=body)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["rules"]["differences"]:
        typer.echo(f"  {each['key']}: {each.get('old', '-')} → {each.get('new', '-')}")
    typer.echo(f"{answer['rules']['version']} {answer['rules']['hash']} 待另一人批准：")
    typer.echo(f"pingyi rules approve {answer['approval_id']} --by <角色> --level {level.value}")


@rules.command("list")
def list_(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """List proposed rule packs, newest first."""
    items = _proposals(find_platform(data, port_base).service_url("intake"))
    if as_json:
        typer.echo(json.dumps(items, ensure_ascii=False))
    for each in () if as_json else items:
        pack = each["rules"]
        typer.echo(
            f"{each['approval_id']}  {each['stage']}  {pack['version']} from {pack['valid_from']}  "
            f"{pack['hash']}"
        )


@rules.command("approve")
def approve(
    approval_id: Annotated[str, typer.Argument(help="From `pingyi rules list`.")],
    by: Annotated[str, typer.Option("--by", help="Role or credential that agrees.")],
    level: Annotated[Level, typer.Option(help="Level of who agrees.")] = Level.PROVINCE,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree to a proposed rule pack; `pingyi rules fetch` then brings it to a service's folder."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals/{approval_id}/approve"
    answer = call("POST", url, body={"decided_by": by, "level": level.value})
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else f"{approval_id} {answer['stage']}")


@rules.command("fetch")
def fetch(
    folder: Annotated[Path, typer.Argument(help="RULES_PATH of the services.", file_okay=False)],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Write the committed and all approved packs into a folder, with the list that makes it exclusive."""
    url = find_platform(data, port_base).service_url("intake")
    packs: list[dict[str, Any]] = [
        {"hash": parse_pack(text, name).hash, "file": name, "text": text} for name, text in read_texts(None)
    ]
    for each in _proposals(url):
        if each["stage"] == "granted":
            whole = call("GET", f"{url}/v1/approvals/{each['approval_id']}")
            pack = whole["rules"]
            packs.append(
                {
                    "hash": pack["hash"],
                    "file": f"{pack['version']}.toml",
                    "text": pack["pack"],
                    "approval_id": each["approval_id"],
                    "requested_by": each.get("requested_by"),
                    "decided_by": each["decided_by"],
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    for pack in packs:
        (folder / pack["file"]).write_text(pack.pop("text"), encoding="utf-8")
    (folder / APPROVED).write_text(json.dumps({"packs": packs}, ensure_ascii=False, indent=1) + "\n")
    found = load_packs(folder)
    typer.echo("\n".join(_line(pack) for pack in found))


def _proposals(url: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = call("GET", f"{url}/v1/approvals", params={"kind": "rules", "limit": 500})[
        "items"
    ]
    return items


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
