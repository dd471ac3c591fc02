"""Publishing: compare what the fold gives with what stands in the bucket, tell the difference, write it down.

Events go out before the bucket is written. After a crash in between, whoever goes on reads what was told and
does not stand in the bucket (:mod:`.told`), and compares with that, too: what was told last of a list or a
unit is what stands there (ADR 0056). Only the very first publication is repeated instead. A unit's move that
two overlapping instances tell alike is the same event.

What does not fit into one batch is written in portions (:mod:`.portions`). Until the last of them stands, the
rankings of before are shown; a crash in between is mended by the next publication, of whoever leads then.
"""

import asyncio
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from services.scoring.application.closing import (
    Published,
    Resumption,
    late_missed,
    periods_to_settle,
    settle,
)
from services.scoring.application.fold import Fold, FrozenFold
from services.scoring.application.leaving import gone_units, units_that_left, withdrawn_lists
from services.scoring.application.portions import Portion, portions
from services.scoring.application.ports import (
    Announcements,
    FoldObserver,
    RankingEvents,
    RankingStore,
    Revision,
)
from services.scoring.application.published import (
    ANNOUNCED_PREFIX,
    BOOKS_KEY,
    PublishedBooks,
    PublishedList,
    StoredRankings,
    encode_announced,
)
from services.scoring.application.told import NOTHING, Told, ToldList
from services.scoring.domain.announcements import Announced, announce
from services.scoring.domain.books import Books
from services.scoring.domain.ledger import PeriodChange
from services.scoring.domain.lists import WITHDRAWN_HASH, ListKey, Row, canonical_json, shows_something
from services.scoring.domain.roster import RANKED_LEVELS
from services.scoring.domain.spans import Period, Rolling
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

LATENCY_SAMPLES: Final = 20_000
"""Ratings between two publications whose latency is measured; more are not, to bound memory."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One publication, worked out: what to say, what to write, and what is known afterwards."""

    announcements: Announcements
    portions: Sequence[Portion]
    stored: StoredRankings
    waiting: bool
    compute_s: float


@dataclass(frozen=True, slots=True)
class _Frozen:
    """The fold at one moment, to be worked on in another thread while the fold goes on."""

    statistics: FrozenFold
    changes: Mapping[Period, PeriodChange]
    books: PublishedBooks
    late: Mapping[str, int]
    revision: int
    rules: RulePack
    as_of: date
    now: datetime


class Publisher:
    """Keeps the bucket and the event stream in step with the fold. One call at a time."""

    def __init__(
        self,
        store: RankingStore,
        events: RankingEvents,
        registry: UnitRegistry,
        clock: Clock,
        observer: FoldObserver,
        check_lead: Callable[[], None] = lambda: None,
        still: asyncio.Lock | None = None,
    ) -> None:
        """Nothing is read or written before :meth:`load`.

        Args:
            store: where the rankings stand.
            events: where changes are told.
            registry: the appraised units.
            clock: stamps what is published.
            observer: measures.
            check_lead: called right before anything is said or written; raises a `TransientError` if this
                replica may not.
            still: held while the fold is copied, so that nobody else touches it.
        """
        self._store = store
        self._events = events
        self._cities: dict[str, str] = {unit.unit_id: unit.city for unit in registry}
        self._clock = clock
        self._observer = observer
        self._check_lead = check_lead
        self._still = still or asyncio.Lock()
        self._backwards = False
        self._stored: StoredRankings | None = None
        self._told = NOTHING
        self._shown: StoredRankings | None = None
        self._listener: Callable[[], None] = lambda: None
        self._stale = True
        self._revision: int | None = None
        self._fold: Fold | None = None
        self._waiting = False
        self._settled: Mapping[Period, int] = {}
        self._received: array[int] = array("q")

    @property
    def stored(self) -> StoredRankings | None:
        """What is published, as of the last publication of ours; None before it was read whole.

        Not what stands in the bucket while a publication of several portions is under way, or was given up.
        """
        return self._shown

    @property
    def position(self) -> int:
        """How far into FEEDBACK the published rankings reach, those of a publication under way too."""
        if self._stored is None or self._stored.books is None:
            return 0
        books = self._stored.books
        return books.position if books.under_way is None else books.under_way

    @property
    def cases(self) -> int:
        """The same of CASES."""
        if self._stored is None or self._stored.books is None:
            return 0
        books = self._stored.books
        return books.cases if books.under_way is None else books.cases_under_way

    @property
    def is_waiting(self) -> bool:
        """Whether units have moved that may be announced only later; to look at them takes a moment."""
        return self._waiting

    def is_behind(self, fold: Fold) -> bool:
        """Whether ``fold`` has not come as far as what is published."""
        return fold.position < self.position or fold.cases.position < self.cases

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever :attr:`stored` is another; it must not block."""
        self._listener = listener

    def note_received(self, received_ms: int) -> None:
        """Remember when a rating was received, to measure how long it took to become visible."""
        if len(self._received) < LATENCY_SAMPLES:
            self._received.append(received_ms)

    async def load(self) -> StoredRankings:
        """Read what stands in the bucket.

        Raises:
            TransientError: the store is away.
        """
        await self._events.catch_up()
        self._stored = await self._store.load()
        await self._read_told(self._stored)
        self._revision = None
        self._stale = False
        self._show(self._stored)
        return self._stored

    async def _read_told(self, stored: StoredRankings) -> None:
        """Learn what was told and does not stand in the bucket: whoever told it may have died over it."""
        known = stored.books.told if stored.books is not None else None
        self._told = await self._events.told_since(known) if known is not None else NOTHING
        if self._told:
            self._revision = None

    def _show(self, stored: StoredRankings) -> None:
        """Let ``stored`` be seen, unless it is half a publication."""
        if stored.is_whole:
            self._shown = stored
            self._listener()

    async def refresh(self) -> StoredRankings | None:
        """Read what another replica has published since; what is shown now, see :attr:`stored`.

        Raises:
            TransientError: the store is away.
        """
        if self._stored is None or self._stale:
            await self.load()
            return self._shown
        found = await self._store.refresh(self._stored)
        if found is not self._stored:
            self._stored, self._revision = found, None
            self._show(found)
        # Who published them has measured how long they took.
        self._received = array("q")
        return self._shown

    async def begin_term(self) -> None:
        """Take over from whoever led before, who may have published until its last moment.

        Raises:
            TransientError: the broker or the store is away; call again before publishing.
        """
        await self._events.catch_up()
        await self.refresh()
        if self._stored is not None:
            await self._read_told(self._stored)

    async def warm(self, fold: Fold) -> None:
        """Rank what is folded, and publish nothing: a new leader then has little left to do.

        From nothing, 20,000 units take some seconds, which a lease that has run out does not leave.
        """
        async with self._still:
            statistics = fold.freeze()
        await asyncio.to_thread(statistics.lists)

    def allow_backwards(self) -> None:
        """Let the next publication be behind what is published: the stream's new past has been accepted."""
        self._backwards = True

    async def publish(self, fold: Fold) -> bool:
        """Publish what changed since the last time; whether there was anything to publish.

        A fold that is behind what is published (a fresh start that has not caught up, a second instance that
        lags) publishes nothing.

        Raises:
            TransientError: the broker or the store is away, somebody else published, or another replica
                leads; call again.
        """
        stored = await self.load() if self._stored is None or self._stale else self._stored
        if self.is_behind(fold) and not self._backwards:
            return False
        changed = fold is not self._fold or fold.revision != self._revision
        reached = (fold.position, fold.cases.position) == (self.position, self.cases)
        if not changed and not self._waiting and reached:
            return False
        received, self._received = self._received, array("q")
        async with self._still:
            frozen = self._freeze(fold, stored)
        try:
            plan = await asyncio.to_thread(self._plan, frozen, stored, self._told, recompute=changed)
            said = plan.announcements
            self._check_lead()
            last = stored.books.told if stored.books is not None else None
            if self._told:
                last = self._told.last
            if said.revisions or said.units or said.periods:
                last = await self._events.publish(said)
            books = plan.stored.books and replace(plan.stored.books, told=last)
            for number, portion in enumerate(plan.portions, 1):
                self._check_lead()
                ends = {BOOKS_KEY: books.encode()} if books and number == len(plan.portions) else {}
                await self._store.commit({**portion.fenced, **ends}, portion.others)
        except TransientError:
            self._stale = True  # what stands there is unknown now: read it before the next attempt
            received.extend(self._received[: LATENCY_SAMPLES - len(received)])
            self._received = received
            raise
        self._stored = replace(plan.stored, books=books) if plan.portions else plan.stored
        self._revision, self._fold, self._waiting = frozen.revision, fold, plan.waiting
        self._told = NOTHING
        self._show(self._stored)
        self._backwards = False
        self._settled = {period: change.times for period, change in frozen.changes.items()}
        looked_at = frozen.statistics.closed
        if looked_at:
            async with self._still:  # a snapshot may be copying the causes in another thread
                fold.forget_causes(
                    {period: change for period, change in frozen.changes.items() if period in looked_at}
                )
        if changed:
            self._observer.computed(plan.compute_s)
        now_ms = self._clock.now().timestamp() * 1000
        latencies = [max(0.0, now_ms - each) / 1000 for each in received]
        self._observer.published(len(said.revisions), len(said.units), plan.stored, latencies)
        return bool(plan.portions)

    def _freeze(self, fold: Fold, stored: StoredRankings) -> _Frozen:
        now = self._clock.now()
        books = PublishedBooks(fold.books(), fold.position, rfc3339(now), cases=fold.cases.position)
        changes = fold.closed_changes()
        settled = self._settled if fold is self._fold else {}
        told = self._told.periods
        periods = periods_to_settle(
            stored.lists, fold.open_periods(), changes, settled, fold.rules.hash, fold.as_of, told
        )
        late = late_missed(stored.lists, fold.open_periods(), fold.late_in, fold.rules.hash)
        statistics = fold.freeze(periods)
        return _Frozen(statistics, changes, books, late, fold.revision, fold.rules, fold.as_of, now)

    def _plan(self, frozen: _Frozen, stored: StoredRankings, told: Told, *, recompute: bool) -> _Plan:
        """Work out one publication. Pure but for the time it takes; runs in a thread."""
        started = time.perf_counter()
        fenced: dict[str, bytes] = {}
        others: dict[str, bytes] = {}
        lists = dict(stored.lists)
        revisions: list[Revision] = []
        computed = frozen.statistics.lists() if recompute else {}
        for key, found in computed.items():
            before, unknown = stored.lists.get(key), told.lists.get(key)
            as_told = unknown is None or unknown.hash == found.hash
            if before is not None and before.hash == found.hash and as_told:
                # What was read at the start, or computed last time: the same content need not be kept twice.
                lists[key] = replace(before, rows=found.rows, items=found.items)
                continue
            lists[key] = after = PublishedList.of(
                found, frozen.books.position, frozen.now, frozen.books.cases
            )
            heads, pages = after.entries(before)
            fenced.update(heads)
            others.update(pages)
            revision = _revision(after, before, unknown, returns=key in stored.withdrawn)
            if revision is not None:
                revisions.append(revision)
        periods = list(
            settle(
                frozen.statistics,
                stored.lists,
                frozen.changes,
                frozen.as_of,
                Published(frozen.books.position, frozen.books.cases, frozen.now),
                told.periods,
            )
        )
        for each in periods:
            heads, pages = each.list.entries(stored.lists[each.list.key])
            lists[each.list.key] = each.list
            fenced.update(heads)
            others.update(pages)
        for gone in withdrawn_lists(frozen.statistics, computed, stored.lists, told.lists):
            lists.pop(gone.key, None)
            fenced.update(gone.heads)
            others.update(gone.pages)
            revisions += gone.revisions
        for key, late in frozen.late.items():
            if key in lists and lists[key].is_closed and lists[key].head.get("late_missed") != late:
                lists[key] = lists[key].missing(late)
                fenced[key] = canonical_json(lists[key].head)
        compute_s = time.perf_counter() - started
        announced: Mapping[str, Announced] = {**stored.announced, **told.units}
        due, waiting = announce(
            [*_primary_lists(lists, frozen.rules), *units_that_left(frozen.statistics, announced)],
            announced,
            int(frozen.now.timestamp() * 1000),
            frozen.as_of.isoformat(),
            frozen.rules.publication,
        )
        moved = {**told.units, **{each.row.unit_id: each.after for each in due}}
        if moved:
            announced = {**announced, **moved}
            cities = {self._cities[unit_id] for unit_id in moved if unit_id in self._cities}
            others.update(self._announced_entries(announced, cities))
        books, new = stored.books, frozen.books
        parts: list[Portion] = []
        if fenced or others or books is None or books.is_behind(new):
            # In every batch, so that none goes without a fence: announcements alone change no head.
            fenced[BOOKS_KEY] = new.encode()
            parts = portions(fenced, others, _under_way(books, new).encode())
            books = new
        said = Announcements(
            revisions,
            due,
            [each for each in periods if not isinstance(each, Resumption)],
            frozen.books.position,
            frozen.as_of.isoformat(),
            frozen.rules.hash,
            frozen.now,
            frozen.books.cases,
        )
        withdrawn = frozenset({*stored.withdrawn, *stored.lists, *told.lists} - lists.keys())
        standing = StoredRankings(lists, books, announced, withdrawn)
        return _Plan(said, parts, standing, waiting, compute_s)

    def _announced_entries(self, announced: Mapping[str, Announced], cities: set[str]) -> dict[str, bytes]:
        pages: dict[str, dict[str, Announced]] = {city: {} for city in cities}
        for unit_id, last in announced.items():
            city = self._cities.get(unit_id, "")
            if city in pages:
                pages[city][unit_id] = last
        return {f"{ANNOUNCED_PREFIX}{city}": encode_announced(page) for city, page in pages.items()}


def _under_way(standing: PublishedBooks | None, new: PublishedBooks) -> PublishedBooks:
    """The books while some lists are already those of ``new``: what was accounted for last, and a note."""
    if standing is None:
        standing = PublishedBooks(Books(accepted=0, counted=0, replaced=0, late=0), 0, new.computed_at)
    return replace(standing, under_way=new.position, cases_under_way=new.cases)


def _revision(
    after: PublishedList, before: PublishedList | None, told: ToldList | None, *, returns: bool
) -> Revision | None:
    """What to tell of a list; None: nothing, or it has been told.

    Args:
        after: as it is about to be published.
        before: as it stands in the bucket.
        told: what was told of it and does not stand there.
        returns: it was withdrawn, and that stands in the bucket.
    """
    if told is not None and told.hash == after.hash:
        return None
    if told is not None and told.withdrawn:
        told, before, returns = None, None, True
    places: Sequence[int] = after.changed_since(before)
    previous = before.hash if before is not None else WITHDRAWN_HASH if returns else None
    gone = gone_units(after, before, told)
    if told is not None:
        places, previous = _or_told(after.rows, places, told), told.hash
    elif not (places or gone or returns or shows_something(after.rows)):
        return None
    # A hidden unit's rating can change what a list says of its priors and, as rounded, no row of it.
    return Revision(after, previous, places, [after.items[place] for place in places], gone)


def _or_told(rows: Sequence[Row], places: Sequence[int], told: ToldList) -> Sequence[int]:
    """``places``, and those of the rows that were told otherwise."""
    if told.changed is None:
        return range(len(rows))
    changed = set(places)
    return [place for place, row in enumerate(rows) if place in changed or row.unit_id in told.changed]


def _primary_lists(
    lists: Mapping[str, PublishedList], rules: RulePack
) -> list[tuple[ListKey, Sequence[Row]]]:
    """Each unit's primary list: windows among their kind, bureaus among their level."""
    span = Rolling(rules.windows.primary_days)
    keys = [
        ListKey(level, kind, span)
        for level in RANKED_LEVELS
        for kind in (rules.kinds if level is Level.WINDOW else (None,))
    ]
    return [(key, lists[str(key)].rows) for key in keys if str(key) in lists]
