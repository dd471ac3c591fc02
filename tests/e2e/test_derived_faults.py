"""What is derived, killed under load: scoring, notify, archive and its database. Everything catches up."""

import asyncio
from pathlib import Path

import pytest

from tests.support.audit import assert_everything_adds_up, assert_verified_offline
from tests.support.faults import killed_under_load
from tests.support.load import simulated
from tests.support.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATINGS = 1_000
"""Enough for two kills amid them: they wait while a victim is away. Soaks send 200 times as many."""
KILLS = {"scoring": 2, "notify": 1, "archive": 1, "mongod": 2}


@pytest.mark.parametrize("victim", KILLS)
async def test_derived_part_killed_under_load_catches_up_and_all_balances(
    own_platform: Platform, tmp_path: Path, victim: str
) -> None:
    plan = simulated(RATINGS, days_ago=1 + list(KILLS).index(victim))
    load = await killed_under_load(own_platform, [victim] * KILLS[victim], plan.lines)
    assert not load.retries, f"accepting needs neither of the others: {load.outages}"
    assert own_platform.record().children[victim].restarts >= KILLS[victim]
    assert len(load.promised) == plan.ratings
    await assert_everything_adds_up(own_platform)
    await asyncio.to_thread(assert_verified_offline, own_platform, tmp_path / "export")
