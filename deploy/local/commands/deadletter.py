"""``pingyi deadletter``: messages that no retry could save."""

import asyncio
import json
from typing import Annotated, Any

import typer

from deploy.local.broker import cli_connection, connection_as
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.messaging.deadletters import Letter, list_letters, producer_of, read_original
from shared.messaging.deadletters import replay as replay_message

deadletter = typer.Typer(no_args_is_help=True, help="Messages that no retry could save.")
LetterId = Annotated[str, typer.Argument(help="Id of the letter, from `pingyi deadletter list`.")]


@deadletter.command("list")
def list_(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """List the dead letters, oldest first."""
    for letter in asyncio.run(_letters(find_platform(data, port_base))):
        shown = json.dumps(letter.as_json(), ensure_ascii=False)
        typer.echo(
            shown
            if as_json
            else f"{letter.id}  {letter.data.stream}:{letter.data.sequence}  {letter.data.consumer}  "
            f"{letter.data.error}: {letter.data.reason[:120]}"
        )


@deadletter.command("show")
def show(letter_id: LetterId, data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None) -> None:
    """Show one letter and the size of the message that it is about; never the message's body."""
    letter, body = asyncio.run(_original(find_platform(data, port_base), letter_id))
    answer: dict[str, Any] = {**letter.as_json(), "body_in_stream": f"{len(body)} bytes"}
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))


@deadletter.command("replay")
def replay(letter_id: LetterId, data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None) -> None:
    """Publish the original message once more, with the credentials of the service that it came from."""
    layout = find_platform(data, port_base)
    sequence = asyncio.run(_replay(layout, letter_id))
    typer.echo(f"Replayed as sequence {sequence}.")


async def _letters(layout: Layout) -> list[Letter]:
    async with cli_connection(layout) as client:
        return await list_letters(client)


async def _original(layout: Layout, letter_id: str) -> tuple[Letter, bytes]:
    async with cli_connection(layout) as client:
        return await read_original(client, letter_id)


async def _replay(layout: Layout, letter_id: str) -> int:
    letter, body = await _original(layout, letter_id)
    async with connection_as(layout, producer_of(letter, body)) as producer:
        return await replay_message(producer, letter, body)
