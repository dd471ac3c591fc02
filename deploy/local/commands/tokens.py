"""``pingyi tokens``: one-time tokens with their QR codes, for printing; and what became of one."""

import csv
import json
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from deploy.local.api import call, client, send
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from services.intake.adapters.qr_codes import qr_code
from shared.kernel.errors import describe

TABLE: Final = "tokens.csv"
TIMEOUT_S: Final = 120.0

_Form = Literal["svg", "png", "none"]

tokens = typer.Typer(no_args_is_help=True, help="One-time tokens: the right to rate one unit once.")


@tokens.command("issue")
def issue(
    unit: Annotated[str, typer.Option(help="Unit that may be rated, for example U000112.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New directory for the codes and their table.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    days: Annotated[int | None, typer.Option(min=1, help="Days of validity; the rule pack's.")] = None,
    transaction_id: Annotated[
        str | None, typer.Option(help="Number of the transaction 办件号 that the only token is for.")
    ] = None,
    form: Annotated[_Form, typer.Option(help="Kind of picture.")] = "svg",
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue tokens: a QR code for each, and a table of all. Whoever has a code can use it."""
    layout = find_platform(data, port_base)
    order = {"unit_id": unit, "count": count, "valid_days": days, "transaction_id": transaction_id}
    if out.exists() and any(out.iterdir()):
        raise LocalError(describe(str(out), "a new or an empty directory", "name another with --out"))
    with client(TIMEOUT_S) as http:
        body = {name: value for name, value in order.items() if value is not None}
        answer = send(http, "POST", f"{layout.service_url('intake')}/v1/tokens", body=body)
    issued = [json.loads(line) for line in answer.text.splitlines()]
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [_written(out, number, token, form) for number, token in enumerate(issued, 1)]
    with (out / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if as_json:
        typer.echo(json.dumps({"count": len(rows), "table": str(out / TABLE), "tokens": rows}))
        return
    until = issued[0]["expires_at"]
    typer.echo(f"Issued {len(rows)} for {unit}, valid until {until}. They are in {out}, listed in {TABLE}.")


@tokens.command("state")
def state(
    token: Annotated[str, typer.Argument(help="The token, as it was issued.")],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whether a token is valid, used or expired."""
    layout = find_platform(data, port_base)
    answer = call("GET", f"{layout.service_url('intake')}/v1/tokens/{token}")
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    name = answer["unit_name"] or ""
    typer.echo(f"{answer['state']}: for {answer['unit_id']} {name}, until {answer['expires_at']}")


def _written(out: Path, number: int, token: dict[str, str], form: _Form) -> dict[str, str]:
    """Write a token's picture; its row in the table."""
    name = "" if form == "none" else f"{number:05d}.{form}"
    if form != "none":
        (out / name).write_bytes(qr_code(token["url"], form))
    return {"picture": name, **token}
