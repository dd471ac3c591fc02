"""``pingyi audit accept``: the operator's decision about a stream that went back."""

import asyncio
import getpass
import json
import time
from typing import Annotated, Any

import typer

from deploy.local.api import call
from deploy.local.broker import connection_as
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.events import Provenance, StreamHistoryAccepted, spec_for_data
from shared.kernel.clock import SystemClock
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id
from shared.messaging.publisher import JetStreamPublisher

COMPARE_TIMEOUT_S = 600.0
IN_FORCE_S = 30.0
POLL_S = 0.5
CONFLICT = 409
_SPEC = spec_for_data(StreamHistoryAccepted)


def accept(
    stream: Annotated[str, typer.Argument(help="The stream that `/readyz` of the archive says is refused.")],
    reason: Annotated[str, typer.Option(help="Why its present history is to stand; kept for good.")],
    by: Annotated[str | None, typer.Option(help="Who decides; your user name without it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on archiving a stream that went back, with the history that it has now.

    For a stream that can't be brought back: `rebuild-stream` restores one from the archive. The decision is
    an event in the log. No archived sequence is used again, and nothing archived is lost.
    """
    layout = find_platform(data, port_base)
    url = f"{layout.service_url('archive')}/v1/streams/{stream}/fork"
    found = call("GET", url, timeout_s=COMPARE_TIMEOUT_S)
    if not as_json:
        typer.echo("\n".join(describe_fork(found)))
    if not yes and not typer.confirm("Accept this history?"):
        raise typer.Exit(1)
    sequence = asyncio.run(_publish(layout, decision(found, by or getpass.getuser(), reason)))
    _await_in_force(url, stream)
    if as_json:
        typer.echo(json.dumps({**found, "audit_sequence": sequence}))
    else:
        typer.echo(f"Recorded as sequence {sequence} of AUDIT; {stream} is archived again.")


def decision(found: dict[str, Any], by: str, reason: str) -> StreamHistoryAccepted:
    """The decision about a fork that the archive described."""
    return StreamHistoryAccepted(
        stream=found["stream"],
        fork=found["fork"],
        archived_last=found["archived_last"],
        offset=found["offset"],
        stream_last=found["stream_last"],
        decided_by=by,
        reason=reason,
    )


def describe_fork(found: dict[str, Any]) -> list[str]:
    """What accepting means, in plain lines."""
    stream, fork, offset = found["stream"], found["fork"], found["offset"]
    last, archived = found["stream_last"], found["archived_last"]
    if last > fork:
        new = f"Its messages {fork + 1} to {last} will be archived as {fork + 1 + offset} to {last + offset}"
    else:
        new = f"Its next message, {fork + 1}, will be archived as {fork + 1 + offset}"
    return [
        f"{stream} is refused: {found['reason']}",
        f"Both agree up to sequence {fork}; the stream ends at {last}, the archive at {archived}.",
        f"{new}, and so on.",
        f"What is archived as {fork + 1} to {archived} stays in the archive only.",
    ]


async def _publish(layout: Layout, data: StreamHistoryAccepted) -> int:
    now = SystemClock().now()
    event_id = derived_id("history-accepted", data.stream, str(data.archived_last), str(data.fork))
    envelope = _SPEC.wrap(
        data,
        event_id=event_id,
        source="archive",
        subject=data.stream,
        time=now,
        received_at=now,
        provenance=Provenance(event_id),
    )
    async with connection_as(layout, "archive") as client:
        return await JetStreamPublisher(client).publish(envelope)


def _await_in_force(url: str, stream: str) -> None:
    """Return when the archive takes the stream again: it then has nothing to say about a fork any more."""
    deadline_s = time.monotonic() + IN_FORCE_S
    while time.monotonic() < deadline_s:
        try:
            call("GET", url, timeout_s=COMPARE_TIMEOUT_S)
        except ServiceRefusedError as error:
            if error.problem.get("status") == CONFLICT:
                return
            raise
        time.sleep(POLL_S)
    raise LocalError(
        describe(
            f"{stream} refused still, {IN_FORCE_S:g} s after the decision was recorded",
            "the archive to go on with it",
            "look at /readyz and the log of the archive",
        )
    )
