"""``pingyi up`` and ``pingyi down``: run the platform on this machine, and stop it."""

import asyncio
import json
import os
import time
from contextlib import suppress
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption
from deploy.local.errors import LocalError, StopRequestedError
from deploy.local.layout import DEFAULT_DATA, DEFAULT_PORT_BASE, SERVICES, Layout
from deploy.local.platform import running_platform
from deploy.local.platform_file import has_ended, read_running
from shared.kernel.errors import describe

DOWN_TIMEOUT_S = 15.0
"""A stop takes ten seconds at most; a supervisor that needs longer hangs."""
POLL_S = 0.1

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="NAME", help=f"Run this service only ({', '.join(SERVICES)}); repeatable."
    ),
]


def up(
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the platform on this machine until Ctrl-C.

    With NATS_URL and MONGODB_URL set, only the services run here. --json prints one line of JSON when the
    platform is ready.
    """
    layout = Layout.from_environment(data, port_base or DEFAULT_PORT_BASE, os.environ).here()
    asyncio.run(_up(layout, chosen_services(only), as_json=as_json))


def down(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Stop the platform that runs on the data directory; succeeds if there is none."""
    record = read_running(data / "platform.json")
    supervisor = record.supervisor() if record else None
    killed = supervisor is not None and not _terminate(supervisor)
    if as_json:
        typer.echo(json.dumps({"stopped_pid": supervisor.pid if supervisor else None, "killed": killed}))
    elif supervisor is None:
        typer.echo(f"No platform runs on {data.resolve()}.")
    else:
        typer.echo(f"Stopped pid {supervisor.pid}{' with SIGKILL, since it hung' if killed else ''}.")


def chosen_services(only: list[str] | None) -> tuple[str, ...]:
    """The services that ``--only`` names, in the platform's order; all without it.

    Raises:
        LocalError: a name is not one of ``SERVICES``.
    """
    if not only:
        return SERVICES
    for name in only:
        if name not in SERVICES:
            raise LocalError(describe(name, f"one of {', '.join(SERVICES)}", "correct the value of --only"))
    return tuple(name for name in SERVICES if name in only)


def print_addresses(console: Console, layout: Layout, services: tuple[str, ...] = SERVICES) -> None:
    """Print where a person reaches what; without credentials that an external address may carry."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in services:
        table.add_row(name, f"{layout.service_url(name)}/docs")
    if not layout.external:
        table.add_row("nats", layout.nats_url)
        table.add_row("nats monitoring", layout.nats_monitor_url)
        table.add_row("mongod", layout.mongodb_url)
    table.add_row("logs", str(layout.log("supervisor").parent))
    console.print(table)


async def _up(layout: Layout, services: tuple[str, ...], *, as_json: bool) -> None:
    narrator = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(sentence: str) -> None:
        narrator.print(sentence, markup=False)

    try:
        async with running_platform(layout, services=services, say=say) as supervisor:
            if as_json:
                typer.echo(" ".join(layout.platform_file.read_text(encoding="utf-8").split()))
            else:
                print_addresses(Console(highlight=False, soft_wrap=True), layout, services)
                say("The platform runs. Ctrl-C stops it.")
            await supervisor.wait()
            say("Stopping …")
    except StopRequestedError:
        say("Stopped before everything was ready.")


def _terminate(supervisor: psutil.Process) -> bool:
    """Stop a supervisor; False if it had to be killed (the kernel then kills its children)."""
    supervisor.terminate()
    deadline_s = time.monotonic() + DOWN_TIMEOUT_S
    while time.monotonic() < deadline_s:
        with suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            supervisor.wait(POLL_S)
        if has_ended(supervisor):
            return True
    supervisor.kill()
    return False
