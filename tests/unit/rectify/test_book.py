"""What is known of all cases at once: worklists and figures."""

from datetime import datetime, timedelta

from services.rectify.domain import commands as c
from services.rectify.domain.book import CaseBook, CaseFilter, Figures, Summary
from services.rectify.domain.case import Case, CaseClass, ConfirmedBy, Origin
from services.rectify.domain.clocks import ClockName
from services.rectify.entrypoints.answers import FiguresOut
from tests.unit.rectify.lives import HERE, MONDAY, TEXT, TO_CLOSED, TO_PROGRESS, answer, life, new_case, plan

SILENT = "0b0e7a7e-0000-8000-8000-00000000000a"


def book_of(*cases: Case) -> CaseBook:
    book = CaseBook(lambda rating: rating.encode())
    for sequence, case in enumerate(cases, 1):
        book.put(Summary.of(case, sequence))
    return book


def at_work(number: int, now: datetime) -> Case:
    return life(*TO_PROGRESS[:3], case=new_case(case_id=f"{number}", opened_at=now), now=now)


def test_an_answer_that_the_citizen_is_silent_about_is_due_when_the_citizens_time_is_up() -> None:
    silent = life(*TO_PROGRESS, answer(), case=new_case(case_id=SILENT))
    up = MONDAY + timedelta(days=7)
    found = Summary.of(silent, 1)
    assert (found.due_at, found.due_for) == (up, ClockName.CONFIRM)
    assert not found.is_overdue(up)
    later = up + timedelta(minutes=1)
    book = book_of(at_work(2, up), silent)
    first, second = book.worklist(CaseFilter(), later, limit=9)
    assert (first.case_id, second.case_id) == (SILENT, "2"), "what burns first is at the top"
    assert [each.case_id for each in book.worklist(CaseFilter(overdue=True), later, limit=9)] == [SILENT]
    assert not found.overdue, "the unit has missed no deadline"
    confirmed = Summary.of(life(c.Confirm(ConfirmedBy.SILENCE), case=silent, now=later), 3)
    assert (confirmed.due_at, confirmed.is_overdue(later)) == (None, False)


def test_a_case_that_waits_comes_last_with_the_end_of_its_wait() -> None:
    waits = life(*TO_PROGRESS, c.Pause(TEXT), case=new_case(case_id=SILENT))
    late = MONDAY + timedelta(days=13, hours=23)
    found = Summary.of(waits, 1)
    assert (found.due_at, found.due_for) == (MONDAY + timedelta(days=14), ClockName.PAUSE)
    assert not found.is_overdue(MONDAY + timedelta(days=15)), "it goes on by itself"
    book = book_of(waits, at_work(2, late))
    assert [each.case_id for each in book.worklist(CaseFilter(), late, limit=9)] == ["2", SILENT]


def test_a_question_of_the_level_above_burns_although_the_case_waits_for_the_citizen() -> None:
    asked_at = MONDAY + timedelta(days=11)  # a Friday: the wait ends on Monday, the reply is due on Wednesday
    waits = life(*TO_PROGRESS, c.Pause(TEXT), case=new_case(case_id=SILENT))
    asked = life(c.Inquire(TEXT), case=waits, now=asked_at)
    found = Summary.of(asked, 1)
    until = MONDAY + timedelta(days=16)
    assert (found.due_at, found.due_for) == (until, ClockName.INQUIRY)
    assert found.is_overdue(until + timedelta(minutes=1))
    book = book_of(at_work(2, asked_at), asked)
    assert [each.case_id for each in book.worklist(CaseFilter(), asked_at, limit=9)] == [SILENT, "2"]


def figures(*cases: Case) -> Figures:
    return book_of(*cases).figures(CaseFilter(), MONDAY)


def test_an_answer_without_a_word_with_the_citizen_before_it_shows_in_the_figures() -> None:
    unasked = (c.Classify(CaseClass.A), c.Assign(HERE), plan(), c.Report(TEXT), answer())
    found = figures(
        life(*TO_PROGRESS, answer(), case=new_case(case_id="1")),
        life(*unasked, case=new_case(case_id="2")),
        life(*unasked, case=new_case(case_id="3", has_contact=False)),
        life(*TO_PROGRESS, case=new_case(case_id="4")),
    )
    assert (found.answered, found.reachable, found.contacted) == (3, 2, 1)


def test_only_cases_with_a_citizen_can_be_confirmed_by_one() -> None:
    checked = new_case(case_id="2", origin=Origin.INSPECTION, has_contact=False, has_text=False)
    found = figures(
        life(*TO_CLOSED, case=new_case(case_id="1")),
        life(*TO_PROGRESS[1:], answer(), c.Confirm(ConfirmedBy.SUPERVISOR), c.Close(), case=checked),
    )
    assert (found.closed, found.confirmable, found.confirmed) == (2, 1, 1)
    assert FiguresOut.of(found).confirmed_share == 1.0
