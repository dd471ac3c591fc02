"""Minutes of load with random SIGKILLs of every part, then the audit; tests/e2e has the short form.

``make soak`` runs it for SOAK_MINUTES (10) with at least SOAK_RATINGS (200,000) ratings; SOAK_SEED repeats a
sequence of kills.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.layout import SERVICES
from deploy.local.resident import resident_bytes
from deploy.local.restart import RestartPolicy
from tests.support.audit import assert_everything_adds_up
from tests.support.load import Load, simulated
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.soak

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
RATINGS = int(os.environ.get("SOAK_RATINGS", "200000"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
DAY_RATINGS = 20_000
PIECE_LINES = 1_000
LONGEST_PAUSE_S = 10.0
IN_A_ROW = RestartPolicy().max_failures - 2
"""The supervisor gives up a child that fails more often without a stable run between: that is its duty."""
STABLE_S = RestartPolicy().stable_s + 10
ALERTS_TIMEOUT_S = 900.0
SERVICES_LIMIT_MB = 600


async def test_random_kills_for_minutes_leave_everything_balanced(tmp_path: Path) -> None:
    with running_platform(tmp_path / "var") as platform:
        kills: Counter[str] = Counter()
        outages: Counter[str] = Counter()
        killer = asyncio.create_task(kill_at_random(platform, kills))
        try:
            began_s = time.monotonic()
            for number, lines in enumerate(pieces(), 1):
                load = Load(lines)
                await load.run(platform.url("intake"), platform.proofs)
                assert load.answered == len(lines)
                platform.promised.update(load.promised)
                outages += load.outages
                if number % 20 == 0:
                    seconds = time.monotonic() - began_s
                    tell(f"{seconds:.0f} s: {len(platform.promised):,} accepted, kills {dict(kills)}")
                due_s = began_s + MINUTES * 60 * len(platform.promised) / RATINGS
                assert not killer.done(), killer.exception()
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        finally:
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
        tell(f"seed {SEED}: {kills.total()} kills {dict(kills)}, retries {dict(outages)}")
        assert kills.total() > 0
        await assert_everything_adds_up(platform, alerts_timeout_s=ALERTS_TIMEOUT_S)
        sizes = {name: resident_bytes(platform.pid(name)) / 1024**2 for name in SERVICES}
        tell(f"books balance over {len(platform.promised):,} ratings; resident {sizes} MB")
        assert sum(sizes.values()) <= SERVICES_LIMIT_MB, sizes


def tell(sentence: str) -> None:
    """Say how it goes: ``make soak`` shows it at once."""
    sys.stderr.write(sentence + "\n")


def pieces() -> Iterator[list[bytes]]:
    """Lines of as many days as it takes, the oldest ones late; in pieces that are paced."""
    for days_ago in range(1, 1 + -(-RATINGS // DAY_RATINGS)):
        lines = simulated(DAY_RATINGS, days_ago=4 * days_ago, seed=SEED).lines
        for start in range(0, len(lines), PIECE_LINES):
            yield list(lines[start : start + PIECE_LINES])


async def kill_at_random(platform: Platform, kills: Counter[str]) -> None:
    """SIGKILL parts, at times two at once, but none so often that the supervisor would have to give up."""
    chance = random.Random(SEED)
    last_s: dict[str, float] = {}
    in_a_row: Counter[str] = Counter()
    while True:
        await asyncio.sleep(chance.uniform(0.0, LONGEST_PAUSE_S))
        victim = chance.choice((*SERVICES, "nats", "mongod"))
        quiet_s = time.monotonic() - last_s.get(victim, -STABLE_S)
        if quiet_s >= STABLE_S:
            in_a_row[victim] = 0
        if in_a_row[victim] >= IN_A_ROW:
            continue
        try:
            await asyncio.to_thread(platform.kill, victim)
        except psutil.NoSuchProcess:
            continue  # still down from the last time
        last_s[victim] = time.monotonic()
        in_a_row[victim] += 1
        kills[victim] += 1
