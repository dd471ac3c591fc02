from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.alert import Acknowledgement, AlertState, Delivery, Outcome
from services.notify.domain.book import AlertBook, AlertFilter
from shared.kernel.errors import InvalidValueError
from shared.rules import Severity
from tests.unit.notify.support import NOW, alert

DELIVERED = Delivery("webhook", Outcome.DELIVERED, 2, NOW, "HTTP 204")
FAILED = Delivery("webhook", Outcome.FAILED, 6, NOW, "HTTP 500")


def filled(count: int, capacity: int = 1000) -> AlertBook:
    book = AlertBook(capacity)
    for number in range(count):
        book.raised(alert(number), sequence=10 * number + 1, channels=("webhook",), raised_at=NOW)
    return book


def test_an_alert_comes_out_as_it_went_in() -> None:
    book = filled(3)
    status = book.get(alert(1).alert_id)
    assert status is not None
    assert status.alert == alert(1)
    assert (status.sequence, status.channels, status.state) == (11, ("webhook",), AlertState.OPEN)


def test_a_platform_alert_has_no_unit() -> None:
    book = AlertBook()
    about_us = alert(1, unit_id=None, unit_name=None, city="all", county="all", figures={})
    book.raised(about_us, sequence=1, channels=(), raised_at=NOW)
    status = book.get(about_us.alert_id)
    assert status is not None
    assert status.alert == about_us


def test_a_repeat_changes_nothing() -> None:
    book = filled(1)
    assert not book.raised(alert(0), sequence=99, channels=("email",), raised_at=NOW)
    assert len(book) == 1
    status = book.get(alert(0).alert_id)
    assert status is not None
    assert status.sequence == 1


def test_a_full_book_forgets_the_oldest() -> None:
    book = filled(5, capacity=3)
    assert len(book) == 3
    assert alert(1).alert_id not in book
    assert alert(2).alert_id in book


def test_a_delivery_replaces_a_failure_but_never_the_other_way_round() -> None:
    book, one = filled(1), alert(0).alert_id
    book.settled(one, FAILED)
    assert not book.delivered(one, "webhook")
    book.settled(one, DELIVERED)
    book.settled(one, FAILED)
    status = book.get(one)
    assert status is not None
    assert status.deliveries == (DELIVERED,)
    assert book.delivered(one, "webhook")
    assert not book.delivered(one, "email")


def test_the_first_acknowledgement_stands() -> None:
    book, one = filled(2), alert(0).alert_id
    book.acknowledged(one, Acknowledgement("zhang", "", NOW))
    book.acknowledged(one, Acknowledgement("li", "", NOW))
    status = book.get(one)
    assert status is not None
    assert status.acknowledgement == Acknowledgement("zhang", "", NOW)
    assert book.open == 1


def test_facts_about_a_forgotten_alert_are_ignored() -> None:
    book = filled(1)
    book.settled("unknown", DELIVERED)
    book.acknowledged("unknown", Acknowledgement("zhang", "", NOW))
    assert book.get("unknown") is None
    assert book.open == 1


@given(
    count=st.integers(0, 40),
    capacity=st.integers(1, 40),
    taken=st.sets(st.integers(0, 39)),
    limit=st.integers(1, 12),
    state=st.none() | st.sampled_from(AlertState),
    unit=st.none() | st.sampled_from(["U000000", "U000001", "U999999"]),
)
def test_pages_join_to_what_filtering_the_whole_book_gives(
    count: int, capacity: int, taken: set[int], limit: int, state: AlertState | None, unit: str | None
) -> None:
    book = filled(count, capacity)
    for number in taken:
        book.acknowledged(alert(number).alert_id, Acknowledgement("zhang", "", NOW))
    kept = [number for number in range(count) if number >= count - capacity]
    expected = [
        alert(number).alert_id
        for number in reversed(kept)
        if (unit is None or alert(number).unit_id == unit)
        and (state is None or (number in taken) == (state is AlertState.ACKNOWLEDGED))
    ]
    seen: list[str] = []
    before: int | None = None
    while page := book.page(AlertFilter(unit_id=unit, state=state), limit=limit, before=before):
        assert len(page) <= limit
        seen += [status.alert.alert_id for status in page]
        before = page[-1].sequence
    assert seen == expected
    assert book.open == len([number for number in kept if number not in taken])


def test_rule_and_severity_choose_too() -> None:
    book = filled(2)
    other = replace(alert(7), rule="rank_drop", severity=Severity.INFO)
    book.raised(other, sequence=999, channels=(), raised_at=NOW)
    assert [s.alert for s in book.page(AlertFilter(rule="rank_drop"), limit=9)] == [other]
    assert [s.alert for s in book.page(AlertFilter(severity=Severity.INFO), limit=9)] == [other]


def test_a_book_without_room_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="ALERTS_KEPT"):
        AlertBook(0)
