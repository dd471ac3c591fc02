import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest

from services.intake.adapters.index_file import INSERT_AT_ONCE, IndexFile, Origin
from services.intake.domain.accepted import Accepted
from tests.unit.intake.port_suites import accepted


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IndexFile]:
    opened = IndexFile(tmp_path / "index.sqlite", Origin("stream", "k1"))
    yield opened
    opened.close()


def entry(rating: Accepted) -> tuple[bytes, Accepted]:
    return rating.receipt, rating


def test_more_ratings_than_one_statement_takes_are_all_written(file: IndexFile) -> None:
    ratings = [accepted(f"ref-{number}", number) for number in range(2 * INSERT_AT_ONCE + 7)]
    file.write([*map(entry, ratings)], (), len(ratings))
    found = {each.receipt: each for each in file.find([each.receipt for each in ratings])}
    assert found == {each.receipt: each for each in ratings}


def test_of_two_ratings_under_one_receipt_in_one_statement_the_first_in_the_stream_stays(
    file: IndexFile,
) -> None:
    first, second, third = (accepted("ref-1", sequence) for sequence in (7, 8, 9))
    file.write([*map(entry, (second, first, third))], (), 9)
    assert list(file.find([first.receipt])) == [first]


def test_a_rating_is_found_under_its_other_name_with_that_as_its_receipt(file: IndexFile) -> None:
    rating, other = accepted("ref-1", 7), b"0123456789"
    file.write([(rating.receipt, rating), (other, rating)], (), 7)
    assert [each.receipt for each in file.find([other])] == [other]
    assert [each.event_id for each in file.find([other])] == [rating.event_id]


def test_a_rating_with_several_names_is_stored_once(file: IndexFile, tmp_path: Path) -> None:
    rating = accepted("ref-1", 7)
    file.write([(rating.receipt, rating), (b"0123456789", rating), (b"9876543210", rating)], (), 7)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as looked_at:
        counts = looked_at.execute("SELECT (SELECT count(*) FROM accepted), (SELECT count(*) FROM names)")
        assert counts.fetchall() == [(1, 3)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("at_once", [True, False])
def test_each_name_belongs_to_the_first_in_the_stream_that_has_it_in_whatever_order_they_come(
    file: IndexFile, order: tuple[int, ...], *, at_once: bool
) -> None:
    """Ratings at 7, 8 and 9; the last two have a name of an earlier one and one of their own."""
    ratings = [accepted(f"ref-{sequence}", sequence) for sequence in (7, 8, 9)]
    a, b, c = b"a" * 10, b"b" * 10, b"c" * 10
    named = [[(a, ratings[0])], [(a, ratings[1]), (b, ratings[1])], [(b, ratings[2]), (c, ratings[2])]]
    if at_once:
        file.write([each for place in order for each in named[place]], (), 9)
    else:
        for place in order:
            file.write(named[place], (), 9)
    assert {each.receipt: each.sequence for each in file.find([a, b, c])} == {a: 7, b: 8, c: 9}
    assert sorted(file.receipts()) == [a, b, c]


def test_what_is_forgotten_is_so_under_all_its_names_and_the_others_are_not(file: IndexFile) -> None:
    first, second = accepted("ref-1", 7), accepted("ref-2", 8)
    second = second._replace(received_at=first.received_at + timedelta(seconds=1))
    other = b"0123456789"
    file.write([(first.receipt, first), (other, first), entry(second)], (), 8)
    file.forget_before(second.received_at)
    assert list(file.receipts()) == [second.receipt]
    assert list(file.find([first.receipt, other, second.receipt])) == [second]


def test_a_file_of_another_schema_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with closing(sqlite3.connect(path)) as older, older:
        older.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        older.execute("INSERT INTO meta VALUES ('schema', '2'), ('position', '7')")
        older.execute("INSERT INTO meta VALUES ('stream', 'stream'), ('key', 'k1')")
        older.execute("CREATE TABLE accepted (receipt BLOB PRIMARY KEY) WITHOUT ROWID")
    opened = IndexFile(path, Origin("stream", "k1"))
    rating = accepted("ref-1", 1)
    opened.write([entry(rating)], (), 1)
    assert opened.position == 0
    assert list(opened.find([rating.receipt])) == [rating]
    opened.close()
