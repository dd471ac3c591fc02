"""The signals on a simulated province: how often honest units are flagged, and what is found of the others.

Seeded, so every figure below repeats; `docs/ranking.md` has them in a table.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import numpy as np
import pytest

from services.scoring.application.fold import Fold
from services.scoring.domain.buckets import Column
from services.scoring.domain.evidence import Evidence, days_needed, share_text, total_text
from services.scoring.domain.integrity import SIGNALS, Finding, examine
from shared.events import spec_for_data
from shared.events.integrity import Signal, UnitFlagged
from shared.kernel.grades import Channel, Level
from shared.kernel.units import Unit
from shared.messaging.group_commit import Outgoing
from shared.testing import builders
from tests.unit.scoring import province as plants
from tests.unit.scoring.feedback import NOW, event_id, feedback, messages, none_is_invalid
from tests.unit.scoring.province import AS_OF, DAYS, ROSTER, ROWS, RULES, UNITS, WINDOWS, Province, honest

UNIT = WINDOWS[5]
ROW = ROSTER.index[UNIT.unit_id]
COUNTY = next(unit for unit in UNITS.by_level(Level.COUNTY) if unit.county == "360702")
CITY = next(unit for unit in UNITS.by_level(Level.CITY) if unit.city == "3607")

Plant = Callable[[Province], Unit]


def flagged(province: Province) -> list[Finding]:
    return list(examine(province.evidence()).flagged)


def rate(provinces: Iterable[Province]) -> Counter[str]:
    found: Counter[str] = Counter()
    for province in provinces:
        found.update(each.signal for each in flagged(province))
    return found


def test_each_signal_of_the_contract_is_registered_once_under_its_name() -> None:
    names = [signal.__name__ for signal in SIGNALS]
    assert names == list(get_args(Signal))
    readings = examine(honest(1).evidence()).readings
    assert list(readings) == names
    assert all(each.signal == name for name, found in readings.items() for each in found)


def test_of_an_honest_province_less_than_one_unit_a_day_is_flagged_by_any_signal() -> None:
    days = 40
    found = rate(Province(seed) for seed in range(days))
    assert found["funnel"] / days <= 1.0
    others = {name: count / days for name, count in found.items() if name != "funnel"}
    assert all(each <= 0.1 for each in others.values()), others


def test_a_day_that_is_three_times_as_busy_everywhere_is_no_burst() -> None:
    days = 20
    found = rate(Province(seed, busy_today=3.0) for seed in range(1000, 1000 + days))
    assert found["burst"] / days <= 0.1
    assert found["co_burst"] / days <= 0.1
    assert found["seconds_between"] == 0


def stuffed(province: Province) -> Unit:
    place = int(np.argmin(np.abs(province.volume - 1.0)))
    plants.an_hour(province, int(ROWS[place]), 200)
    return WINDOWS[place]


def perfect_city(province: Province) -> Unit:
    plants.a_perfect_city(province, "3607", 331_910)
    return CITY


def terminal_only(province: Province) -> Unit:
    plants.a_terminal_only(province, UNIT, 5)
    return UNIT


def pressed(province: Province) -> Unit:
    plants.under_pressure(province, UNIT, 8, 4)
    return UNIT


def county(province: Province) -> Unit:
    plants.a_county_rises(province, COUNTY.county, 8, 15)
    return COUNTY


def run(province: Province) -> Unit:
    place = int(np.argmin(np.abs(province.volume - 1.0)))
    plants.a_run(province, WINDOWS[place], 8)
    return WINDOWS[place]


def half_good(province: Province) -> Unit:
    plants.a_share(province, UNIT, 0.5, 5)
    return UNIT


def perfect_window(province: Province) -> Unit:
    plants.a_share(province, UNIT, 1.0, 40)
    return UNIT


@pytest.mark.parametrize(
    ("plant", "signal", "least"),
    [
        (stuffed, "burst", 1.0),
        (stuffed, "seconds_between", 1.0),
        (run, "burst", 0.9),
        (county, "co_burst", 1.0),
        (perfect_city, "zero_variance", 1.0),
        (perfect_window, "zero_variance", 0.8),
        (terminal_only, "terminal_share", 1.0),
        (pressed, "off_site_gap", 0.8),
        (half_good, "funnel", 0.8),
    ],
)
def test_what_is_planted_is_found(plant: Plant, signal: str, least: float) -> None:
    found = 0
    for seed in range(2000, 2010):
        province = honest(seed)
        unit = plant(province)
        found += any(each.key == (unit.unit_id, signal) for each in flagged(province))
    assert found / 10 >= least


@pytest.mark.parametrize(
    ("days", "seen_after", "least"), [(1, 1, 1.0), (7, 1, 1.0), (7, 7, 1.0), (30, 7, 0.6)]
)
def test_200_ratings_by_tokens_that_a_window_printed_for_itself_are_a_burst(
    days: int, seen_after: int, least: float
) -> None:
    """Over a month they show only in its first week, before they are what is usual."""
    found = 0
    for seed in range(2000, 2010):
        province = honest(seed)
        unit = WINDOWS[int(np.argmin(np.abs(province.volume - 1.0)))]
        plants.printed_tokens(province, unit, 200, days, seen_after=seen_after)
        found += any(each.key == (unit.unit_id, "burst") for each in flagged(province))
    assert found / 10 >= least


@pytest.mark.parametrize("plant", [stuffed, perfect_city, terminal_only, pressed, county, run, half_good])
def test_a_finding_fits_the_contract_and_crosses_the_line_that_it_names(plant: Plant) -> None:
    province = honest(2001)
    plant(province)
    for each in flagged(province):
        unit = UNITS.get(each.unit_id)
        data = {**each._asdict(), "name": unit.name, "raised": True, "as_of": AS_OF}
        UnitFlagged.model_validate(data)
        below = each.signal == "zero_variance" or (
            each.signal == "funnel" and each.expected is not None and each.statistic < each.expected
        )
        assert each.statistic <= each.threshold + 1e-6 if below else each.statistic >= each.threshold - 1e-6
        assert each.probability <= 1e-3


def test_the_thresholds_that_are_told_are_the_smallest_that_would_be_flagged() -> None:
    province = honest(2001)
    plants.an_hour(province, ROW, 200)
    before = {each.key: each for each in flagged(province)}
    threshold = int(before[UNIT.unit_id, "burst"].threshold)
    for count, expected in ((threshold - 1, False), (threshold, True)):
        province.daily[DAYS - 1, ROW] = count
        found = {each.key: each for each in flagged(province)}.get((UNIT.unit_id, "burst"))
        assert (found is not None and found.figures["form"] == "day") == expected


def test_a_place_is_told_with_its_number_of_rising_units() -> None:
    province = honest(2000)
    plants.a_county_rises(province, COUNTY.county, 8, 15)
    (found,) = [each for each in flagged(province) if each.key == (COUNTY.unit_id, "co_burst")]
    assert found.figures["place"] == COUNTY.division
    assert found.figures["rising_units"] == str(int(found.statistic))
    assert found.figures["units"] == "12"


def test_yesterdays_burst_stands_in_the_morning_when_today_has_hardly_begun() -> None:
    province = honest(2000)
    plants.an_hour(province, ROW, 200)
    evidence = province.evidence()
    daily = np.concatenate((evidence.daily[1:], np.zeros((1, evidence.daily.shape[1]), dtype=np.int64)))
    found = {each.key: each for each in examine(replace(evidence, daily=daily)).flagged}
    assert found[UNIT.unit_id, "burst"].figures["form"] == "run"
    assert found[UNIT.unit_id, "burst"].window_days == RULES.integrity.burst.run_days


def test_on_a_platforms_first_days_nobody_bursts() -> None:
    province = honest(2000)
    plants.an_hour(province, ROW, 200)
    province.daily[: RULES.integrity.burst.baseline_days - RULES.integrity.burst.min_history_days + 1] = 0
    assert not [each for each in flagged(province) if each.signal in {"burst", "co_burst"}]


def test_nothing_at_all_flags_nobody() -> None:
    province = honest(1)
    province.clear(tuple(UNITS))
    assert examine(province.evidence()).flagged == ()


def test_a_province_where_all_rate_on_terminals_has_no_terminal_signal() -> None:
    province = honest(3)
    province.tables[:, :, Column.TERMINAL] = province.tables[:, :, Column.RATINGS]
    assert not [each for each in flagged(province) if each.signal == "terminal_share"]


def test_a_gap_that_all_peers_have_is_not_that_of_one_unit() -> None:
    province = honest(3)
    for unit in WINDOWS[:600]:
        plants.under_pressure(province, unit, 8, 4)
    everyone = [each for each in flagged(province) if each.signal == "off_site_gap"]
    alone = honest(3)
    plants.under_pressure(alone, WINDOWS[5], 8, 4)
    one = [each for each in flagged(alone) if each.signal == "off_site_gap"]
    assert len(one) >= 1
    assert len(everyone) < 300


def test_the_least_likely_comes_first_and_the_same_evidence_gives_the_same_findings() -> None:
    province = honest(2000)
    plants.a_perfect_city(province, "3607", 331_910)
    found = flagged(province)
    assert [each.probability for each in found] == sorted(each.probability for each in found)
    assert found == flagged(province)


def test_present_numbers_are_there_for_units_that_are_not_flagged() -> None:
    examination = examine(honest(1).evidence())
    reading = examination.reading((UNIT.unit_id, "burst"))
    assert reading is not None
    assert reading.probability > 1e-6
    assert examination.reading(("U999999", "burst")) is None
    for signal in get_args(Signal):
        for unit in (WINDOWS[0], COUNTY, CITY):
            assert signal == "co_burst" or examination.reading((unit.unit_id, signal)) is not None


@pytest.mark.parametrize(
    ("part", "total", "told"),
    [(0, 40, "<12%"), (4, 40, "<12%"), (5, 40, "12%"), (36, 40, ">88%"), (35, 40, "88%"), (5, 9, "too few")],
)
def test_shares_never_tell_on_fewer_than_five_ratings(part: int, total: int, told: str) -> None:
    assert share_text(part, total) == told


def test_totals_below_ten_are_not_told() -> None:
    assert (total_text(9), total_text(10)) == ("<10", "10")


def test_the_fold_hands_over_what_it_counted() -> None:
    fold = Fold(UNITS, RULES, NOW.date())
    events = [feedback(UNIT, number=n, occurred_at=NOW - timedelta(seconds=n // 10)) for n in range(30)]
    events.append(feedback(UNIT, number=99, occurred_at=NOW - timedelta(days=20)))
    fold.take(messages(events), none_is_invalid)
    evidence: Evidence = fold.evidence()
    assert evidence.as_of == AS_OF.toordinal() - 719_163
    assert evidence.daily.shape == (days_needed(RULES), len(UNITS))
    assert evidence.daily[:, ROW].tolist().count(0) == DAYS - 2
    assert (evidence.daily[-1, ROW], evidence.daily[-21, ROW]) == (30, 1)
    assert evidence.window[ROW, Column.RATINGS] == 31
    assert evidence.pace[1].ratings[ROW] == 30
    assert evidence.pace[1].pairs[ROW] > 100


def test_where_ratings_were_given_is_counted_and_taken_away_again_with_the_rating() -> None:
    channels = {Channel.TERMINAL: (5, 5, 1), Channel.QR: (4,), Channel.APP: (3, 2), Channel.HOTLINE: (1, 5)}
    given = [(channel, grade) for channel, grades in channels.items() for grade in grades]
    events = [
        feedback(UNIT, number=number, grade=grade, channel=channel)
        for number, (channel, grade) in enumerate(given)
    ]
    fold = Fold(UNITS, RULES, NOW.date())
    fold.take(messages(events), none_is_invalid)
    places = [Column.TERMINAL, Column.OFFSITE, Column.OFFSITE_GOOD]
    assert fold.evidence().window[ROW, places].tolist() == [3, 4, 2]
    taken = [withdrawal(number, grade, channel) for number, (channel, grade) in enumerate(given)]
    fold.take(messages([*events, taken[0], taken[4]]), none_is_invalid)
    assert fold.evidence().window[ROW, places].tolist() == [2, 3, 1]
    fold.take(messages([*events, *taken]), none_is_invalid)
    assert not fold.evidence().window[ROW].any()


def withdrawal(number: int, grade: int, channel: Channel) -> Outgoing:
    target = {
        "unit_id": UNIT.unit_id, "grade": grade, "source": "public", "channel": channel,
        "verification": "transaction", "occurred_at": NOW, "received_at": NOW,
    }  # fmt: skip
    data = builders.feedback_withdrawn(target_id=event_id(number), target_revision=1, target=target)
    envelope = builders.envelope_of(data)
    return Outgoing(spec_for_data(type(data)).subject_for(), envelope.id, envelope.to_json())
