"""``pingyi recipients``: the file of those who can be told."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.commands.options import JsonOption
from services.notify.adapters.recipients_file import RecipientsError, read_recipients
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.units import load_units
from shared.rules import load_pack

recipients = typer.Typer(no_args_is_help=True, help="Who can be told of alerts.")


@recipients.callback()
def _several() -> None:
    """One command alone would lose its name."""


@recipients.command("validate")
def validate(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of recipients: TOML, or a table (.csv).")
    ],
    units: Annotated[Path | None, typer.Option(help="Table of units; the committed one.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rule packs; the committed ones.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a file of recipients, all problems at once; exit code 1 on any."""
    kinds = load_pack(rules, business_day(SystemClock().now())).kinds
    problems: tuple[str, ...] = ()
    count = 0
    try:
        book = read_recipients(path, load_units(units), kinds)
        count = len(book.recipients)
    except RecipientsError as error:
        problems = error.problems
    if as_json:
        answer = {"ok": not problems, "recipients": count, "problems": list(problems)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        typer.echo("\n".join(f"- {each}" for each in problems) if problems else f"OK, {count} recipients")
    raise typer.Exit(1 if problems else 0)
