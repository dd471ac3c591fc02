"""Ways to read a stream from its beginning, each in a process of its own: ours and nats-py's.

``python -m tests.bench.bus_readers``. All count messages and bytes and do nothing else with them, except
``fold``, which is scoring's whole fold, and those that parse as it does: a full replay cannot do with less.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache

import uvloop
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from services.scoring.application.fold import Fold, Message
from services.scoring.application.parsing import RatingParser
from shared.events import InvalidEventError
from shared.kernel.units import load_units
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.reading import FoldReader
from shared.messaging.streams import FEEDBACK
from shared.rules.loading import load_pack
from shared.testing.clock import NOON
from tests.bench.processes import watching

DAY = NOON.date()
"""The day that the filled stream is about."""
FETCH = 500
"""Messages in one fetch of the plain pull loop: larger ones made it no faster."""


async def fold_reader(client: Client, messages: int) -> int:
    """The platform's reader."""
    reader = FoldReader(client, FEEDBACK)
    size = seen = 0
    while seen < messages:
        for message in await reader.take():
            size += len(message.data)
            seen += 1
    await reader.close()
    return size


async def fetch(client: Client, messages: int, look: Callable[[bytes], object] = lambda _data: None) -> int:
    """nats-py's pull subscription and its ``fetch`` in a loop."""
    subscription = await client.jetstream().pull_subscribe(
        "",
        stream=FEEDBACK,
        config=ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL),
    )
    size = seen = 0
    while seen < messages:
        for message in await subscription.fetch(FETCH, timeout=5):
            look(message.data)
            size += len(message.data)
            seen += 1
    await subscription.unsubscribe()
    return size


async def ordered(client: Client, messages: int) -> int:
    """nats-py's ordered push consumer and ``next_msg`` in a loop."""
    subscription = await client.jetstream().subscribe(
        "", stream=FEEDBACK, ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    size = 0
    for _ in range(messages):
        size += len((await subscription.next_msg(timeout=5)).data)
    await subscription.unsubscribe()
    return size


def _parse(messages: Sequence[Message]) -> None:
    """Parse and check ratings as scoring does, and drop them."""
    parse = _parser().parse
    for message in messages:
        parse(message.data)


@cache
def _parser() -> RatingParser:
    index = {str(unit.unit_id): place for place, unit in enumerate(load_units())}
    return RatingParser(index, load_pack(None, DAY))


async def reader_parse(client: Client, messages: int) -> int:
    """The platform's reader, and scoring's parser."""
    reader = FoldReader(client, FEEDBACK)
    size = seen = 0
    while seen < messages:
        batch = await reader.take()
        _parse(batch)
        size += sum(len(message.data) for message in batch)
        seen += len(batch)
    await reader.close()
    return size


async def fetch_parse(client: Client, messages: int) -> int:
    """nats-py's pull subscription and its ``fetch`` in a loop, and scoring's parser."""
    return await fetch(client, messages, _parser().parse)


async def fold(client: Client, messages: int) -> int:
    """Scoring's fold on the platform's reader: parsed, checked, counted in every window."""
    state = Fold(load_units(), load_pack(None, DAY), DAY)
    reader = FoldReader(client, FEEDBACK)
    size = 0

    def refuse(_message: Message, error: InvalidEventError) -> None:
        raise error

    while state.position < messages:
        batch = await reader.take()
        state.take(batch, refuse)
        size += sum(len(message.data) for message in batch)
    await reader.close()
    if state.books().accepted != messages:
        raise AssertionError(f"{messages} ratings expected, the books have {state.books()}")
    return size


READERS: dict[str, Callable[[Client, int], Awaitable[int]]] = {
    "fold_reader": fold_reader,
    "fold": fold,
    "reader_parse": reader_parse,
    "fetch": fetch,
    "fetch_parse": fetch_parse,
    "ordered": ordered,
}


async def measure(url: str, reader: str, messages: int, pids: Mapping[str, int]) -> object:
    """Read ``messages`` with ``reader``; how long it took and what it cost."""
    client = await connect(BrokerSettings(nats_url=url), "bench")
    with watching(pids) as spent:
        cpu, started = time.process_time(), time.perf_counter()
        size = await READERS[reader](client, messages)
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    await client.close()
    return {"bytes": size, "elapsed_s": elapsed, "cpu": {reader: cpu, **spent.seconds}}


def main() -> None:
    """Do the job that stands on the standard input."""
    job = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(measure(**job)), sys.stdout)


if __name__ == "__main__":
    main()
