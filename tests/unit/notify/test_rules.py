from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.facts import Band, Divergence
from services.notify.domain.routing import addressees
from services.notify.domain.rules import (
    bad_review,
    band_change,
    rank_drop,
    review_alerts,
    score_alerts,
    stream_diverged,
)
from shared.rules import Severity
from tests.unit.notify.support import CAUSE, PACK, alert, move, review

BANDS = st.none() | st.sampled_from(Band)
RANKS = st.none() | st.integers(1, 1188)


@pytest.mark.parametrize("grade", [1, 2])
def test_a_grade_that_the_pack_calls_bad_raises_an_alert(grade: int) -> None:
    found = bad_review(review(grade), PACK)
    assert found is not None
    assert found.alert_id == alert_id("bad_review", CAUSE.event_id)
    assert found.severity is PACK.alerts.bad_review.severity
    assert found.evidence == (CAUSE.event_id,)
    assert found.figures == {"grade": str(grade), "threshold": "1,2"}
    assert found.title == "东湖区婚姻登记处收到差评"
    assert (found.unit_id, found.city, found.county) == ("U000112", "3601", "360102")


@pytest.mark.parametrize("grade", [3, 4, 5])
def test_a_good_grade_raises_nothing(grade: int) -> None:
    assert review_alerts(review(grade), PACK) == ()


def test_losing_exactly_the_threshold_raises_an_alert_and_one_place_less_does_not() -> None:
    places = PACK.alerts.rank_drop.places
    found = rank_drop(move(rank=1 + places, previous_rank=1), PACK)
    assert found is not None
    assert found.figures["lost"] == found.figures["threshold"] == str(places)
    assert found.title == "东湖区婚姻登记处排名下降10位"
    assert rank_drop(move(rank=places, previous_rank=1), PACK) is None


def drops(ranks: Sequence[int], *, start: int, day: date = date(2026, 11, 20)) -> list[Alert]:
    """What a unit's way through ``ranks`` on one day raises; it began the day at ``start``."""
    found = [
        rank_drop(move(rank=rank, previous_rank=before, day=day, day_start_rank=start), PACK)
        for before, rank in pairwise((start, *ranks))
    ]
    return [each for each in found if each is not None]


def test_a_slide_of_a_place_a_minute_raises_one_alert_at_each_multiple_of_the_threshold() -> None:
    found = drops(range(6, 31), start=5)
    assert [each.figures["rank"] for each in found] == ["15", "25"]
    assert found[0].figures["day_start_rank"] == "5"
    assert found[0].title == "东湖区婚姻登记处今日排名下降10位"
    assert len({each.alert_id for each in found}) == 2


def test_up_and_down_around_the_threshold_is_one_alert_a_day() -> None:
    assert len({each.alert_id for each in drops([15, 14, 15, 16, 14, 15], start=5)}) == 1
    first, second = (drops([15], start=5, day=date(2026, 11, day))[0] for day in (20, 21))
    assert first.alert_id != second.alert_id


def test_several_multiples_at_once_are_one_alert_and_recovering_raises_none() -> None:
    (found,) = drops([40, 27, 16, 5, 1], start=5)
    assert found.figures["lost"] == "35"


def test_losing_what_was_gained_on_the_same_day_is_no_drop() -> None:
    assert drops([20, 49], start=40) == []


def test_a_unit_that_was_without_rank_meanwhile_is_compared_with_the_start_of_the_day() -> None:
    found = rank_drop(move(rank=15, previous_rank=None, day_start_rank=5), PACK)
    assert found is not None
    assert found.alert_id == drops([15], start=5)[0].alert_id


@pytest.mark.parametrize(("rank", "previous_rank"), [(None, 1), (500, None), (None, None), (1, 500)])
def test_a_unit_without_two_ranks_or_with_a_better_one_has_not_dropped(
    rank: int | None, previous_rank: int | None
) -> None:
    assert rank_drop(move(rank=rank, previous_rank=previous_rank), PACK) is None


@pytest.mark.parametrize(
    ("band", "previous_band", "severity"),
    [
        (Band.EXCELLENT, Band.UNDECIDED, Severity.INFO),
        (Band.UNDECIDED, Band.BELOW, Severity.INFO),
        (Band.UNDECIDED, Band.EXCELLENT, Severity.WARNING),
        (Band.BELOW, Band.EXCELLENT, Severity.WARNING),
    ],
)
def test_a_worse_band_is_more_urgent_than_a_better_one(
    band: Band, previous_band: Band, severity: Severity
) -> None:
    found = band_change(move(band=band, previous_band=previous_band), PACK)
    assert found is not None
    assert found.severity is severity
    assert found.title.endswith(f"{previous_band.label}→{band.label}")


@pytest.mark.parametrize(
    ("band", "previous_band"), [(Band.BELOW, Band.BELOW), (None, Band.BELOW), (Band.BELOW, None)]
)
def test_a_band_that_stays_or_appears_is_no_change(band: Band | None, previous_band: Band | None) -> None:
    assert band_change(move(band=band, previous_band=previous_band), PACK) is None


def test_only_the_window_that_alerts_refer_to_is_judged() -> None:
    assert score_alerts(move(rank=900, previous_rank=1, window_days=7), PACK) == ()
    assert len(score_alerts(move(rank=900, previous_rank=1, window_days=30), PACK)) == 1


@given(rank=RANKS, previous_rank=RANKS, day_start_rank=RANKS, band=BANDS, previous_band=BANDS)
def test_the_same_fact_gives_the_same_alerts_and_each_fits_its_event(
    rank: int | None,
    previous_rank: int | None,
    day_start_rank: int | None,
    band: Band | None,
    previous_band: Band | None,
) -> None:
    fact = move(
        rank=rank,
        previous_rank=previous_rank,
        day_start_rank=day_start_rank,
        band=band,
        previous_band=previous_band,
    )
    alerts = score_alerts(fact, PACK)
    assert alerts == score_alerts(fact, PACK)
    assert len({each.alert_id for each in alerts}) == len(alerts)
    for each in alerts:
        assert each.evidence == (CAUSE.event_id,)
        assert "threshold" in each.figures
        assert len(each.title) <= 200
        assert "\n" not in each.title


def test_an_alert_goes_to_every_channel_that_is_switched_on_and_no_other() -> None:
    assert addressees(alert(), ("console", "email")) == ("console", "email")
    assert addressees(alert(), ()) == ()


def test_a_diverged_stream_is_urgent_and_its_return_is_for_information() -> None:
    found = Divergence(
        CAUSE.event_id,
        CAUSE.known_at,
        "FEEDBACK",
        "lost_in_stream",
        raised=True,
        first=120,
        last=122,
        sequences=3,
    )
    alert = stream_diverged(found)
    assert (alert.severity, alert.unit_id, alert.city) == (Severity.CRITICAL, None, "all")
    assert "FEEDBACK" in alert.title
    assert "120至122" in alert.body
    assert alert.figures["sequences"] == "3"
    cleared = stream_diverged(replace(found, event_id="01a1fba9-83e8-7020-9f45-1548d21dbe78", raised=False))
    assert cleared.severity is Severity.INFO
    assert cleared.alert_id != alert.alert_id
