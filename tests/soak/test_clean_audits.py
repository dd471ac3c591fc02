"""No false alarm: an untouched log passes both verifiers, however often its makers were killed under load.

``make soak`` runs it SOAK_AUDITS (100) times on one platform, tests/e2e five times; SOAK_SEED repeats the
kills. Every audit is online, every fifth one offline, too; and no stream was ever reported to differ from the
log. In parts: with SOAK_RECORD=FILE every audit is a line of FILE, and a run does what is missing to
SOAK_AUDITS, at most SOAK_PART of them. The end says what all parts found together; failed audits stay there.
"""

import asyncio
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.broker import cli_connection
from deploy.local.demo.settle import settled
from deploy.local.layout import SERVICES
from deploy.local.restart import RestartPolicy
from shared.events import StreamDiverged, spec_for_data
from shared.messaging.streams import AUDIT
from tests.support.audit import assert_verified_offline, verified
from tests.support.load import Load, simulated
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.soak

AUDITS = int(os.environ.get("SOAK_AUDITS", "100"))
PART = int(os.environ.get("SOAK_PART", "0")) or AUDITS
RECORD = Path(os.environ["SOAK_RECORD"]) if os.environ.get("SOAK_RECORD") else None
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
RATINGS = 300
VICTIMS = (*SERVICES, "nats", "mongod", "archive", "mongod")
"""Those that write the log come twice as often."""
IN_A_ROW = RestartPolicy().max_failures - 2
STABLE_S = RestartPolicy().stable_s + 10
DIVERGED = f"audit.v1.{spec_for_data(StreamDiverged).fact}.>"
OFFLINE_EVERY = 5
"""An export takes longer with every round, and holds the rounds before."""


async def test_clean_logs_pass_both_verifiers_after_random_kills_under_load(tmp_path: Path) -> None:
    chance, kills = random.Random(SEED), Counter[str]()
    died_s: dict[str, list[float]] = {}
    before = recorded()
    count = min(PART, AUDITS - sum(one["clean"] for one in before))
    sys.stderr.write(f"{summary(before)}; {max(count, 0)} now\n")
    with running_platform(tmp_path / "var") as platform:
        for number in range(1, count + 1):
            victim = chance.choice([each for each in VICTIMS if _may_die(died_s.get(each, []))])
            died_s.setdefault(victim, []).append(time.monotonic())
            await _load_and_kill(platform, victim, chance.random(), number)
            kills[victim] += 1
            platform.await_ready()
            offline = number % OFFLINE_EVERY == 0 or number == count
            found = {"seed": SEED, "number": number, "victim": victim, "offline": offline, "clean": False}
            try:
                found |= await _audit(platform, tmp_path / "export", offline=offline)
            finally:
                record(found)
            sys.stderr.write(
                f"audit {number} of {count}: clean, {found['entries']:,} entries, "
                f"{found['checkpoints']} checkpoints; seed {SEED}, kills {dict(kills)}\n"
            )
    sys.stderr.write(f"{summary(recorded())}\n")
    assert all(one["clean"] for one in recorded()), f"see {RECORD}"


async def _audit(platform: Platform, export: Path, *, offline: bool) -> dict[str, Any]:
    """Both verifiers on what is there now, the second one on an export; nothing was reported meanwhile."""
    async with cli_connection(platform.layout) as client:
        await settled(platform.layout, client, quiet_polls=1)
        audit = await client.jetstream(timeout=10).stream_info(AUDIT, subjects_filter=DIVERGED)
    assert not audit.state.subjects, "the reconciliation has no false alarm, either"
    report = await asyncio.to_thread(verified, platform)
    assert report["checkpoints"] > 0
    if offline:
        await asyncio.to_thread(assert_verified_offline, platform, export)
        shutil.rmtree(export)
    return {"clean": True, "entries": report["entries"], "checkpoints": report["checkpoints"]}


def recorded() -> list[dict[str, Any]]:
    """The audits of earlier parts."""
    if RECORD is None or not RECORD.exists():
        return []
    return [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]


def record(found: dict[str, Any]) -> None:
    """Keep an audit's outcome, also a failed one's."""
    if RECORD is not None:
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


def summary(audits: list[dict[str, Any]]) -> str:
    """What all parts so far found."""
    clean, parts = sum(one["clean"] for one in audits), len({one["seed"] for one in audits})
    offline = sum(one["offline"] and one["clean"] for one in audits)
    return f"{clean} clean audits ({offline} offline, too) and {len(audits) - clean} others in {parts} parts"


def _may_die(died_s: list[float]) -> bool:
    """The supervisor gives up a child that fails more often without a stable run: that is its duty."""
    return sum(time.monotonic() - each < STABLE_S * IN_A_ROW for each in died_s) < IN_A_ROW


async def _load_and_kill(platform: Platform, victim: str, at: float, number: int) -> None:
    load = Load(list(simulated(RATINGS, days_ago=1 + number % 25, seed=SEED + number).lines))
    running = asyncio.create_task(load.run(platform.url("intake"), platform.proofs))
    await load.reach(at * 0.8)
    try:
        await asyncio.to_thread(platform.kill, victim)
    except psutil.NoSuchProcess:
        sys.stderr.write(f"{victim} was down already\n")
    await running
    platform.promised.update(load.promised)
