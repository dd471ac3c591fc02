"""Cases whose clocks run out while rectify, notify or the broker are killed: nothing is lost."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.audit import assert_everything_adds_up, until_announced
from tests.support.audit_cases import PERCENTS
from tests.support.faults import killed_under_load
from tests.support.load import simulated
from tests.support.officers import Officers, hurried_pack
from tests.support.platform import Platform, hasten, running_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATINGS = 600
KILLS = {"nats": 2, "rectify": 2, "notify": 1}
REMINDERS_BEGIN_S = 4.0
EXPECTED = {("contact", percent) for percent in PERCENTS} | {("solve", 100)}


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform in whose world a deadline is some seconds long."""
    folder = tmp_path_factory.mktemp("hurried")
    packs = hurried_pack(folder / "packs", datetime.now(UTC))
    with running_platform(folder / "var", RULES_PATH=str(packs)) as running:
        hasten(running)
        yield running


@pytest.mark.parametrize("victim", KILLS)
async def test_killed_while_cases_open_and_clocks_run_out_everybody_is_told_once(
    hurried: Platform, victim: str
) -> None:
    """Amid the reminders of the first cases, and where it is killed twice, while these are opened."""
    restarts = hurried.record().children[victim].restarts
    lines = simulated(RATINGS, days_ago=1 + list(KILLS).index(victim)).lines
    first, second = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    officers = Officers(hurried)
    at_work = asyncio.create_task(officers.run())
    await killed_under_load(hurried, [victim] * (KILLS[victim] - 1), first)
    await asyncio.sleep(REMINDERS_BEGIN_S)
    await killed_under_load(hurried, [victim], second)
    async with asyncio.timeout(90):
        while len(officers.classified) < 10 and not at_work.done():  # noqa: ASYNC110 - a number, not an event
            await asyncio.sleep(0.1)
    await until_announced(hurried, EXPECTED)  # the first of class A are late by then
    assert not at_work.done(), "the officers gave up"
    at_work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await at_work
    assert hurried.record().children[victim].restarts >= restarts + KILLS[victim]
    books = await assert_everything_adds_up(hurried)
    assert books.strikes, "nobody was late: the test is too easy"
    assert books.standing(), "no timer was left to keep"
