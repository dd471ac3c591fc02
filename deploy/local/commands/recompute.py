"""``pingyi recompute``: the rankings once more, from nothing but the stream."""

import asyncio
import json
from functools import partial

import typer

from deploy.local.broker import cli_connection
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.feedback import read_feedback
from deploy.local.layout import DEFAULT_DATA, Layout
from services.scoring.adapters.nats_ranking_store import read_all_lists
from services.scoring.application.published import PublishedList
from services.scoring.application.recompute import diff_lists, recompute_like
from shared.kernel.units import load_units
from shared.messaging.reading import StoredMessage
from shared.rules import load_pack


def recompute(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """Recompute every published ranking offline and compare it byte for byte; exit code 1 if one differs.

    Each list is folded up to the position of the stream that it states, so a running platform is no
    hindrance.
    """
    layout = find_platform(data, port_base)
    live, messages = asyncio.run(_read(layout))
    lines = differences(live, messages)
    if as_json:
        answer = {"ok": not lines, "lists": len(live), "messages": len(messages), "differences": lines}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif lines:
        typer.echo("\n".join(lines))
    else:
        typer.echo(f"OK: {len(live)} lists recomputed from {len(messages)} messages, equal byte for byte.")
    raise typer.Exit(1 if lines else 0)


def differences(live: dict[str, PublishedList], messages: list[StoredMessage]) -> list[str]:
    """Where the published lists differ from those recomputed from ``messages``; empty: nowhere."""
    return diff_lists(live, recompute_like(messages, load_units(), partial(load_pack, None), live))


async def _read(layout: Layout) -> tuple[dict[str, PublishedList], list[StoredMessage]]:
    async with cli_connection(layout) as client:
        live = await read_all_lists(client)
        return live, await read_feedback(client)
