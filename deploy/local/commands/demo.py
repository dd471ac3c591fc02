"""``pingyi demo``: one simulated day of the whole province, or real ratings, through the real platform."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption
from deploy.local.demo.receiver import WebhookReceiver
from deploy.local.demo.script import Script, insteval, simulated_day
from deploy.local.errors import StopRequestedError
from deploy.local.layout import DEFAULT_DATA, DEFAULT_PORT_BASE, Layout
from deploy.local.platform import running_platform
from shared.kernel.clock import business_day

if TYPE_CHECKING:
    from deploy.local.demo.run import Outcome

REAL_DATA = Path("var-real")
RECEIVER_OFFSET = 9


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the tour: 0 only if the books balance.")
    ] = False,
    real: Annotated[bool, typer.Option("--real", help="Play real ratings (InstEval) instead.")] = False,
    ratings: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Ratings of the simulated day.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulated day.")] = 20091231,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    json_output: JsonOption = False,
) -> None:
    """Start the platform, play one day of the province through its API, show what came of it.

    Stays up until Ctrl-C unless --once. What was played before is not played again. --real keeps its data
    apart, under var-real unless --data says otherwise.
    """
    chosen = REAL_DATA if real and data == DEFAULT_DATA else data
    layout = Layout.from_environment(chosen, port_base or DEFAULT_PORT_BASE, os.environ)
    yesterday = business_day(datetime.now(UTC)) - timedelta(days=1)

    script = insteval(yesterday) if real else simulated_day(yesterday, ratings=ratings, seed=seed)
    outcome = asyncio.run(_demo(layout, script, once=once, quiet=json_output, webhook=not real))
    if outcome is None:
        raise typer.Exit(1)
    if json_output:
        from deploy.local.demo.run import as_json  # noqa: PLC0415 - as above

        typer.echo(json.dumps(as_json(outcome), ensure_ascii=False))
    raise typer.Exit(0 if outcome.ok else 1)


async def _demo(
    layout: Layout, script: Script, *, once: bool, quiet: bool, webhook: bool
) -> "Outcome | None":
    """None when the platform was stopped before the tour was over."""
    console = Console(stderr=quiet, highlight=False)
    # Much of the tour's code computes rankings, and takes as long to load as a service does. Loaded before
    # the first child is started, it would delay everything; after the last is ready, the tour.
    loading = asyncio.create_task(asyncio.to_thread(import_module, "deploy.local.demo.run"))
    with WebhookReceiver(layout.secrets / "webhook.key", port=layout.port_base + RECEIVER_OFFSET) as receiver:
        if webhook:
            # Children inherit it: notify addresses its alerts there. Real ratings come without: one in three
            # is bad, and what they are to show is the ranking.
            os.environ["WEBHOOK_URL"] = receiver.url
            os.environ["ALLOW_LOOPBACK"] = "true"
        try:
            async with running_platform(
                layout, say=lambda sentence: console.print(f"[dim]{sentence}[/]")
            ) as supervisor:
                await loading
                from deploy.local.demo.run import run  # noqa: PLC0415 - loaded meanwhile, see above

                inbox = receiver.inbox if webhook else None
                outcome = await supervisor.during(run(layout, script, inbox, console))
                if not once:
                    console.print("\n平台继续运行，按 Ctrl-C 停止。")
                    await supervisor.wait()
                return outcome
        except StopRequestedError:
            return None
        except ExceptionGroup as group:
            # A task group wraps what its tasks raise; a person needs the first cause, in one line.
            raise first_error(group) from group


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that is not a group itself."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
