from collections.abc import Iterator
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
    file.write(map(entry, ratings), (), len(ratings))
    found = {each.receipt: each for each in file.find([each.receipt for each in ratings])}
    assert found == {each.receipt: each for each in ratings}


def test_of_two_ratings_under_one_receipt_in_one_statement_the_first_in_the_stream_stays(
    file: IndexFile,
) -> None:
    first, second, third = (accepted("ref-1", sequence) for sequence in (7, 8, 9))
    file.write(map(entry, (second, first, third)), (), 9)
    assert list(file.find([first.receipt])) == [first]


def test_a_rating_is_found_under_its_other_name_with_that_as_its_receipt(file: IndexFile) -> None:
    rating, other = accepted("ref-1", 7), b"0123456789"
    file.write(((rating.receipt, rating), (other, rating)), (), 7)
    assert [each.receipt for each in file.find([other])] == [other]
    assert [each.event_id for each in file.find([other])] == [rating.event_id]
