"""The baseline of batches: the same bytes through group commit alone, without HTTP or anything to check.

``python -m tests.bench.bare_commit`` reads the payloads of the newest events of FEEDBACK and then publishes
them, timed, to the same stream of another nats-server.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import uvloop

from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK
from tests.bench.processes import watching


async def newest(settings: BrokerSettings, messages: int) -> list[StoredMessage]:
    """The newest ``messages`` of FEEDBACK."""
    client = await connect(settings, "cli")
    last = (await client.jetstream(timeout=10).stream_info(FEEDBACK)).state.last_seq
    reader = FoldReader(client, FEEDBACK, after=last - messages)
    found: list[StoredMessage] = []
    while len(found) < messages:
        found += await reader.take()
    await reader.close()
    await client.close()
    return found


async def measure(
    *,
    source_url: str,
    source_seed: str,
    url: str,
    messages: int,
    chunk: int,
    inflight: int,
    pids: Mapping[str, int],
) -> object:
    """Publish ``messages`` payloads, ``chunk`` in one call and ``inflight`` calls at once; rate and cost."""
    source = BrokerSettings(nats_url=source_url, nats_nkey_seed_file=Path(source_seed))
    run = uuid4().hex
    outgoing = [
        Outgoing(message.subject, f"{run}-{message.sequence}", message.data)
        for message in await newest(source, messages)
    ]
    client = await connect(BrokerSettings(nats_url=url), "bench")
    jetstream = client.jetstream(timeout=10)
    before = (await jetstream.stream_info(FEEDBACK)).state.messages
    commit = GroupCommit(client, stream=FEEDBACK)
    await commit.start()
    gate = asyncio.Semaphore(inflight)

    async def publish(start: int) -> None:
        async with gate:
            await commit.publish(outgoing[start : start + chunk])

    with watching(pids) as spent:
        cpu, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(publish(start) for start in range(0, messages, chunk)))
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    await commit.stop()
    stored = (await jetstream.stream_info(FEEDBACK)).state.messages - before
    await client.close()
    return {"stored": stored, "elapsed_s": elapsed, "cpu": {"group commit": cpu, **spent.seconds}}


def main() -> None:
    """Do the job that stands on the standard input."""
    job = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(measure(**job)), sys.stdout)


if __name__ == "__main__":
    main()
