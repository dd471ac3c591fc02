"""The quarterly check 季度检查: what of a region is open, overdue, or waits for a signature."""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from services.rectify.domain.book import Summary
from services.rectify.domain.ladder_book import Campaign, LadderBook
from services.rectify.domain.nominations import NominationStatus
from services.rectify.domain.sanctions import Sanction, SanctionStatus
from services.rectify.domain.signed_checks import RegionFigures
from shared.kernel.clock import business_day
from shared.kernel.errors import InvalidValueError

_QUARTER: Final = re.compile(r"(?P<year>2[0-9]{3})Q(?P<number>[1-4])", re.ASCII)
MOST_IDS: Final = 200

Sees = Callable[[str, str, str], bool]
"""Whether somebody may see what is about a unit: city, county, unit id."""


@dataclass(frozen=True, slots=True)
class Quarter:
    """A calendar quarter, both days included."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> "Quarter":
        """Read ``2026Q4``.

        Raises:
            InvalidValueError: it is none.
        """
        match = _QUARTER.fullmatch(text)
        if match is None:
            raise InvalidValueError(text, "a quarter", "write it like 2026Q4", field="quarter")
        year, month = int(match["year"]), int(match["number"]) * 3
        return cls(date(year, month - 2, 1), date(year, month, monthrange(year, month)[1]))

    def __str__(self) -> str:
        """``2026Q4``."""
        return f"{self.last.year:04d}Q{self.last.month // 3}"

    def has(self, moment: datetime) -> bool:
        """Whether `moment` lies in it."""
        return self.first <= business_day(moment) <= self.last


@dataclass(slots=True)
class RegionCheck:
    """One county, or what is about a city or the province itself.

    Attributes:
        opened: cases opened in the quarter.
        closed: cases filed in the quarter.
        open: opened up to its end and with something to do now.
        overdue: of these, where it should have been done; ids, the first ones.
        overdue_count: all of them.
        strikes: counted in the quarter, and standing.
        unsigned: sanctions proposed up to its end that nobody has decided; ids, the first ones.
        unsigned_count: all of them.
        appeals: of those proposed up to its end, with an appeal to decide.
        nominations: that wait for a level's word.
    """

    city: str
    county: str
    opened: int = 0
    closed: int = 0
    open: int = 0
    overdue: list[str] = field(default_factory=list)
    overdue_count: int = 0
    strikes: int = 0
    unsigned: list[str] = field(default_factory=list)
    unsigned_count: int = 0
    appeals: int = 0
    nominations: int = 0


class _Regions:
    """The checks of regions as they are made."""

    def __init__(self, sees: Sees) -> None:
        self.checks: dict[tuple[str, str], RegionCheck] = {}
        self._sees = sees

    def of(self, city: str, county: str, unit_id: str) -> RegionCheck:
        """The check of a place; what is out of sight is counted nowhere."""
        if not self._sees(city, county, unit_id):
            return RegionCheck(city, county)
        return self.checks.setdefault((city, county), RegionCheck(city, county))


def check_quarter(
    quarter: Quarter, cases: Iterable[Summary], book: LadderBook, now: datetime, sees: Sees
) -> tuple[RegionCheck, ...]:
    """The check of each region that somebody may see, by code; regions with nothing are left out."""
    regions = _Regions(sees)
    for case in cases:
        if business_day(case.opened_at) <= quarter.last:
            _add_case(regions.of(case.city, case.county, case.unit_id), case, quarter, now)
    for strike in book.all_strikes():
        if strike.ended is None and quarter.has(strike.occurred_at):
            regions.of(strike.city, strike.county, strike.unit_id).strikes += 1
    for sanction, _ in book.sanctions():
        if business_day(sanction.proposed_at) <= quarter.last:
            _add_sanction(regions.of(sanction.city, sanction.county, sanction.unit_id), sanction)
    for nomination, _ in book.nominations():
        if nomination.status is NominationStatus.OPEN:
            regions.of(nomination.city, nomination.county, nomination.unit_id).nominations += 1
    return tuple(regions.checks[key] for key in sorted(regions.checks))


def _add_case(region: RegionCheck, case: Summary, quarter: Quarter, now: datetime) -> None:
    region.opened += quarter.has(case.opened_at)
    region.closed += case.closed_at is not None and quarter.has(case.closed_at)
    region.open += not case.settled
    if case.is_overdue(now):
        region.overdue_count += 1
        _note(region.overdue, case.case_id)


def _add_sanction(region: RegionCheck, sanction: Sanction) -> None:
    if sanction.status is SanctionStatus.PROPOSED:
        region.unsigned_count += 1
        _note(region.unsigned, sanction.sanction_id)
    region.appeals += sanction.status is SanctionStatus.APPEALED


def _note(ids: list[str], another: str) -> None:
    if len(ids) < MOST_IDS:
        ids.append(another)


def figures_of(check: RegionCheck) -> RegionFigures:
    """What of a region's check is recorded: numbers, as many as there are."""
    return RegionFigures(
        check.city, check.county, check.opened, check.closed, check.open, check.overdue_count, check.strikes,
        check.unsigned_count, check.appeals, check.nominations,
    )  # fmt: skip


def campaigns_in(quarter: Quarter, book: LadderBook) -> tuple[Campaign, ...]:
    """Campaigns that run in the quarter, the first one first."""
    found = [
        campaign
        for campaign in book.campaigns.values()
        if campaign.mobilise_from <= quarter.last and campaign.ends >= quarter.first
    ]
    return tuple(sorted(found, key=lambda campaign: (campaign.mobilise_from, campaign.campaign_id)))
