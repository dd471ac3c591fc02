from datetime import date

import numpy as np
import pytest

from services.scoring.domain.clusters import Clusters
from services.scoring.domain.days import day_of_ms
from services.scoring.domain.ratings import Rating
from shared.kernel.grades import Verification
from shared.rules.unproven import UnprovenCap
from tests.bench import simulation
from tests.bench.stuffing import FEW, LIMIT, MORE, SLOW, STUFFED, Attack, Drip, percentiles
from tests.bench.ways import RULES, Z, ours, raw, wilson, wilson_bound

ONE_GROUP = np.zeros(4, dtype=np.int64)
N = np.array([3.0, 40.0, 200.0, 400.0])
K = np.array([3.0, 36.0, 190.0, 300.0])


def test_wilsons_bound_is_that_of_the_textbook() -> None:
    # 81 of 263, 95 %: Newcombe 1998, table I, method 3.
    assert wilson_bound(np.array([263.0]), np.array([81.0]), Z)[0] == pytest.approx(0.2553, abs=5e-5)


def test_three_good_ratings_lead_by_the_raw_share_and_nowhere_else() -> None:
    assert raw(N, K, ONE_GROUP).score.argmax() == 0
    assert ours(N, K, ONE_GROUP).score.argmax() == 2
    assert wilson(N, K, ONE_GROUP).score.argmax() == 2


def test_wilson_ranks_a_small_unit_last_for_being_small() -> None:
    assert wilson(N, K, ONE_GROUP).score.argmin() == 0
    assert ours(N, K, ONE_GROUP).score.argmin() == 3


def test_nobody_is_called_excellent_on_three_ratings_but_by_the_raw_share() -> None:
    assert [bool(way(N, K, ONE_GROUP).excellent[0]) for way in (raw, ours, wilson)] == [True, False, False]


@pytest.mark.parametrize("attack", [Attack(1, 1, 1), Attack(5, 1, 4), *MORE], ids=str)
def test_an_attack_weighs_in_the_table_what_it_weighs_in_the_ledger(attack: Attack) -> None:
    weights: dict[bytes, int] = {}

    def recount(rating: Rating, _old: int, new: int) -> None:
        weights[rating.event_id] = new

    clusters = Clusters(recount)
    start = int(np.datetime64(date(2026, 11, 20), "ms").astype(int))
    for number in range(STUFFED):
        rating = Rating(
            number.to_bytes(16, "big"),
            0,
            5,
            RULES.weights_milli[Verification.ANONYMOUS],
            start + number % attack.bins * 900_000,
            start,
            None,
            synthetic=False,
            fingerprints=(
                (1 + number // attack.bins % attack.devices).to_bytes(8, "big"),
                (1_000 + number // attack.bins % attack.addresses).to_bytes(8, "big"),
            ),
        )
        weights[rating.event_id] = clusters.add(rating, day_of_ms(rating.occurred_ms))
    assert sum(weights.values()) / 1000 == pytest.approx(attack.weight(), rel=0.02)


@pytest.mark.parametrize("attack", [*FEW, *MORE], ids=str)
def test_of_a_stuffing_that_was_screened_next_to_nothing_counts(attack: Attack) -> None:
    """Unscreened, five devices on five networks get past the 10th percentile in 24 % of cases."""
    assert attack.screened() <= 1.0


def test_a_patient_stuffing_passes_screening_and_is_stopped_by_the_cap() -> None:
    names = Drip(14, Verification.REAL_NAME)
    assert names in SLOW
    assert names.screened() == names.weight() == 160
    assert percentiles(names.screened(), UnprovenCap()).after.mean() > 50
    assert percentiles(names.screened(), RULES.unproven).after.max() <= LIMIT


def test_a_way_that_knows_the_truth_is_always_right() -> None:
    chance = np.random.default_rng(1)
    truth = simulation.draw_truth(chance)
    anybody = np.ones(simulation.UNITS, dtype=np.bool_)
    assert simulation.right_share(truth, truth, anybody, simulation.BOTTOM) == 1
    assert simulation.right_share(-truth, truth, anybody, simulation.BOTTOM) == 0


def test_a_province_has_the_median_that_it_promises() -> None:
    n, k = simulation.draw_ratings(np.full(simulation.UNITS, 0.9), 1.0, np.random.default_rng(1))
    assert np.median(n) == pytest.approx(simulation.MEDIAN_RATINGS, rel=0.1)
    assert k.sum() / n.sum() == pytest.approx(0.9, abs=0.01)
    assert n.min() >= 1
