"""The way in killed under load: broker, intake, poison, repeats. Nothing accepted is lost or counts twice."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker import cli_connection
from shared.messaging.streams import FEEDBACK
from tests.support.audit import assert_everything_adds_up, assert_verified_offline
from tests.support.faults import killed_under_load
from tests.support.load import Load, simulated
from tests.support.platform import Platform, until
from tests.support.poison import publishing_as

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATINGS = 1_000
"""Enough for two kills amid them: they wait while a victim is away. Soaks send 200 times as many."""
NO_EVENT = b'{"specversion": "1.0", "data": '


async def test_broker_killed_twice_under_load_loses_and_repeats_nothing(
    own_platform: Platform, tmp_path: Path
) -> None:
    plan = simulated(RATINGS, days_ago=1)
    load = await killed_under_load(own_platform, ["nats", "nats"], plan.lines)
    assert not load.retries, "intake takes ratings without the broker, and no client notices"
    assert own_platform.record().children["nats"].restarts >= 2
    assert len(load.promised) == plan.ratings
    assert load.outcomes["rejected"] == plan.broken
    await assert_everything_adds_up(own_platform)
    await asyncio.to_thread(assert_verified_offline, own_platform, tmp_path / "export")


async def test_intake_killed_twice_under_load_loses_and_repeats_nothing(own_platform: Platform) -> None:
    plan = simulated(RATINGS, days_ago=2)
    load = await killed_under_load(own_platform, ["intake", "intake"], plan.lines)
    assert load.retries > 0, "no client noticed that intake was away"
    assert own_platform.record().children["intake"].restarts >= 2
    assert len(load.promised) == plan.ratings
    assert load.outcomes["rejected"] == plan.broken
    await assert_everything_adds_up(own_platform)


async def test_poison_message_becomes_a_dead_letter_and_the_rest_goes_on(own_platform: Platform) -> None:
    before = simulated(150, days_ago=3)
    after = simulated(150, days_ago=4)
    await killed_under_load(own_platform, [], before.lines)
    async with publishing_as(own_platform, "intake") as publish:
        sequence = await publish("feedback.v1.submitted.3607.360702", NO_EVENT)
    own_platform.poisoned += 1
    await killed_under_load(own_platform, [], after.lines)

    letters = until(
        lambda: letters_about(own_platform, sequence), timeout_s=90, what="the dead letter is listed"
    )
    assert {letter["payload_size"] for letter in letters} == {len(NO_EVENT)}
    assert {letter["message_subject"] for letter in letters} == {"feedback.v1.submitted.3607.360702"}
    assert all("expected" in letter["reason"] for letter in letters)

    shown = own_platform.pingyi("deadletter", "show", letters[0]["id"])
    assert shown.returncode == 0, shown.stderr
    assert NO_EVENT.decode() not in shown.stdout, "a body may carry what nobody should read"
    replayed = own_platform.pingyi("deadletter", "replay", letters[0]["id"])
    assert replayed.returncode == 1
    assert "can't be replayed" in replayed.stderr
    await assert_everything_adds_up(own_platform)


async def test_repeated_batch_adds_nothing_even_when_intake_lost_its_memory(own_platform: Platform) -> None:
    lines = [line for line in simulated(400, days_ago=8).lines if b"demo-" in line]
    first = await killed_under_load(own_platform, [], lines)
    stored = await last_feedback(own_platform)

    again = await killed_under_load(own_platform, [], lines)
    assert again.promised == first.promised
    assert again.outcomes == {"duplicate": len(lines)}
    assert await last_feedback(own_platform) == stored

    pid = own_platform.kill("intake")
    shutil.rmtree(own_platform.layout.service_data("intake"), ignore_errors=True)
    own_platform.layout.service_data("intake").mkdir(exist_ok=True)
    own_platform.await_restart("intake", pid)
    forgetful = await killed_under_load(own_platform, [], lines)
    assert forgetful.promised == first.promised
    assert forgetful.outcomes == {"duplicate": len(lines)}
    assert await last_feedback(own_platform) == stored


async def test_same_reference_with_other_content_is_a_conflict_and_the_first_one_stands(
    own_platform: Platform,
) -> None:
    line = next(line for line in simulated(50, days_ago=9).lines if b"demo-" in line)
    await killed_under_load(own_platform, [], [line])
    body = json.loads(line)
    other = json.dumps({**body, "grade": 5 if body["grade"] != 5 else 1}).encode()
    refused = Load([other])
    await refused.run(own_platform.url("intake"), own_platform.proofs)
    assert refused.outcomes == {"conflict": 1}
    assert not refused.promised


def letters_about(platform: Platform, sequence: int) -> list[dict[str, Any]] | None:
    """The letters of one message, once both who act on ratings have given up on it."""
    done = platform.pingyi("deadletter", "list", "--json")
    assert done.returncode == 0, done.stderr
    letters = [json.loads(line) for line in done.stdout.splitlines()]
    mine = [letter for letter in letters if (letter["stream"], letter["sequence"]) == (FEEDBACK, sequence)]
    return mine if {letter["service"] for letter in mine} >= {"notify", "scoring"} else None


async def last_feedback(platform: Platform) -> int:
    async with cli_connection(platform.layout) as client:
        return (await client.jetstream(timeout=10).stream_info(FEEDBACK)).state.last_seq
