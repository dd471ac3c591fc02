"""``pingyi doctor``: is this machine fit for the platform, and what to do if not."""

import json
import os
from dataclasses import asdict

import typer
from rich.console import Console

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption
from deploy.local.doctor import Level, examine
from deploy.local.layout import DEFAULT_DATA, DEFAULT_PORT_BASE, Layout
from deploy.local.platform_file import read_running

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def doctor(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """Check ports, disk, clock, versions and limits, and say what to do; exit code 1 if anything fails."""
    record = read_running(data / "platform.json")
    fallback = record.port_base if record else DEFAULT_PORT_BASE
    layout = Layout.from_environment(data, port_base or fallback, os.environ)
    findings = examine(layout, record)
    failed = any(finding.level is Level.FAIL for finding in findings)
    if as_json:
        answer = {"ok": not failed, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            colour = COLOURS[finding.level]
            console.print(f"[{colour}]{finding.level.value:<4}[/] {finding.check:<14} ", end="")
            console.print(finding.found, markup=False)
            if finding.remedy:
                console.print(f"{'':<19} → {finding.remedy}", markup=False)
    raise typer.Exit(1 if any(finding.level is Level.FAIL for finding in findings) else 0)
