"""``pingyi deadletter``: messages that no retry could save."""

import asyncio
import json
from typing import Annotated, Any

import typer

from deploy.local.broker import cli_connection, connection_as
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.kernel.clock import SystemClock
from shared.messaging.deadletters import (
    Letter,
    list_letters,
    producer_of,
    read_original,
    require_remembered,
)
from shared.messaging.deadletters import replay as replay_message

deadletter = typer.Typer(no_args_is_help=True, help="Messages that no retry could save.")
LetterId = Annotated[str, typer.Argument(help="Id of the letter, from `pingyi deadletter list`.")]


@deadletter.command("list")
def list_(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """List the dead letters, oldest first."""
    letters = asyncio.run(_letters(find_platform(data, port_base)))
    if not letters and not as_json:
        typer.echo("No dead letters.")
    for letter in letters:
        shown = json.dumps(letter.as_json(), ensure_ascii=False)
        typer.echo(
            shown
            if as_json
            else f"{letter.id}  {letter.data.stream}:{letter.data.sequence}  {letter.data.consumer}  "
            f"{letter.data.error}: {letter.data.reason[:120]}"
        )


@deadletter.command("show")
def show(
    letter_id: LetterId,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one letter and the size of the message that it is about; never the message's body."""
    letter, body = asyncio.run(_original(find_platform(data, port_base), letter_id))
    answer: dict[str, Any] = {**letter.as_json(), "body_in_stream": f"{len(body)} bytes"}
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=None if as_json else 2))


@deadletter.command("replay")
def replay(
    letter_id: LetterId,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the original message once more, with the credentials of the service that it came from.

    Refused for messages received more than 30 days ago: they would be counted twice.
    """
    layout = find_platform(data, port_base)
    sequence = asyncio.run(_replay(layout, letter_id))
    typer.echo(json.dumps({"sequence": sequence}) if as_json else f"Replayed as sequence {sequence}.")


async def _letters(layout: Layout) -> list[Letter]:
    async with cli_connection(layout) as client:
        return await list_letters(client)


async def _original(layout: Layout, letter_id: str) -> tuple[Letter, bytes]:
    async with cli_connection(layout) as client:
        return await read_original(client, letter_id)


async def _replay(layout: Layout, letter_id: str) -> int:
    letter, body = await _original(layout, letter_id)
    now = SystemClock().now()
    require_remembered(letter, body, now)  # before a connection as another service is made at all
    async with connection_as(layout, producer_of(letter, body)) as producer:
        return await replay_message(producer, letter, body, now=now)
