"""``pingyi audit``: check the audit trail."""

import json
import sys
from typing import Annotated, Any

import typer

from deploy.local.api import VERIFY_ATTEMPTS, call
from deploy.local.commands.accepting import accept
from deploy.local.commands.backup import backup, rebuild, restore
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.history.archive import read_lines
from deploy.local.layout import DEFAULT_DATA
from shared.messaging.streams import FEEDBACK

VERIFY_TIMEOUT_S = 600.0

audit = typer.Typer(no_args_is_help=True, help="The audit trail.")
audit.command("accept")(accept)
audit.command("backup")(backup)
audit.command("restore")(restore)
audit.command("rebuild-stream")(rebuild)


@audit.command("verify")
def verify(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """Recompute every hash of the log and compare it with the streams; exit code 1 on any finding."""
    layout = find_platform(data, port_base)
    report = call(
        "GET",
        f"{layout.service_url('archive')}/v1/verify",
        timeout_s=VERIFY_TIMEOUT_S,
        attempts=VERIFY_ATTEMPTS,
    )
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        typer.echo("\n".join(describe_report(report)))
    raise typer.Exit(0 if report["ok"] else 1)


@audit.command("export")
def export(
    stream: Annotated[str, typer.Option(help="Archived stream to export.")] = FEEDBACK,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Print every archived entry of a stream as JSON lines, in order; `recompute --from FILE` reads them.

    Feedback is not public: keep the file where only those may read it who may read the archive.
    """
    layout = find_platform(data, port_base)
    output = sys.stdout.buffer
    for line in read_lines(layout.service_url("archive"), stream):
        output.write(line + b"\n")
    output.flush()


def describe_report(report: dict[str, Any]) -> list[str]:
    """The verification's answer in plain lines."""
    verdict = "OK" if report["ok"] else "NOT OK"
    lines = [f"{verdict}: {report['entries']} entries, {report['checkpoints']} checkpoints"]
    lines += [
        f"  {finding['where']}: {finding['what']}; {finding['expected']}" for finding in report["findings"]
    ]
    return lines
