import pytest

from services.scoring.application.published import encode_announced, parse_announced
from services.scoring.domain.announcements import Announced, announce, reasons_for, remember
from services.scoring.domain.lists import RANKED, SUPPRESSED, UNRANKED, ListKey, Row
from services.scoring.domain.spans import Rolling
from shared.kernel.grades import Level
from shared.rules.pack import Publication

DAY = "2026-11-20"
KEY = ListKey(Level.COUNTY, None, Rolling(30))
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
    due, waiting = announce([(KEY, [moved])], {"U000013": LAST}, 60_999, DAY, RULES)
    assert (due, waiting) == ([], True)
    due, waiting = announce([(KEY, [moved])], {"U000013": LAST}, 61_000, DAY, RULES)
    assert not waiting
    (only,) = due
    assert only.reasons == ("rank",)
    assert only.before == LAST
    assert only.after == Announced(61_000, 1, 90.0, "excellent", DAY, 3)


def test_a_change_that_is_taken_back_within_the_minute_is_never_told() -> None:
    assert announce([(KEY, [ROW])], {"U000013": LAST}, 5000, DAY, RULES) == ([], False)


def test_small_steps_add_up() -> None:
    last = LAST
    told = 0
    for step in range(1, 11):
        row = ROW._replace(score=90.0 + step / 10)
        due, _ = announce([(KEY, [row])], {"U000013": last}, 1000 + step * 100_000, DAY, RULES)
        for each in due:
            last, told = each.after, told + 1
    assert told == 2


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    due, waiting = announce([(KEY, [ROW._replace(rank=1)])], {"U000013": LAST}, 10, DAY, RULES)
    assert len(due) == 1
    assert not waiting


def test_the_rank_at_the_start_of_the_day_stays_all_day_and_moves_at_the_next() -> None:
    last = LAST
    seen: list[int | None] = []
    for day, ranks in (("2026-11-20", (4, 5, 2)), ("2026-11-21", (6, 7))):
        for rank in ranks:
            last = remember(ROW._replace(rank=rank), last, 1, day)
            seen.append(last.day_start_rank)
    assert seen == [3, 3, 3, 2, 2]


def test_a_unit_that_had_no_rank_starts_its_day_with_the_first_one() -> None:
    unranked = remember(ROW._replace(status=UNRANKED, rank=None), None, 1, DAY)
    assert unranked.day_start_rank is None
    first = remember(ROW, unranked, 2, DAY)
    assert first.day_start_rank == 3
    gone = remember(ROW._replace(status=UNRANKED, rank=None), first, 3, DAY)
    assert remember(ROW._replace(rank=9), gone, 4, DAY).day_start_rank == 3


def test_nothing_is_remembered_of_a_suppressed_unit() -> None:
    assert remember(HIDDEN, Announced(1, 3, 90.0, "excellent", DAY, 2), 5, DAY) == Announced(5)


def test_entries_without_the_day_are_read_too() -> None:
    assert parse_announced(b'{"U000013":[1000,3,90.0,"excellent"]}') == {"U000013": LAST}
    kept = {"U000013": LAST._replace(day=DAY, day_start_rank=2)}
    assert parse_announced(encode_announced(kept)) == kept
