"""Streams as files and back, by the broker's own snapshots: sequences, times and consumers survive.

nats-py has no helper for it. The broker sends a snapshot in chunks to a subject of ours, and a message
without a body at its end; it takes one back the same way. Where a chunk wants an answer, that asks for more.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local.errors import LocalError
from shared.kernel.errors import describe

REQUEST_S: Final = 30.0
CHUNK_S: Final = 60.0
"""A broker that is busy with others' messages sends the next chunk late."""
CHUNK_BYTES: Final = 128 * 1024
RECOVER_S: Final = 600.0
"""At the end of a restore the broker reads the whole stream before it answers."""


class StreamFileError(LocalError):
    """The broker did not give or take a stream."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream as it was when it was saved; ``config`` and ``state`` are the broker's own words."""

    config: dict[str, Any]
    state: dict[str, Any]

    @property
    def bounds(self) -> tuple[int, int, int]:
        """First sequence, last sequence, number of messages."""
        return self.state["first_seq"], self.state["last_seq"], self.state["messages"]


async def save_stream(client: Client, name: str, path: Path) -> StreamRecord:
    """Write ``name`` with its consumers to ``path``; the stream goes on being written meanwhile.

    Raises:
        StreamFileError: the broker refuses, or stops in the middle.
    """
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
    request = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK_BYTES}
    try:
        answer = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{name}", request)
        with path.open("wb") as file:
            while True:
                chunk = await subscription.next_msg(timeout=CHUNK_S)
                if not chunk.data:
                    break
                file.write(chunk.data)  # a local disk is faster than the broker's reading
                if chunk.reply:
                    await client.publish(chunk.reply)
    except (NatsError, TimeoutError) as error:
        raise StreamFileError(describe(repr(error), f"a snapshot of {name}", "look at the broker")) from error
    finally:
        await subscription.unsubscribe()
    return StreamRecord(answer["config"], answer["state"])


async def load_stream(client: Client, record: StreamRecord, path: Path) -> tuple[int, int, int]:
    """Make the stream of ``record`` anew from ``path``; there must be none of its name.

    Returns:
        First sequence, last sequence and number of messages that the broker then has.

    Raises:
        StreamFileError: the broker refuses it, or what it made of the file ends before what was saved.
    """
    name = record.config["name"]
    try:
        request = {"config": record.config, "state": record.state}
        target = (await _ask(client, f"$JS.API.STREAM.RESTORE.{name}", request))["deliver_subject"]
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                _check((await client.request(target, chunk, timeout=CHUNK_S)).data, f"a part of {name}")
        _check((await client.request(target, b"", timeout=RECOVER_S)).data, f"{name} to be restored")
        state = (await _ask(client, f"$JS.API.STREAM.INFO.{name}", {}))["state"]
    except (NatsError, TimeoutError) as error:
        raise StreamFileError(
            describe(repr(error), f"{name} to be restored", "look at the broker")
        ) from error
    found: tuple[int, int, int] = (state["first_seq"], state["last_seq"], state["messages"])
    # Later is possible: what was published while the last file of the stream was copied.
    if found[1] < record.bounds[1] or (found[2] < record.bounds[2] and found[0] == record.bounds[0]):
        raise StreamFileError(
            describe(
                f"{name} with sequences {found[0]} to {found[1]}, {found[2]} messages",
                "{} to {}, {} messages, as saved".format(*record.bounds),
                "the broker could not read the file; use another backup",
            )
        )
    return found


async def make_stream(client: Client, record: StreamRecord) -> None:
    """Make the stream of ``record`` anew as it was set up, without a message.

    Raises:
        StreamFileError: the broker refuses it.
    """
    name = record.config["name"]
    try:
        await _ask(client, f"$JS.API.STREAM.CREATE.{name}", record.config)
    except (NatsError, TimeoutError) as error:
        raise StreamFileError(describe(repr(error), f"{name} to be made", "look at the broker")) from error


async def _ask(client: Client, subject: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(subject, json.dumps(request).encode(), timeout=REQUEST_S)
    return _check(answer.data, f"an answer to {subject}")


def _check(body: bytes, expected: str) -> dict[str, Any]:
    """The answer, which is empty for a part that was taken.

    Raises:
        StreamFileError: it is an error.
    """
    answer: dict[str, Any] = json.loads(body) if body else {}
    if "error" in answer:
        raise StreamFileError(describe(answer["error"].get("description"), expected, "look at the broker"))
    return answer
