"""``pingyi events``: watch events as they happen."""

import asyncio
import json
from typing import Annotated, Any

import typer
from nats.aio.msg import Msg

from deploy.local.broker import cli_connection
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.events import EVENTS
from shared.kernel.errors import describe

CONTEXTS = tuple(sorted({spec.context for spec in EVENTS} | {"audit", "cases"}))
"""First token of every subject that events have."""

events = typer.Typer(no_args_is_help=True, help="The events on the bus.")


@events.command("tail")
def tail(
    subject: Annotated[
        str | None, typer.Argument(help="NATS subject, wildcards allowed; all by default.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0 goes on until Ctrl-C.")] = 0,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print events as they are published: one line each, or with --json their envelopes as NDJSON."""
    subjects = subjects_of(subject)
    layout = find_platform(data, port_base)
    try:
        asyncio.run(_tail(layout, subjects, count, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _tail(layout: Layout, subjects: tuple[str, ...], count: int, *, as_json: bool) -> None:
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    async with cli_connection(layout) as client:
        for subject in subjects:
            await client.subscribe(subject, cb=arrived.put)
        await client.flush()
        if client.last_error is not None:
            # The server's refusal arrives beside the subscription, which would just stay silent.
            raise LocalError(
                describe(", ".join(subjects), "a subject that may be read", str(client.last_error))
            )
        shown = 0
        while count == 0 or shown < count:
            message = await arrived.get()
            typer.echo(
                message.data.decode("utf-8", "replace") if as_json else line_of(message.subject, message.data)
            )
            shown += 1


def subjects_of(asked: str | None) -> tuple[str, ...]:
    """What to subscribe to: the subject that was asked for, or without one all events.

    Raises:
        LocalError: see :func:`checked_subject`.
    """
    if asked is None:
        return tuple(f"{context}.>" for context in CONTEXTS)  # `>` alone is more than this user may read
    return (checked_subject(asked),)


def checked_subject(subject: str) -> str:
    """The subject, if NATS takes it and events can match it.

    Raises:
        LocalError: an empty token, a blank, a `>` before the end, or a context without events.
    """
    tokens = subject.split(".")
    well_formed = all(token and not any(char.isspace() for char in token) for token in tokens)
    if not well_formed or ">" in tokens[:-1] or tokens[0] not in {*CONTEXTS, "*", ">"}:
        expected = (
            f"tokens joined by dots, * and a final > as wildcards, starting with one of {', '.join(CONTEXTS)}"
        )
        raise LocalError(describe(subject, expected, "for example ranking.v1.*.3607.>"))
    return subject


def line_of(subject: str, body: bytes) -> str:
    """One event in one line: time, subject, what it is about, and its data, shortened."""
    try:
        event: dict[str, Any] = json.loads(body)
        data = json.dumps(event["data"], ensure_ascii=False)
    except (ValueError, KeyError, TypeError):
        return f"{subject}  not an event ({len(body)} bytes)"
    shown = data if len(data) <= 200 else data[:200] + "…"  # noqa: PLR2004 - one screen line or two
    return f"{event.get('receivedat', '?')}  {subject}  {event.get('subject', '?')}  {shown}"
