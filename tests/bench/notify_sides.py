"""What the notify part runs in a process of its own: the service, or a consumer that does nothing.

``python -m tests.bench.notify_sides`` with a job as JSON on standard input.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import structlog

from services.notify.bootstrap import create_app
from services.notify.settings import Settings
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.reading import ACK, DurableReader
from shared.messaging.streams import FEEDBACK
from tests.support.access import auth_dir

DURABLE = "notify-feedback"


async def bare(job: dict[str, Any]) -> dict[str, float]:
    """Take every rating and acknowledge it, as notify's reader does, without a look at it."""
    client = await connect(BrokerSettings(nats_url=job["url"]), "bench")
    reader, left = DurableReader(client, FEEDBACK, DURABLE), int(job["messages"])
    began = time.monotonic()
    while left > 0:
        messages = await reader.take(500, 1.0)
        await reader.answer([(message, ACK) for message in messages])
        left -= len(messages)
    elapsed = time.monotonic() - began
    await reader.close()
    await client.close()
    return {"elapsed_s": elapsed}


async def fetch(job: dict[str, Any]) -> dict[str, float]:
    """The plain consumer: nats-py's pull subscription, each rating acknowledged, without a look at it."""
    client, left = await connect(BrokerSettings(nats_url=job["url"]), "bench"), int(job["messages"])
    subscription = await client.jetstream(timeout=5).pull_subscribe_bind(DURABLE, FEEDBACK)
    began = time.monotonic()
    while left > 0:
        messages = await subscription.fetch(500, timeout=5)
        for message in messages:
            await message.ack()
        left -= len(messages)
    elapsed = time.monotonic() - began
    await client.close()
    return {"elapsed_s": elapsed}


async def rules(job: dict[str, Any]) -> dict[str, float]:
    """Run the whole service until it has judged every rating, from the moment when it begins to."""
    app = create_app(settings(job))
    client = await connect(BrokerSettings(nats_url=job["url"]), "bench")
    jetstream = client.jetstream(timeout=5)
    async with app.router.lifespan_context(app):
        began = 0.0
        while True:
            info = await jetstream.consumer_info(FEEDBACK, DURABLE)
            if not began and info.delivered is not None and info.delivered.consumer_seq > 0:
                began = time.monotonic()
            if info.num_pending == 0 and info.num_ack_pending == 0:
                break
            await asyncio.sleep(0.02)
        elapsed = time.monotonic() - began
    await client.close()
    return {"elapsed_s": elapsed}


async def serve(job: dict[str, Any]) -> dict[str, float]:
    """Run the whole service until standard input ends; then say how much memory it took at most."""
    app, process, peak = create_app(settings(job)), psutil.Process(), 0
    stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    began = process.cpu_times()
    async with app.router.lifespan_context(app):
        while not stop.done():
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
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    job = json.loads(sys.stdin.readline())
    side = {"bare": bare, "fetch": fetch, "rules": rules, "serve": serve}[job["side"]]
    print(json.dumps(asyncio.run(side(job))))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
