from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.rectify.application.bulletins import (
    BulletinRaceError,
    PublishBulletin,
    Wanted,
    published_of,
)
from services.rectify.domain import commands as c
from services.rectify.domain.book import Summary
from services.rectify.domain.bulletins import BulletinNotFoundError, Published, Shelf, days_of
from services.rectify.domain.case import AnnulmentReason
from services.rectify.domain.period_figures import PeriodFigures, group_of, period_figures
from shared.events import Envelope, Provenance
from shared.kernel.errors import InvalidValueError
from shared.kernel.units import load_units
from shared.testing.clock import FixedClock
from tests.unit.rectify.lives import MONDAY, TO_CLOSED, TO_PROGRESS, answer, life, new_case, plan

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)
WANTED = Wanted(
    region="360700",
    period="2026-10",
    title="赣州市民主评议情况",
    issue="第10期",
    issuer="赣州市民政局",
    pdf_sha256="a" * 64,
    html_sha256="b" * 64,
    figures_sha256="c" * 64,
    rules="sha256:" + "1f" * 32,
    positions={"FEEDBACK": 7},
    lists=(("county.all.2026-10", "sha256:" + "2f" * 32, True),),
)


class MemoryBulletins:
    """Plays `BulletinStore`; `rivals` publish between a reader's look and its write."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.events: list[Envelope[Any]] = []
        self.rivals: list[Envelope[Any]] = []

    def require_caught_up(self) -> Shelf:
        return self.shelf

    async def last(self, region: str, period: str) -> Published | None:
        found = [
            published_of(event, number)
            for number, event in enumerate(self.events, 1)
            if (event.data.region, event.data.period) == (region, period)
        ]
        return found[-1] if found else None

    async def store(self, event: Envelope[Any], *, replaces: int) -> int:
        if self.rivals:
            self.events.append(self.rivals.pop())
        last = await self.last(event.data.region, event.data.period)
        if replaces != (last.sequence if last else 0):
            raise BulletinRaceError("somebody was faster")
        self.events.append(event)
        return len(self.events)


async def publish(store: MemoryBulletins, wanted: Wanted = WANTED) -> tuple[Published, bool]:
    use = PublishBulletin(store, load_units(), FixedClock(NOW))
    return await use(wanted, by="ganzhou-office", provenance=Provenance("request"))


async def test_the_same_files_again_change_nothing_and_others_are_the_next_revision() -> None:
    store = MemoryBulletins()
    first, repeated = await publish(store)
    assert (first.revision, repeated) == (1, False)
    assert await publish(store) == (first, True)
    second, _ = await publish(store, replace(WANTED, pdf_sha256="d" * 64))
    assert (second.revision, len(store.events)) == (2, 2)
    assert store.events[0].rules == WANTED.rules
    assert store.events[0].data.published_by == "ganzhou-office"
    assert (store.events[0].data.city, store.events[0].data.county) == ("3607", "all")


async def test_of_two_at_once_the_slower_one_becomes_the_later_revision() -> None:
    store, other = MemoryBulletins(), MemoryBulletins()
    await publish(other, replace(WANTED, pdf_sha256="e" * 64))
    store.rivals = other.events
    slower, _ = await publish(store)
    assert slower.revision == 2


@pytest.mark.parametrize(
    "change", [{"region": "360799"}, {"region": "110000"}, {"period": "2026-12"}, {"period": "2027Q1"}]
)
async def test_a_region_without_units_or_a_period_to_come_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(InvalidValueError):
        await publish(MemoryBulletins(), replace(WANTED, **change))  # type: ignore[arg-type]  # a table's columns


async def test_a_file_is_told_by_its_hash_and_whether_it_stands() -> None:
    store = MemoryBulletins()
    await publish(store)
    await publish(store, replace(WANTED, pdf_sha256="d" * 64))
    old, new = store.shelf.verify("a" * 64), store.shelf.verify("d" * 64)
    assert (old.form, old.bulletin.revision, old.standing.revision) == ("pdf", 1, 2)
    assert new.standing == new.bulletin
    with pytest.raises(BulletinNotFoundError):
        store.shelf.verify("f" * 64)
    assert [each.revision for each in store.shelf.newest("360700", None)] == [2, 1]
    assert list(store.shelf.newest("360100", None)) == []


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
        ("2026Q4", date(2026, 10, 1), date(2026, 12, 31)),
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-11-26-30d", date(2026, 10, 28), date(2026, 11, 26)),
    ],
)
def test_a_period_has_its_days(period: str, first: date, last: date) -> None:
    assert days_of(period) == (first, last)


@pytest.mark.parametrize("text", ["2026-13", "2026-02-30-7d", "0000-01", "0001-01-01-999d", "2026Q5", "x"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        days_of(text)


def summary(*moves: c.Command, opened_at: datetime = MONDAY, number: int = 1, **fields: object) -> Summary:
    case = new_case(opened_at=opened_at, **fields)
    return Summary.of(life(*moves, case=case, now=opened_at + timedelta(hours=3)), number)


def test_a_case_counts_in_the_period_in_which_each_thing_happened() -> None:
    week = timedelta(days=7)
    earlier = (*TO_PROGRESS[:3], plan(MONDAY - week), TO_PROGRESS[4])
    cases = [
        summary(*TO_CLOSED),
        summary(*TO_PROGRESS, number=2),
        summary(*earlier, answer(), opened_at=MONDAY - week, number=3),
        summary(c.Annul(AnnulmentReason.MISTAKEN), number=4),
        summary(opened_at=MONDAY + week, number=5),
    ]
    assert period_figures(cases, MONDAY, MONDAY + timedelta(days=1)) == PeriodFigures(
        opened=2, unsettled=1, answered=1, on_time=1, reopened=0, closed=1, confirmed=1, median_days=0.1
    )
    assert period_figures(cases, MONDAY - week, MONDAY).answered == 1


@pytest.mark.parametrize(
    ("region", "group"), [("360000", "360700"), ("360700", "360702"), ("360702", "U000532")]
)
def test_a_case_belongs_one_level_below_the_region(region: str, group: str) -> None:
    assert group_of(summary(), region) == group
