"""Screening's rules one by one, and honest traffic that must not trip over them."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.adapters.screened import read_seen
from services.intake.application.envelopes import submitted_message
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.screening import Hold, Screen
from services.intake.domain.screening_pace import is_surge, surge_limit
from services.intake.domain.screening_seen import Fingerprints, Seen
from services.intake.domain.similarity import BANDS, SIGNATURE
from shared.events import Envelope, FeedbackSubmitted, parse_envelope
from shared.kernel.reasons import QuarantineReason
from shared.rules.screening import Screening
from tests.unit.intake.port_suites import prepared
from tests.unit.intake.screening_desk import CLAIM, DAY_MS, MORNING_MS, RULES, TOKEN, UNIT, Desk


def test_beyond_the_first_few_of_one_device_every_rating_is_held() -> None:
    desk = Desk()
    eight = desk.many(8, device="phone")
    assert desk.held == {}
    ninth = desk.rate(MORNING_MS + 500_000, device="phone")
    assert set(desk.held) == {*eight[3:], ninth}
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.SHARED_DEVICE}
    assert len({hold.cluster for hold in desk.held.values()}) == 1


def test_of_a_device_that_nobody_honest_has_none_counts() -> None:
    desk = Desk()
    twenty = desk.many(20, device="bot", every_ms=1000)
    assert set(desk.held) == set(twenty)


@pytest.mark.parametrize("trait", ["device", "address", "text", "near_text"])
def test_a_cluster_does_not_split_when_the_key_of_the_fingerprints_changes(trait: str) -> None:
    """The same cluster, and the same ratings of it, as if the key had stayed."""

    def under(key: str) -> Fingerprints:
        mine = f"{key}.one"
        match trait:
            case "device":
                return Fingerprints(device=mine)
            case "address":
                return Fingerprints(address=mine)
            case "text":
                return Fingerprints(text=mine, text_bands=(mine,))
            case _:
                return Fingerprints(text_bands=(mine,))

    def held(*keys: tuple[str, ...]) -> dict[str, Hold]:
        """Of 48 ratings; each of `keys`, the oldest first, are those of as many in a row."""
        desk = Desk(unverified=20)
        for number in range(48):
            *earlier, newest = map(under, keys[number * len(keys) // 48])
            now = newest._asdict()
            desk.rate(
                MORNING_MS + number * 300_000,
                device=now.pop("device"),
                earlier=tuple(earlier),
                **now,
            )
        return desk.held

    whole = held(("a",))
    assert len(whole) > 20
    assert held(("a",), ("a", "b")) == whole
    assert held(("a",), ("a", "b"), ("a",), ("a", "b", "c"), ("a", "c"), ("a", "b")) == whole
    split = held(("a",), ("b",))
    assert split != whole, "without the earlier key's fingerprints it would have been two clusters"


def test_a_surge_is_held_back_to_its_beginning_and_only_at_that_unit() -> None:
    desk = Desk()
    elsewhere = [desk.rate(MORNING_MS + number, unit_id="U000113") for number in range(3)]
    surge = desk.many(21, every_ms=10_000)
    assert set(desk.held) == set(surge)
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.BURST}
    more = desk.rate(MORNING_MS + 300_000)
    assert more in desk.held
    assert not set(elsewhere) & set(desk.held)


def test_a_slow_drip_over_a_day_is_a_surge_of_the_day() -> None:
    desk = Desk()
    drip = desk.many(40, every_ms=30 * 60_000)
    assert set(desk.held) >= set(drip[1:])


def test_after_a_surge_ratings_count_again() -> None:
    desk = Desk()
    desk.many(60, every_ms=10_000)
    assert desk.rate(MORNING_MS + 30 * 3_600_000) not in desk.held


def test_whom_a_flood_from_few_devices_had_swept_along_is_released_at_once() -> None:
    desk = Desk()
    honest = desk.rate(MORNING_MS - 60_000)
    flood = [desk.rate(MORNING_MS + number * 100, device=f"bot {number % 30}") for number in range(600)]
    assert honest not in desk.held
    assert set(flood) == set(desk.held)


def test_imports_and_other_sources_are_never_held() -> None:
    desk = Desk()
    for number in range(300):
        at = MORNING_MS + number * 1000
        desk.rate(at, device="scanner", imported=True)
        desk.rate(at, imported=True, **CLAIM | {"channel": "paper"})
        desk.rate(at, device="panel", source="social")
        desk.rate(at, device="probe", synthetic=True)
    assert desk.held == {}


def test_one_text_under_many_names_is_one_cluster_and_short_texts_are_none() -> None:
    desk = Desk(unverified=20)
    copies = [desk.rate(MORNING_MS + n * 300_000, text="t", text_bands=("a", "b")) for n in range(25)]
    assert set(desk.held) == set(copies)
    assert {hold.reason for hold in desk.held.values()} == {QuarantineReason.SHARED_TEXT}
    short = Desk(unverified=20)
    short.many(25, every_ms=300_000, text="很好")
    assert short.held == {}


def test_a_busy_hall_with_one_terminal_and_one_address_is_left_alone() -> None:
    desk = Desk(unverified=30, verified=60)
    for number in range(160):
        terminal = number % 5 > 1
        desk.rate(
            MORNING_MS + number * 170_000,
            device="terminal" if terminal else None,
            channel="terminal" if terminal else "qr",
            address="hall",
            verification="transaction" if number % 3 else "onsite",
            by_token=not terminal and number % 3 > 0,
        )
    assert desk.held == {}


def test_a_familys_phone_is_left_alone() -> None:
    desk = Desk()
    desk.many(6, device="mother's phone", address="home")
    assert desk.held == {}


def test_a_good_day_brings_verified_ratings_too_and_is_no_surge() -> None:
    """Tomb-sweeping day at a funeral home: ten times as many of both."""
    desk = Desk(unverified=3, verified=6)
    for number in range(90):
        at = MORNING_MS + number * 300_000
        desk.rate(at, **({}, TOKEN, CLAIM)[number % 3])
    assert desk.held == {}


def test_a_young_platform_judges_by_a_day_that_any_unit_may_have() -> None:
    screen = Screen(RULES)
    held = []
    for number in range(450):
        seen = Seen(f"e{number}", number, UNIT, "k", MORNING_MS + number * 1000, "public", "web", "anonymous")
        held += screen.look_at(seen)
        assert bool(held) == (number >= 360)
    assert len(held) == 450


@given(st.data())
def test_a_surge_begins_above_its_limit_and_nowhere_else(data: st.DataObject) -> None:
    vouched = Screening().vouched
    rule = data.draw(st.sampled_from((*Screening().surges, *vouched.surges, vouched.week)))
    usual_day = data.draw(st.floats(0, 2000))
    limit = surge_limit(rule, usual_day, 0.1)
    count = data.draw(st.one_of(st.integers(0, 20_000), st.integers(max(0, limit - 2), limit + 2)))
    assert is_surge(count, rule, usual_day, 0.1) == (count > limit)


def test_switched_off_nothing_is_held() -> None:
    desk = Desk(replace(RULES, enabled=False))
    desk.many(100, device="bot", every_ms=1000)
    assert desk.held == {}


_FEW = replace(
    RULES.vouched,
    hour=replace(RULES.vouched.hour, least=3),
    day=replace(RULES.vouched.day, least=6),
    week=replace(RULES.vouched.week, least=12),
)
TIGHT = replace(
    RULES,
    vouched=_FEW,
    tokens=_FEW,
    familiar=replace(RULES.familiar, since_days=1, on_days=2, most=2),
    baseline=replace(RULES.baseline, fresh_day=3.0, min_days=1),
)
"""Rules of which a few hundred ratings meet every one."""


def _random_ratings(seed: int, count: int) -> Iterator[Seen]:
    chance = Random(seed)
    now = MORNING_MS
    for number in range(count):
        now += chance.choice((0, 1000, 200_000, 4_000_000))
        yield Seen(
            f"e{number}",
            number + 1,
            f"U{chance.randrange(3)}",
            "k",
            now,
            "public",
            chance.choice(("web", "terminal", "sms", "paper")),
            chance.choice(("anonymous", "onsite", "transaction")),
            chance.choice((None, "a", "b", f"own {number}")),
            chance.choice((None, "x", f"net {number}")),
            chance.choice((None, "t")),
            chance.choice(((), ("p", "q"))),
            by_token=chance.random() < 0.1,
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 199))
def test_a_screen_that_was_kept_and_taken_up_goes_on_as_if_nothing_had_happened(seed: int, cut: int) -> None:
    whole, first = Screen(TIGHT), Screen(TIGHT)
    ratings = list(_random_ratings(seed, 300))
    expected = [whole.look_at(seen) for seen in ratings]
    found = [first.look_at(seen) for seen in ratings[:cut]]
    second = Screen(TIGHT)
    second.load(first.dump())
    found += [second.look_at(seen) for seen in ratings[cut:]]
    # What it does is compared, not what it keeps: taking it up forgets members that have left their window.
    assert found == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_is_held_twice_and_only_what_is_held_is_released(seed: int) -> None:
    screen, held = Screen(TIGHT), set[str]()
    for seen in _random_ratings(seed, 300):
        for decided in screen.look_at(seen):
            if isinstance(decided, Hold):
                assert decided.event_id not in held
                held.add(decided.event_id)
            else:
                held.remove(decided.event_id)


def test_memory_is_bounded() -> None:
    rules = replace(RULES, most_members=1000, hour=replace(RULES.hour, least=10**9))
    rules = replace(rules, day=replace(RULES.day, least=10**9))
    screen = Screen(rules)
    for number in range(20_000):
        screen.look_at(
            Seen(
                f"e{number}",
                number,
                UNIT,
                "k",
                MORNING_MS + number,
                "public",
                "web",
                "anonymous",
                f"d{number}",
            )
        )
    assert len(screen) <= 8 * 1000
    assert screen.forgotten > 0


@pytest.mark.parametrize("trait", ["device", "address"])
def test_a_cluster_below_its_limit_does_not_grow_for_ever(trait: str) -> None:
    desk = Desk()
    for day in range(200):
        desk.rate(MORNING_MS + day * 5 * DAY_MS, **{trait: "same"})
    assert desk.held == {}
    assert len(desk.screen.dump()["members"]) < 100


def test_what_every_live_key_makes_of_a_rating_reaches_screening_the_oldest_first() -> None:
    oldest, older = Pseudonyms("k1", bytes(32)), Pseudonyms("k2", b"2" * 32)
    newest = Pseudonyms("k3", b"3" * 32, earlier=[older, oldest], references=oldest.references)
    rating = prepared(text="排队两个小时")
    rating = rating._replace(submission=rating.submission._replace(device_id="phone"))
    signature = tuple(range(SIGNATURE))
    message = submitted_message(rating, "排队两个小时", None, newest, signature)
    parse_envelope(Envelope[FeedbackSubmitted], message.payload)
    seen = read_seen(message.payload, 1)
    assert seen is not None
    assert seen.device == newest.device("phone")
    assert [each.device for each in seen.earlier] == [key.device("phone") for key in (oldest, older)]
    alone = [
        read_seen(submitted_message(rating, None, None, key, signature).payload, 1) for key in (oldest, older)
    ]
    assert [each.text_bands for each in seen.earlier] == [each and each.text_bands for each in alone]
    assert all(each.text is not None and len(each.text_bands) == BANDS for each in seen.earlier)


@pytest.mark.parametrize("whose", [{}, TOKEN, CLAIM], ids=["unverified", "token", "claim"])
def test_a_unit_that_becomes_the_only_one_of_its_kind_is_looked_at_as_before(whose: dict[str, Any]) -> None:
    desk = Desk()
    more = desk.many(3, kind="a kind that nobody was of", every_ms=3_600_000, **whose)
    assert not desk.held.keys() & set(more)
