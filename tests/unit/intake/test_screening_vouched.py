"""Screening of what channels vouch for and tokens prove, and of what familiar terminals send."""

from typing import Any

import pytest

from services.intake.domain.screening_seen import Fingerprints
from shared.kernel.reasons import QuarantineReason
from tests.unit.intake.screening_desk import CLAIM, DAY_MS, MORNING_MS, RULES, STAFFS, TOKEN, Desk


def claims(desk: Desk, count: int, *, every_ms: int = 10_000, **more: Any) -> list[str]:  # noqa: ANN401 - see `Desk.rate`
    return desk.many(count, every_ms=every_ms, **{**CLAIM, **more})


@pytest.mark.parametrize("channels", [("qr",), ("qr", "web", "terminal", "hotline")], ids=str)
def test_far_more_tokens_than_a_unit_usually_gets_are_held_whatever_channel_they_come_by(
    channels: tuple[str, ...],
) -> None:
    def used(count: int) -> tuple[Desk, list[str]]:
        desk = Desk()
        ways = [TOKEN | {"channel": channels[n % len(channels)]} for n in range(count)]
        return desk, [desk.rate(MORNING_MS + n * 10_000, **way) for n, way in enumerate(ways)]

    desk, few = used(RULES.tokens.hour.least)
    assert desk.held == {}
    desk, many = used(len(few) + 1)
    assert set(desk.held) == set(many)
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.BURST}
    assert desk.rate(MORNING_MS + 700_000, **CLAIM) not in desk.held
    assert desk.rate(MORNING_MS + 700_000, unit_id="U000113", **TOKEN) not in desk.held


def test_a_phone_that_uses_up_many_tokens_at_one_unit_is_one_device_and_a_terminal_is_none() -> None:
    desk = Desk()
    desk.many(40, every_ms=300_000, device="the terminal", channel="terminal", **TOKEN)
    assert desk.held == {}
    found = desk.many(9, every_ms=300_000, device="phone", channel="qr", **TOKEN)
    assert set(desk.held) == set(found[3:])


def test_tokens_under_suspicion_excuse_nothing() -> None:
    desk = Desk(unverified=10, verified=20)
    desk.many(500, every_ms=1000, **TOKEN)
    crowd = [desk.rate(MORNING_MS + 3_600_000 + n * 300_000) for n in range(40)]
    assert set(crowd) <= set(desk.held)


@pytest.mark.parametrize("way", [{}, {"channel": "sms", "device": None}, {"channel": "paper"}, STAFFS])
def test_far_more_than_a_channel_usually_vouches_for_is_held_back_to_its_beginning(
    way: dict[str, Any],
) -> None:
    desk = Desk()
    flood = claims(desk, 31, **way)
    assert set(desk.held) == set(flood)
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.BURST}
    assert desk.rate(MORNING_MS + 600_000, **TOKEN) not in desk.held
    assert desk.rate(MORNING_MS + 600_000) not in desk.held
    assert desk.rate(MORNING_MS + 600_000, **CLAIM | {"channel": "hotline"}) not in desk.held
    assert desk.rate(MORNING_MS + 600_000, unit_id="U000113", **CLAIM) not in desk.held
    assert desk.rate(MORNING_MS + 27 * 3_600_000, **CLAIM | way) not in desk.held


def test_a_citizens_phone_that_claims_many_transactions_is_one_device() -> None:
    desk = Desk()
    found = claims(desk, 9, channel="sms", device="phone")
    assert set(desk.held) == set(found[3:])
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.SHARED_DEVICE}


def test_claims_under_suspicion_excuse_nothing() -> None:
    """A crowd of unverified ratings is as much of a surge with a flood of claims beside it as without."""

    def held_beside(count: int) -> set[str]:
        desk = Desk(unverified=10, verified=20)
        claims(desk, count, every_ms=1000, channel="sms", device=None)
        crowd = [desk.rate(MORNING_MS + 3_600_000 + n * 300_000) for n in range(40)]
        return {str(place) for place, event_id in enumerate(crowd) if event_id in desk.held}

    assert len(held_beside(0)) == 40
    assert held_beside(3000) == held_beside(30) == held_beside(0)


def test_claims_that_are_just_not_held_excuse_no_more_than_the_ratio_of_what_is_usual() -> None:
    desk = Desk(unverified=10, verified=4)  # two of them by the terminal: ten may excuse, forty are not held
    claims(desk, 38, every_ms=600_000)
    crowd = [desk.rate(MORNING_MS + 7 * 3_600_000 + number * 60_000) for number in range(100)]
    assert set(desk.held) == set(crowd)


def test_a_festival_that_only_terminals_tell_of_is_no_surge_at_any_unit() -> None:
    units = [f"F{number}" for number in range(12)]
    desk = Desk(new=True)
    for day in range(30, -1, -1):
        for number in range(10 if day else 100):
            at = MORNING_MS - day * DAY_MS + number * 300_000
            for place, unit_id in enumerate(units):
                if number % (1 + place % 3) == 0:
                    desk.rate(at + place, unit_id=unit_id, **CLAIM)
    assert desk.held == {}


def test_one_busy_unit_is_no_surge() -> None:
    """Three times as many as usual on one day at one unit."""
    desk = Desk(unverified=0, verified=60)
    claims(desk, 90, every_ms=300_000)
    assert desk.held == {}


def test_a_terminal_that_sends_what_it_kept_over_a_long_weekend_is_no_surge() -> None:
    desk = Desk(unverified=0, verified=60)
    claims(desk, 100, every_ms=30_000)
    assert desk.held == {}


def test_a_channel_that_is_new_everywhere_is_no_surge() -> None:
    desk = Desk()
    for number in range(100):
        for place in range(12):
            at = MORNING_MS + number * 300_000 + place
            desk.rate(at, unit_id=f"F{place}", **CLAIM | {"channel": "hotline"})
    assert desk.held == {}


@pytest.mark.parametrize("way", [CLAIM | {"channel": "sms", "device": None}, TOKEN], ids=["sms", "tokens"])
@pytest.mark.parametrize("a_day", [20, 28, 35])
def test_a_patient_stuffer_gets_no_more_through_in_a_week_than_it_allows_and_is_seen(
    a_day: int, way: dict[str, Any]
) -> None:
    desk = Desk()
    found = [
        desk.rate(MORNING_MS + day * DAY_MS + number * 600_000, **way)
        for day in range(7)
        for number in range(a_day)
    ]
    counted = sum(event_id not in desk.held for event_id in found)
    assert counted <= RULES.vouched.week.least < len(found)


def test_who_serves_more_people_for_good_is_learned_in_the_week_after() -> None:
    desk = Desk()
    found = [
        desk.rate(MORNING_MS + day * DAY_MS + number * 600_000, **CLAIM)
        for day in range(28)
        for number in range(28)
    ]
    assert not set(found[14 * 28 :]) & set(desk.held)


def test_a_festival_is_not_held_in_the_week_after_it() -> None:
    units = [f"F{number}" for number in range(12)]
    desk = Desk(new=True)
    for day in range(30, -8, -1):
        for number in range(100 if day in {0, 1, 2} else 10):
            at = MORNING_MS - day * DAY_MS + number * 300_000
            for place, unit_id in enumerate(units):
                desk.rate(at + place, unit_id=unit_id, **(TOKEN if place % 2 else CLAIM))
    assert desk.held == {}


def test_a_flood_through_other_terminals_does_not_drag_the_windows_own_along() -> None:
    desk = Desk()
    held, counted = [], []
    for number in range(600):
        at = MORNING_MS + number * 400_000
        held.append(desk.rate(at, **CLAIM | {"device": f"terminal {number}"}))
        held.append(desk.rate(at, **CLAIM | {"address": "elsewhere"}))
        if number % 100 == 50:
            counted.append(desk.rate(at, **CLAIM))
    assert set(desk.held) == set(held)
    assert not set(counted) & set(desk.held)


def test_a_flood_through_the_windows_own_terminal_is_held() -> None:
    desk = Desk()
    other = claims(desk, 40, every_ms=1000, device="other")
    own = claims(desk, 40, every_ms=500_000)
    assert set(desk.held) == {*other, *own}


@pytest.mark.parametrize("days", [3, 13])
def test_a_terminal_is_not_familiar_before_it_has_served_for_long(days: int) -> None:
    desk = Desk(new=True)
    for day in range(30, 0, -1):
        desk.rate(MORNING_MS - day * DAY_MS, **CLAIM | {"device": "new" if day <= days else "old"})
    flood = claims(desk, 50, device="another")
    new = desk.rate(MORNING_MS + 600_000, **CLAIM | {"device": "new"})
    assert set(desk.held) == {*flood, new}


def test_a_terminal_stays_familiar_while_the_key_of_the_fingerprints_changes() -> None:
    keys = [Fingerprints(device=f"{key}.terminal", address=f"{key}.hall") for key in "abc"]
    desk = Desk(new=True)
    for day in range(30, -1, -1):  # each key is live for twenty days, beside the next one for ten
        live = [key for number, key in enumerate(keys) if 0 <= 30 - day - 10 * number < 20]
        newest = live.pop()
        way = {"device": newest.device, "address": newest.address, "earlier": tuple(live)}
        if not day:
            claims(desk, 50, every_ms=1000, device="another")
        own = desk.rate(MORNING_MS - day * DAY_MS + 60_000, **CLAIM | way)
        assert own not in desk.held
    assert len(desk.held) == 50


def test_no_number_of_new_devices_makes_a_familiar_terminal_forgotten() -> None:
    desk = Desk()
    for day in range(4, -1, -1):
        for number in range(30):
            at = MORNING_MS + (5 - day) * DAY_MS + number * 900_000
            desk.rate(at, **CLAIM | {"device": f"d{day} {number}"})
    at = MORNING_MS + 6 * DAY_MS
    flood = [desk.rate(at + number * 1000, **CLAIM | {"device": "another"}) for number in range(50)]
    assert set(flood) <= set(desk.held)
    assert desk.rate(at + 600_000, **CLAIM) not in desk.held


def test_a_flood_does_not_become_what_is_usual() -> None:
    desk = Desk()
    claims(desk, 5000, every_ms=1000)
    later = [desk.rate(MORNING_MS + 10 * DAY_MS + number * 1000, **CLAIM) for number in range(50)]
    assert set(later) <= set(desk.held)
