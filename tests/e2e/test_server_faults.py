"""Broker and database killed under load: nothing that was accepted is lost, nothing counts twice."""

import json
from typing import Any

import pytest

from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.streams import FEEDBACK
from tests.support.audit import assert_everything_adds_up
from tests.support.faults import killed_under_load
from tests.support.load import simulated
from tests.support.platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NO_EVENT = b'{"specversion": "1.0", "data": '


async def test_broker_killed_twice_under_load_loses_and_repeats_nothing(own_platform: Platform) -> None:
    plan = simulated(4_000, days_ago=1)
    load = await killed_under_load(own_platform, ["nats", "nats"], plan.lines)
    assert load.retries > 0, "no client noticed that the broker was away"
    assert own_platform.record().children["nats"].restarts >= 2
    assert len(load.promised) == plan.ratings
    assert load.outcomes["rejected"] == plan.broken
    await assert_everything_adds_up(own_platform)


async def test_database_killed_twice_under_load_loses_and_repeats_nothing(own_platform: Platform) -> None:
    plan = simulated(4_000, days_ago=2)
    load = await killed_under_load(own_platform, ["mongod", "mongod"], plan.lines)
    assert not load.retries, f"intake needs no database: {load.outages}"
    assert own_platform.record().children["mongod"].restarts >= 2
    assert len(load.promised) == plan.ratings
    await assert_everything_adds_up(own_platform)


async def test_poison_message_becomes_a_dead_letter_and_the_rest_goes_on(own_platform: Platform) -> None:
    before = simulated(300, days_ago=3)
    after = simulated(300, days_ago=4)
    await killed_under_load(own_platform, [], before.lines)
    sequence = await publish_as_intake(own_platform, "feedback.v1.submitted.3607.360702", NO_EVENT)
    await killed_under_load(own_platform, [], after.lines)

    letters = until(
        lambda: letters_about(own_platform, sequence), timeout_s=30, what="the dead letter is listed"
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
    await assert_everything_adds_up(own_platform, poisoned=1)


async def publish_as_intake(platform: Platform, subject: str, body: bytes) -> int:
    layout = platform.layout
    settings = BrokerSettings(nats_url=layout.nats_url, nats_nkey_seed_file=layout.nkey_seed("intake"))
    client = await connect(settings, "intake")
    try:
        return (await client.jetstream(timeout=10).publish(subject, body, stream=FEEDBACK)).seq
    finally:
        await client.close()


def letters_about(platform: Platform, sequence: int) -> list[dict[str, Any]] | None:
    """The letters of one message, once both who act on ratings have given up on it."""
    done = platform.pingyi("deadletter", "list", "--json")
    assert done.returncode == 0, done.stderr
    letters = [json.loads(line) for line in done.stdout.splitlines()]
    mine = [letter for letter in letters if (letter["stream"], letter["sequence"]) == (FEEDBACK, sequence)]
    return mine if {letter["service"] for letter in mine} >= {"notify", "scoring"} else None
