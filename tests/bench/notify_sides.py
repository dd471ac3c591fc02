"""What the notify part runs in a process of its own: the service, or a consumer that does nothing.

``python -m tests.bench.notify_sides`` with a job as JSON on standard input.
"""

import asyncio
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import structlog
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from services.notify.bootstrap import create_app
from services.notify.entrypoints import ratings
from services.notify.settings import Settings
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.positions import read_position
from shared.messaging.reading import ACK, DurableReader, FoldReader
from shared.messaging.streams import NOTIFY_RATINGS
from shared.observability.server import calm_garbage_collector
from tests.bench.notify_mix import RATINGS, SHARES
from tests.support.access import auth_dir

RULES_LIMIT_S = 60.0


async def bare(job: dict[str, Any]) -> dict[str, float]:
    """Take every event as notify's readers do, acknowledged by a durable, without a look at it."""
    client = await connect(BrokerSettings(nats_url=job["url"]), "bench")

    async def read(stream: str, durable: str, events: int) -> None:
        if not durable:
            fold = FoldReader(client, stream)
            while events > 0:
                events -= len(await fold.take())
            await fold.close()
            return
        reader = DurableReader(client, stream, durable)
        while events > 0:
            messages = await reader.take(500, 1.0)
            await reader.answer([(message, ACK) for message in messages])
            events -= len(messages)
        await reader.close()

    return await _timed(client, read)


async def fetch(job: dict[str, Any]) -> dict[str, float]:
    """The plain consumer: nats-py's pull subscriptions, those of durables acknowledged, without a look."""
    client = await connect(BrokerSettings(nats_url=job["url"]), "bench")

    async def read(stream: str, durable: str, events: int) -> None:
        jetstream = client.jetstream(timeout=5)
        if durable:
            subscription = await jetstream.pull_subscribe_bind(durable, stream)
        else:
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            subscription = await jetstream.pull_subscribe("", stream=stream, config=config)
        while events > 0:
            messages = await subscription.fetch(min(500, events), timeout=5)
            for message in messages if durable else ():
                await message.ack()
            events -= len(messages)

    return await _timed(client, read)


async def _timed(client: Client, read: Callable[[str, str, int], Awaitable[None]]) -> dict[str, float]:
    """How long it takes to read all of `SHARES` side by side, as notify does."""
    began, spent = time.monotonic(), time.process_time()
    await asyncio.gather(*(read(*share) for share in SHARES))
    outcome = {"elapsed_s": time.monotonic() - began, "cpu_s": time.process_time() - spent}
    await client.close()
    return outcome


async def rules(job: dict[str, Any]) -> dict[str, float]:
    """Run the whole service until it has judged every event, from the moment when it begins to.

    Raises:
        TimeoutError: it has not within `RULES_LIMIT_S`; says what is left.
    """
    ratings.SAVE_EVERY_S = 0.02  # the position shows the end, and would be up to a second late
    app = create_app(settings(job))
    client = await connect(BrokerSettings(nats_url=job["url"]), "bench")
    jetstream = client.jetstream(timeout=5)
    async with app.router.lifespan_context(app):
        began = spent = 0.0
        limit = time.monotonic() + RULES_LIMIT_S
        while True:
            infos = [
                await jetstream.consumer_info(stream, durable) for stream, durable, _ in SHARES if durable
            ]
            if not began and any(each.delivered and each.delivered.consumer_seq > 0 for each in infos):
                began, spent = time.monotonic(), time.process_time()
            left = {each.name: (each.num_pending or 0) + (each.num_ack_pending or 0) for each in infos}
            position, _ = await read_position(client, NOTIFY_RATINGS)
            left[NOTIFY_RATINGS] = RATINGS - (0 if position is None else position.sequence)
            if not any(left.values()):
                break
            if time.monotonic() > limit:
                raise TimeoutError(f"not judged: {left}")
            await asyncio.sleep(0.02)
        outcome = {"elapsed_s": time.monotonic() - began, "cpu_s": time.process_time() - spent}
    await client.close()
    return outcome


def _end_of_input() -> threading.Event:
    """Set at the next line; its thread keeps nothing from ending, as one of the event loop's would."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


async def serve(job: dict[str, Any]) -> dict[str, float]:
    """Run the whole service until standard input ends; then say how much memory it took at most."""
    app, process, peak = create_app(settings(job)), psutil.Process(), 0
    stop = _end_of_input()
    began = process.cpu_times()
    async with app.router.lifespan_context(app):
        while not stop.is_set():
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.2)
    spent = process.cpu_times()
    cpu_s = spent.user + spent.system - began.user - began.system
    return {"peak_mb": peak / 1e6, "cpu_s": cpu_s}


def settings(job: dict[str, Any]) -> Settings:
    """Settings of the service for a job."""
    return Settings(
        nats_url=job["url"],
        auth_dir=auth_dir(),
        secrets_dir=Path(job.get("secrets", tempfile.gettempdir())),
        channels_file=Path(job["channels"]) if "channels" in job else None,
        console_alerts=bool(job.get("console", False)),
        allow_loopback=True,
        delivery_timeout_s=float(job.get("timeout_s", 10.0)),
    )


def main() -> None:
    """Do the job."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # nobody reads standard output meanwhile
    )
    job = json.loads(sys.stdin.readline())
    calm_garbage_collector()
    side = {"bare": bare, "fetch": fetch, "rules": rules, "serve": serve}[job["side"]]
    print(json.dumps(asyncio.run(side(job))))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
