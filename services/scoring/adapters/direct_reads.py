"""Batched direct reads: what a stream stored behind a sequence, without a consumer."""

import json
from typing import Final, NamedTuple

from nats.aio.client import Client

READS_AT_ONCE: Final = 64
TIMEOUT_S: Final = 10.0


class Read(NamedTuple):
    """A stored message."""

    subject: str
    sequence: int
    data: bytes


async def read_after(client: Client, stream: str, subjects: str, after: int) -> list[Read]:
    """What ``stream`` holds on ``subjects`` behind the sequence ``after``, in its order; empty: nothing.

    Raises:
        NatsError: no answer; TimeoutError, OSError and KeyError likewise.
    """
    found: list[Read] = []
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
    try:
        more = True
        while more:
            request = {"seq": after + 1, "batch": READS_AT_ONCE, "next_by_subj": subjects}
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            more = False
            while True:
                message = await answers.next_msg(TIMEOUT_S)
                headers = message.headers or {}
                if "Status" in headers:
                    break
                after, more = int(headers["Nats-Sequence"]), True
                found.append(Read(headers["Nats-Subject"], after, message.data))
    finally:
        await answers.unsubscribe()
    return found
