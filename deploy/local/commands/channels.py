"""``pingyi channels``: the endpoints that alerts go to, and whether one of them works."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import shown
from services.notify.adapters.endpoints import Line, make_lines
from services.notify.adapters.webhook import WebhookChannel
from services.notify.domain.alert import Alert
from services.notify.settings import Settings
from shared.kernel.clock import SystemClock
from shared.kernel.errors import PermanentError, PingyiError, describe
from shared.kernel.ids import derived_id
from shared.rules import Severity

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="notify.toml; CHANNELS_FILE of the environment if not given."
    ),
]

channels = typer.Typer(no_args_is_help=True, help="Endpoints that alerts go to.")


@channels.command("list")
def list_(
    file: FileOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the file and its secrets, list every endpoint, and say what a running notify knows of it."""
    lines, states = _lines(file, data), _states(data, port_base)
    rows = [_row(line, states.get(line.endpoint.address)) for line in lines]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    Console().print(channels_table(rows))
    for row in rows:
        for key in row["public_keys"]:
            typer.echo(f"{row['address']} is verified with {key}")


def channels_table(rows: list[dict[str, Any]]) -> Table:
    """Endpoints as people read them; what a receiver answered is shown, and obeyed by nothing."""
    table = Table(box=None, pad_edge=False)
    for title in ("address", "target", "gets", "a minute", "gives up after", "state"):
        table.add_column(title, overflow="fold")
    for row in rows:
        limit = str(row["per_minute"] or "-")
        hours = f"{row['retry_for_s'] / 3600:.1f} h"
        gets = "all alerts" if row["all_alerts"] else "what names it"
        table.add_row(shown(row["address"]), shown(row["target"]), gets, limit, hours, shown(row["state"]))
    return table


@channels.command("test")
def send(
    address: Annotated[str, typer.Argument(help="Address of an endpoint, from `pingyi channels list`.")],
    file: FileOption = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Send one message that says that it is a test, now and once, and print what the receiver answered.

    It goes from this machine and past the broker: nothing is recorded, tried again or counted.
    """
    lines = {line.endpoint.address: line for line in _lines(file, data)}
    if address not in lines:
        known = ", ".join(lines) or "none is set up"
        raise LocalError(describe(address, f"an endpoint: {known}", "name one of them"))
    try:
        answer = asyncio.run(lines[address].channel.deliver(_message(address)))
    except PingyiError as error:
        final = isinstance(error, PermanentError)
        raise LocalError(f"{address}: {error} ({'for good' if final else 'it may pass'})") from error
    typer.echo(json.dumps({"address": address, "answer": answer}) if as_json else f"{address}: {answer}")


def _lines(file: Path | None, data: Path) -> tuple[Line, ...]:
    """Return the endpoints as notify would have them, with the platform's secrets unless others are set."""
    chosen: dict[str, Any] = {}
    if file is not None:
        chosen["channels_file"] = file
    if "SECRETS_DIR" not in os.environ:
        chosen["secrets_dir"] = data / "secrets"
    return make_lines(Settings(**chosen), SystemClock()).lines


def _states(data: Path, port_base: int | None) -> dict[str, dict[str, Any]]:
    """Return what a running notify says of its endpoints, by address; nothing if none runs."""
    try:
        layout = find_platform(data, port_base)
        found = call("GET", f"{layout.service_url('notify')}/v1/channels", timeout_s=3.0)
    except PingyiError:
        return {}
    return {each["address"]: each for each in found["items"]}


def _row(line: Line, state: dict[str, Any] | None) -> dict[str, Any]:
    endpoint = line.endpoint
    return {
        "address": endpoint.address,
        "target": endpoint.target,
        "all_alerts": endpoint.all_alerts,
        "per_minute": endpoint.per_minute,
        "retry_for_s": sum(endpoint.retry_delays_s),
        "state": _said(state),
        "public_keys": line.channel.public_keys if isinstance(line.channel, WebhookChannel) else (),
    }


def _said(state: dict[str, Any] | None) -> str:
    if state is None:
        return "unknown"
    if state["disabled"] is not None:
        return f"disabled since {state['disabled']['since']}: {state['disabled']['reason']}"
    waiting = f", {state['waiting']} waiting" if state["waiting"] else ""
    return ("down" if state["down"] else "in use") + waiting


def _message(address: str) -> Alert:
    now = SystemClock().now()
    return Alert(
        alert_id=derived_id("channel-test", address, now.isoformat()),
        rule="channel_test",
        severity=Severity.INFO,
        known_at=now,
        unit_id=None,
        unit_name=None,
        city="all",
        county="all",
        title="测试消息,请忽略",
        body="这是评议平台发出的测试消息。This is a test of this endpoint; please ignore it.",
        evidence=(),
        figures={"endpoint": address},
    )
