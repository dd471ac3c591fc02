"""Publishing a bulletin: an event for each region, period and revision; what stands in one about cases."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Protocol

import structlog

from services.rectify.application.handlers import Books
from services.rectify.domain.book import CaseFilter, Summary
from services.rectify.domain.bulletins import Published, Shelf, days_of, tokens_of
from services.rectify.domain.period_figures import PeriodFigures, group_of, period_figures
from shared.events import Envelope, Provenance, spec_for_data
from shared.events.bulletins import BulletinList, BulletinPublished
from shared.kernel.clock import SHANGHAI, Clock, business_day
from shared.kernel.errors import InvalidValueError, TransientError, describe
from shared.kernel.grades import Level
from shared.kernel.ids import derived_id
from shared.kernel.units import Unit, UnitRegistry

log = structlog.get_logger(__name__)
ATTEMPTS: Final = 4
LATEST: Final = date(2999, 12, 31)
_SPEC: Final = spec_for_data(BulletinPublished)


class BulletinRaceError(TransientError):
    """Somebody else published for the same region and period first; nothing was stored."""


class BulletinStore(Protocol):
    """Role: keeps what was published, one subject for each region and period."""

    shelf: Shelf
    """All that was published, as far as it was read."""

    def require_caught_up(self) -> Shelf:
        """The shelf, once history has been read.

        Raises:
            TransientError: not yet.
        """
        ...

    async def last(self, region: str, period: str) -> Published | None:
        """The one that stands; None: nothing was published for it.

        Raises:
            TransientError: the broker is away.
        """
        ...

    async def store(self, event: Envelope[Any], *, replaces: int) -> int:
        """Append `event` if `replaces` (0: nothing) is still the last of its subject; its sequence.

        Raises:
            BulletinRaceError: it isn't.
            TransientError: not known to be stored.
        """
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bulletin that somebody wants to publish; see `BulletinPublished`."""

    region: str
    period: str
    title: str
    issue: str
    issuer: str
    pdf_sha256: str
    html_sha256: str
    figures_sha256: str
    rules: str
    positions: dict[str, int]
    lists: tuple[tuple[str, str, bool], ...]


def bureau_of(region: str, units: UnitRegistry) -> Unit:
    """The unit that a division's bulletins are of.

    Raises:
        InvalidValueError: no division of the registry has that code.
    """
    level = Level.COUNTY if not region.endswith("00") else Level.CITY
    if region.endswith("0000"):
        level = Level.PROVINCE
    for unit in units.by_level(level):
        if unit.division == region:
            return unit
    raise InvalidValueError(
        region, "the code of a division with units", "look it up in the registry", field="region"
    )


class PublishBulletin:
    """Publishes; the same files again change nothing."""

    def __init__(self, store: BulletinStore, units: UnitRegistry, clock: Clock) -> None:
        """Publish to `store` what is about divisions of `units`."""
        self._store = store
        self._units = units
        self._clock = clock

    async def __call__(self, wanted: Wanted, *, by: str, provenance: Provenance) -> tuple[Published, bool]:
        """Publish, in the name of `by`.

        Returns:
            What stands now, and whether it had been published before.

        Raises:
            InvalidValueError: no such region, or its days have not begun.
            TransientError: not known to be stored; send it again.
        """
        bureau_of(wanted.region, self._units)
        first, _ = days_of(wanted.period)
        now = self._clock.now()
        if first > business_day(now):
            raise InvalidValueError(
                wanted.period, f"a period that began by {business_day(now)}", "wait for it", field="period"
            )
        for attempt in range(1, ATTEMPTS + 1):
            before = await self._store.last(wanted.region, wanted.period)
            if before is not None and before.same_files(wanted.pdf_sha256, wanted.html_sha256):
                return before, True
            revision = 1 if before is None else before.revision + 1
            event = _event(wanted, revision, by=by, now=now, provenance=provenance)
            try:
                sequence = await self._store.store(event, replaces=0 if before is None else before.sequence)
            except BulletinRaceError:
                if attempt == ATTEMPTS:
                    raise
                continue
            published = published_of(event, sequence)
            self._store.shelf.put(published)
            log.info("bulletin_published", region=wanted.region, period=wanted.period, revision=revision)
            return published, False
        raise AssertionError(ATTEMPTS)  # pragma: no cover - the last attempt returns or raises


def _event(wanted: Wanted, revision: int, *, by: str, now: datetime, provenance: Provenance) -> Envelope[Any]:
    first, last = days_of(wanted.period)
    city, county = tokens_of(wanted.region)
    data = BulletinPublished(
        region=wanted.region,
        period=wanted.period,
        first=first.isoformat(),
        last=last.isoformat(),
        title=wanted.title,
        issue=wanted.issue,
        issuer=wanted.issuer,
        revision=revision,
        pdf_sha256=wanted.pdf_sha256,
        html_sha256=wanted.html_sha256,
        figures_sha256=wanted.figures_sha256,
        positions=wanted.positions,
        lists=tuple(
            BulletinList(list=key, list_hash=list_hash, closed=closed)
            for key, list_hash, closed in wanted.lists
        ),
        published_by=by,
        city=city,
        county=county,
    )
    return _SPEC.wrap(
        data,
        event_id=derived_id("bulletin", wanted.region, wanted.period, str(revision), wanted.pdf_sha256),
        source="rectify",
        subject=f"{wanted.region}/{wanted.period}",
        time=now,
        received_at=now,
        provenance=provenance,
        rules=wanted.rules,
    )


def published_of(event: Envelope[Any], sequence: int) -> Published:
    """What the event at `sequence` says."""
    data: BulletinPublished = event.data
    return Published(
        region=data.region,
        period=data.period,
        first=data.first,
        last=data.last,
        title=data.title,
        issue=data.issue,
        issuer=data.issuer,
        revision=data.revision,
        pdf_sha256=data.pdf_sha256,
        html_sha256=data.html_sha256,
        figures_sha256=data.figures_sha256,
        rules=event.rules,
        positions=tuple(sorted(data.positions.items())),
        lists=tuple((each.list, each.list_hash, each.closed) for each in data.lists),
        published_at=event.time,
        event_id=event.id,
        sequence=sequence,
    )


@dataclass(frozen=True, slots=True)
class CasesOfPeriod:
    """What a bulletin says of cases.

    Attributes:
        position: sequence of CASES that it is valid at.
        whole: the region's figures.
        below: the same by `group_of`, for groups with any case in the period, ordered by it.
    """

    position: int
    whole: PeriodFigures
    below: tuple[tuple[str, PeriodFigures], ...]


class BooksUpTo(Books, Protocol):
    """Role: the book of all cases, and how far it has come."""

    position: int
    """Sequence of CASES that it is valid at."""


class ReadCasesOfPeriod:
    """Counts the cases of a region and a period."""

    def __init__(self, books: BooksUpTo, clock: Clock) -> None:
        """Count what is in `books`."""
        self._books = books
        self._clock = clock

    def __call__(self, region: str, first: date, last: date, seen: CaseFilter) -> CasesOfPeriod:
        """Count those of `region` that `seen` takes, on the days `first` … `last` of Asia/Shanghai.

        Raises:
            InvalidValueError: the days are the wrong way round, or beyond any calendar.
            TransientError: history is still being read.
        """
        if not first <= last <= LATEST:
            raise InvalidValueError(str(last), f"a day from {first} to {LATEST}", "correct it", field="last")
        book, now = self._books.require_caught_up(), self._clock.now()
        start = datetime.combine(first, time(), SHANGHAI)
        end = datetime.combine(last, time(), SHANGHAI) + timedelta(days=1)
        groups: dict[str, list[Summary]] = defaultdict(list)
        for case in book:
            if seen.takes(case, now):
                groups[group_of(case, region)].append(case)
        nothing = PeriodFigures()
        below = ((name, period_figures(groups[name], start, end)) for name in sorted(groups))
        return CasesOfPeriod(
            self._books.position,
            period_figures((case for cases in groups.values() for case in cases), start, end),
            tuple((name, figures) for name, figures in below if figures != nothing),
        )


def away(what: str) -> TransientError:
    """The error of a broker that does not answer about `what`."""
    return TransientError(describe(f"no answer about {what}", "its events from REGISTRY", "retry"), 1.0)
