import pytest

from services.scoring.domain.announcements import Announced, announce, reasons_for
from services.scoring.domain.lists import RANKED, SUPPRESSED, UNRANKED, ListKey, Row
from shared.kernel.grades import Level
from shared.rules.pack import Publication

KEY = ListKey(Level.COUNTY, None, 30)
RULES = Publication(
    score_changed_min_points=0.5, score_changed_min_interval_s=60.0, ranking_min_interval_s=1.0
)
ROW = Row("U000013", "county", RANKED, 3, 90.0, 85.0, 94.0, 50, 50.0, 0.9, "excellent")
LAST = Announced(1000, 3, 90.0, "excellent")
HIDDEN = Row("U000013", "county", SUPPRESSED)


@pytest.mark.parametrize(
    ("row", "last", "reasons"),
    [
        (ROW, LAST, ()),
        (ROW, None, ("published",)),
        (HIDDEN, None, ()),
        (HIDDEN, LAST, ("withdrawn",)),
        (HIDDEN, Announced(1000), ()),
        (ROW, Announced(1000), ("published",)),
        (ROW._replace(score=90.4999), LAST, ()),
        (ROW._replace(score=90.5), LAST, ("score",)),
        (ROW._replace(score=89.5), LAST, ("score",)),
        (ROW._replace(rank=4), LAST, ("rank",)),
        (ROW._replace(band="undecided", rank=9, score=80.0), LAST, ("band", "rank", "score")),
        (ROW._replace(status=UNRANKED, rank=None), LAST, ("rank",)),
    ],
)
def test_what_moved_is_told_and_nothing_else(
    row: Row, last: Announced | None, reasons: tuple[str, ...]
) -> None:
    assert reasons_for(row, last, 0.5) == reasons


def test_a_change_within_the_minute_waits_and_comes_after_it() -> None:
    moved = ROW._replace(rank=1)
    due, waiting = announce([(KEY, [moved])], {"U000013": LAST}, 60_999, RULES)
    assert (due, waiting) == ([], True)
    due, waiting = announce([(KEY, [moved])], {"U000013": LAST}, 61_000, RULES)
    assert not waiting
    (only,) = due
    assert only.reasons == ("rank",)
    assert only.before == LAST
    assert only.after == Announced(61_000, 1, 90.0, "excellent")


def test_a_change_that_is_taken_back_within_the_minute_is_never_told() -> None:
    assert announce([(KEY, [ROW])], {"U000013": LAST}, 5000, RULES) == ([], False)


def test_small_steps_add_up() -> None:
    last = LAST
    told = 0
    for step in range(1, 11):
        row = ROW._replace(score=90.0 + step / 10)
        due, _ = announce([(KEY, [row])], {"U000013": last}, 1000 + step * 100_000, RULES)
        for each in due:
            last, told = each.after, told + 1
    assert told == 2


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    due, waiting = announce([(KEY, [ROW._replace(rank=1)])], {"U000013": LAST}, 10, RULES)
    assert len(due) == 1
    assert not waiting
