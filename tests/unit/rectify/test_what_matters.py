"""Which messages of FEEDBACK are looked at, and which are passed by."""

import pytest

from services.rectify.entrypoints.events import matters
from shared.messaging.stored import StoredMessage


def message(fact: str, data: bytes = b"{}") -> StoredMessage:
    return StoredMessage(f"feedback.v1.{fact}.3601.360102", data, "FEEDBACK", 1, 1, 1, 0, 0, "")


@pytest.mark.parametrize(
    ("grade", "is_looked_at"), [(1, True), (2, True), (3, False), (4, False), (5, False), (6, True)]
)
def test_of_ratings_the_bad_ones_and_the_impossible_ones(grade: int, *, is_looked_at: bool) -> None:
    assert matters(message("submitted", b'{"data": {"grade": %d}}' % grade)) is is_looked_at


def test_a_rating_that_cannot_be_read_is_looked_at_by_whoever_files_dead_letters() -> None:
    assert matters(message("submitted", b"{"))


@pytest.mark.parametrize("fact", ["corrected", "withdrawn", "excluded", "reinstated"])
def test_what_becomes_of_a_rating(fact: str) -> None:
    assert matters(message(fact))


@pytest.mark.parametrize("fact", ["quarantined", "released", "conflicted"])
def test_what_changes_no_case_is_passed_by(fact: str) -> None:
    assert not matters(message(fact))
