import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.application.lanes import (
    FAILURES,
    QUEUE_UNPROVEN,
    DeferredError,
    Lane,
    TokenBucket,
    shared_buckets,
)
from services.notify.domain.channels import Endpoint, attempt_due


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(2, 100), st.integers(1, 20))
def test_no_minute_sees_more_than_a_robot_may_send(pauses: list[float], limit: int, burst: int) -> None:
    bucket, now, taken = TokenBucket(limit, burst), 1000.0, []
    for pause in pauses:
        now += pause / 10
        if bucket.take(now, fresh=True) == 0.0:
            taken.append(now)
    assert all(sum(start <= moment < start + 60 for moment in taken) <= limit for start in taken)


def test_who_is_sent_away_gets_a_place_of_his_own_and_finds_a_token_there() -> None:
    bucket = TokenBucket(20, 5)
    assert [bucket.take(0.0, fresh=True) for _ in range(5)] == [0.0] * 5
    places = [bucket.take(0.0, fresh=True) for _ in range(30)]
    assert places == sorted(places)
    assert len({round(place, 3) for place in places}) == 30
    assert bucket.take(places[0], fresh=True) > 0, "a newcomer comes after those who wait"
    assert bucket.take(places[0], fresh=False) == 0.0


async def hold(lane: Lane, gate: asyncio.Event) -> None:
    async with lane.turn():
        await gate.wait()


async def test_a_lane_in_which_nothing_moves_keeps_only_a_few_waiting() -> None:
    lane, gate = Lane(concurrency=2), asyncio.Event()
    tasks = [asyncio.create_task(hold(lane, gate)) for _ in range(2 + QUEUE_UNPROVEN)]
    await asyncio.sleep(0)
    with pytest.raises(DeferredError) as deferred:
        async with lane.turn():
            pass
    assert deferred.value.delay_s > 0
    gate.set()
    await asyncio.gather(*tasks)


async def test_after_failures_in_a_row_a_lane_is_tried_by_one_alert_at_a_time() -> None:
    now = 0.0
    lane = Lane(concurrency=8, now=lambda: now)
    for _ in range(FAILURES):
        async with lane.turn():
            lane.failed(0.1)
    assert lane.down
    with pytest.raises(DeferredError) as deferred:
        async with lane.turn():
            pass
    assert deferred.value.down
    now = 6.0
    async with lane.turn():
        with pytest.raises(DeferredError):
            async with lane.turn():
                pass
        lane.succeeded(0.1)
    assert [lane.down] == [False]
    async with lane.turn():
        pass


async def test_a_pause_that_the_endpoint_asked_for_holds_for_everybody() -> None:
    now = 0.0
    lane = Lane(concurrency=8, now=lambda: now)
    async with lane.turn():
        lane.failed(0.1, pause_s=60.0)
    with pytest.raises(DeferredError) as deferred:
        async with lane.turn():
            pass
    assert deferred.value.delay_s >= 60.0
    assert not lane.down
    now = 61.0
    async with lane.turn():
        pass


DELAYS = (5.0, 300.0, 3600.0)


@pytest.mark.parametrize(
    ("delivered", "age_s", "attempt"),
    [
        (1, 0.0, 1),
        (50, 1.0, 1),
        (2, 5.0, 2),
        (50, 5.0, 2),
        (3, 305.0, 3),
        (50, 3000.0, 3),
        (4, 3905.0, 4),
        (1, 99_999.0, 1),
    ],
)
def test_an_attempt_is_never_further_on_than_its_age_and_the_brokers_count_allow(
    delivered: int, age_s: float, attempt: int
) -> None:
    assert attempt_due(delivered, age_s, DELAYS) == attempt


def robot(address: str, mark: str = "one", per_minute: int | None = 20) -> Endpoint:
    return Endpoint(address, "robots.example", mark, (5.0,), per_minute=per_minute)


def test_two_endpoints_with_one_url_send_no_more_than_the_robot_may_take() -> None:
    buckets = shared_buckets([robot("wecom.a"), robot("wecom.b")])
    granted = [
        now
        for now in range(60)
        for name in buckets
        for _ in range(5)
        if buckets[name].take(now, fresh=False) == 0
    ]
    assert 15 <= len(granted) <= 20


def test_buckets_are_shared_by_url_and_the_lowest_limit_counts() -> None:
    buckets = shared_buckets(
        [robot("wecom.a"), robot("wecom.b", per_minute=None), robot("wecom.c", "two"), robot("sms.a"),
         robot("webhook.x", "three", None)]
    )  # fmt: skip
    assert buckets["wecom.a"] is buckets["wecom.b"]
    assert len({id(each) for each in buckets.values()}) == 3
    assert "webhook.x" not in buckets
    low = shared_buckets([robot("wecom.a", per_minute=20), robot("wecom.b", per_minute=2)])["wecom.a"]
    assert [low.take(0, fresh=False) == 0 for _ in range(3)] == [True, False, False]


async def test_a_lane_takes_its_turns_from_the_bucket_that_it_shares() -> None:
    bucket = TokenBucket(2, 1)
    first, second = (Lane(concurrency=8, bucket=bucket, now=lambda: 0.0) for _ in range(2))
    async with first.turn():
        pass
    with pytest.raises(DeferredError):
        async with second.turn():
            pytest.fail("the other one has had the only token")
