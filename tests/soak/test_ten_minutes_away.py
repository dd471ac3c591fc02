"""Ten minutes without the broker: intake goes on, says so, and then all is in the stream, in order and once.

``make soak`` keeps it away for SOAK_AWAY_S (600) seconds, in which SOAK_AWAY_RATINGS (30,000) ratings come.
The supervisor is stopped meanwhile, or it would start the broker again.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from deploy.local.broker import cli_connection
from services.intake.adapters.spool_file import SpoolFile, spool_path
from shared.messaging.streams import FEEDBACK
from tests.support.audit import StreamView, assert_everything_adds_up
from tests.support.load import Load, simulated
from tests.support.platform import Platform, running_platform, until

pytestmark = pytest.mark.soak

AWAY_S = float(os.environ.get("SOAK_AWAY_S", "600"))
RATINGS = int(os.environ.get("SOAK_AWAY_RATINGS", "30000"))
BEFORE = 0.05
"""Share of the ratings that come before the broker goes away, and again after it is back."""
STEP_S = 1.0
ALL: Final = 10**9
DRAINED_S = 180.0
SETTLED_S = 300.0
MOST_MIB = 400


async def test_ten_minutes_without_the_broker_lose_nothing_and_are_drained_in_order(tmp_path: Path) -> None:
    with running_platform(tmp_path / "var", cold=True) as platform:
        load = Load(simulated(RATINGS).lines)
        load.limit = BEFORE
        sending = asyncio.create_task(load.run(platform.url("intake"), platform.proofs))
        await load.reach(BEFORE)
        waiting = await _away(platform, load)
        load.limit = 1.0
        began_s = time.monotonic()
        await asyncio.to_thread(_await_drained, platform)
        tell(f"{len(waiting):,} messages drained in {time.monotonic() - began_s:.0f} s beside live load")
        await sending
        platform.promised.update(load.promised)
        assert not load.retries, f"no client notices: {load.outages}"
        async with cli_connection(platform.layout) as client:
            view = StreamView(client, FEEDBACK)
            stored = [fact.event["id"] for fact in await view.news() if fact.event is not None]
            await view.aclose()
        spooled = set(waiting)
        assert [each for each in stored if each in spooled] == waiting, "in order, each once"
        await assert_everything_adds_up(platform, alerts_timeout_s=SETTLED_S)
        tell(f"books balance over {len(platform.promised):,} ratings")


async def _away(platform: Platform, load: Load) -> list[str]:
    """Kill the broker, let ratings come at an even pace, and start it; the ids that waited then, in order."""
    supervisor = psutil.Process(platform.supervisor.pid)
    supervisor.suspend()
    try:
        platform.kill("nats")
        before, began_s = load.progress, time.monotonic()
        while (gone_s := time.monotonic() - began_s) < AWAY_S:
            load.limit = before + (1 - BEFORE - before) * gone_s / AWAY_S
            await asyncio.sleep(STEP_S)
        await load.reach(load.limit)
        intake = platform.url("intake")
        async with httpx.AsyncClient(base_url=intake, trust_env=False) as http:
            ready = await http.get("/readyz")
            metrics = (await http.get("/metrics")).text
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["accepting"]["detail"] == "by the spool"
        file = SpoolFile(spool_path(platform.layout.service_data("intake") / "spool"), readonly=True)
        kept = file.oldest(ALL)
        file.close()
        assert all(each.sound for each in kept)
        assert f"pingyi_intake_spool_messages {float(len(kept))}" in metrics
        assert "pingyi_intake_broker_circuit_open_info 1.0" in metrics
        assert len(kept) > 0.8 * RATINGS
        size = psutil.Process(platform.pid("intake")).memory_info().rss / 1024**2
        tell(f"away for {gone_s:.0f} s: {len(kept):,} messages wait; intake has {size:.0f} MiB resident")
        tell(ready.text)
        assert size < MOST_MIB
    finally:
        supervisor.resume()
    return [each.entry.message.message_id for each in kept]


def _await_drained(platform: Platform) -> None:
    until(lambda: platform.is_ready("nats"), timeout_s=60, what="the supervisor starts the broker")
    until(lambda: platform.is_ready("intake"), timeout_s=DRAINED_S, what="the spool is empty")


def tell(sentence: str) -> None:
    """Say how it goes: ``make soak`` shows it at once."""
    sys.stderr.write(sentence + "\n")
