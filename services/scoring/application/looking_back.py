"""Use cases about the past: a list as of an earlier day, what moved since then, and a unit's timeline.

All with today's knowledge: corrections, exclusions and late ratings have changed the past. The exact past, as
it was published, is recomputed from the stream: `pingyi recompute --at`.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Final, NamedTuple

from services.scoring.application.cursors import Paged, decode_cursor, encode_cursor
from services.scoring.application.pages import (
    DEFAULT_WINDOW,
    Page,
    WantedList,
    choose,
    choose_list,
    find_key,
    page_of,
)
from services.scoring.application.past import Past
from services.scoring.application.published import PublishedList
from services.scoring.application.views import Before, below
from services.scoring.application.workshop import Workshop
from services.scoring.domain.lists import ListKey, RankedList, canonical_json
from services.scoring.domain.moves import Move
from services.scoring.domain.small_groups import LEAST_SHOWN
from services.scoring.domain.spans import Rolling, Span
from services.scoring.domain.timeline import Point
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry

FRESH_S: Final = 5.0
"""How old the copy of the fold may be that answers rest on: under traffic, every rating makes a new one."""
YESTERDAY: Final = "yesterday"
_STATE: Final = attrgetter("position", "cases", "history.as_of", "rules")

TakePast = Callable[[], Awaitable[Past]]
"""Copies the fold as it is now.

Raises:
    TransientError: it has not caught up with the stream yet.
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What moved in a list.

    Attributes:
        before: the list on the earlier day.
        after: the list of today.
        position: sequence of FEEDBACK that both are valid at.
        moves: this page's moves, the greatest first.
        moved: how many units moved in all.
        hash: of all moves.
        next: cursor of the next page; None at the end.
    """

    before: RankedList
    after: RankedList
    position: int
    moves: Sequence[Move]
    moved: int
    hash: str
    next: str | None


@dataclass(frozen=True, slots=True)
class UnitHistory:
    """A unit's timeline.

    Attributes:
        unit: the unit.
        list: its primary list, in the window of the timeline.
        rules: hash of the rule pack.
        position: sequence of FEEDBACK that it is valid at.
        points: one for each day, oldest first.
        predecessors: ids of units that were merged into it; their days are their own.
    """

    unit: Unit
    list: ListKey
    rules: str
    position: int
    points: Sequence[Point]
    predecessors: tuple[str, ...] = ()


class _Lists(Sized):
    """All lists of one span and day."""

    def __init__(self, lists: dict[str, RankedList], computed_at: str) -> None:
        self.lists = lists
        self.computed_at = computed_at

    def __len__(self) -> int:
        return sum(len(found.rows) for found in self.lists.values())


class _Orders(Sized):
    """Who was ranked in what the lists of one span and day are compared with."""

    def __init__(self, by_list: dict[str, tuple[str, ...]]) -> None:
        self.by_list = by_list

    def __len__(self) -> int:
        return sum(map(len, self.by_list.values()))


class _Copy(NamedTuple):
    """A copy of the fold; all that is worked out from it is kept under its number."""

    number: int
    past: Past


class LookBack:
    """Answers about earlier days, from a copy of the fold that is a few seconds old at most."""

    def __init__(
        self,
        registry: UnitRegistry,
        take: TakePast,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``take`` copies the fold; ``clock`` stamps what is computed; ``monotonic`` tells a copy's age."""
        self._registry = registry
        self._take = take
        self._clock = clock
        self._monotonic = monotonic
        self._workshop = Workshop()
        self._copy: _Copy | None = None
        self._numbers = 0
        self._taken = 0.0

    async def list_page(self, wanted: WantedList, day: date, limit: int | None, cursor: str | None) -> Page:
        """Up to ``limit`` rows (None: all) of a list as of an earlier day.

        Raises:
            InvalidValueError: no such list, parent, cursor or day; the message names what exists.
            ListRevisedError: the list has been revised since the page before.
            NotFoundError: no such parent.
            TransientError: nothing can be shown yet, or too much is being computed.
        """
        copy = await self._fresh()
        past = copy.past
        past.check_day(day, _window(past, wanted), field="at")
        key = choose_list(wanted, past.keys(day))
        lists = await self._lists(copy, key.span, day)
        found = PublishedList.of(lists.lists[str(key)], past.position, self._clock.now(), past.cases)
        head = {**found.head, "computed_at": lists.computed_at, "recomputed": True}
        found = PublishedList(head, found.rows, found.items)
        if wanted.parent is not None:
            order = await self._order_before(copy, key, day)
            found = below(found, wanted.parent, self._registry, order)
        return page_of(found, past.position, limit, cursor, past.cases)

    async def before(self, found: PublishedList) -> Before | None:
        """What the ranks of a published list are compared with; None: that is kept no more.

        Raises:
            TransientError: nothing can be shown yet, or too much is being computed.
        """
        copy = await self._fresh()
        if found.as_of > copy.past.today:
            return None
        return await self._order_before(copy, ListKey.parse(found.key), found.as_of)

    async def _order_before(self, copy: _Copy, key: ListKey, day: date) -> Before | None:
        past, span = copy.past, key.span
        orders = await self._workshop.get(
            (copy.number, "before", span, day), lambda: _Orders(past.order_before(span, day))
        )
        order = orders.by_list.get(str(key))
        return None if order is None else Before(day, order)

    async def changes(
        self, key_text: str, since: str, limit: int, cursor: str | None, *, least: int = LEAST_SHOWN
    ) -> Changes:
        """What moved in a list since a day, and why.

        Args:
            key_text: key of the list.
            since: ``yesterday`` or a day.
            limit: most moves.
            cursor: where to go on.
            least: counts of fewer ratings are hidden; 0: none is, for auditors.

        Raises:
            InvalidValueError: no such day or cursor; the message names what exists.
            ListRevisedError: other units have moved since the page before.
            NotFoundError: no such list.
            TransientError: nothing can be shown yet, or too much is being computed.
        """
        copy = await self._fresh()
        past = copy.past
        key = find_key(key_text, past.keys(past.today))
        day = _since(since, past.today)
        past.check_day(day, key.span, field="since")
        before, after = [
            (await self._lists(copy, key.span, each)).lists[str(key)] for each in (day, past.today)
        ]
        moved = await self._workshop.get(
            (copy.number, "moves", key, day, least), lambda: past.moves(before, after, least)
        )
        found_hash = f"sha256:{hashlib.sha256(repr(moved).encode()).hexdigest()}"
        paged = Paged(
            f"changes of {key} since {day} from {least} on", found_hash, past.today.isoformat(), len(moved)
        )
        start = 0 if cursor is None else decode_cursor(cursor, paged)
        end = start + limit
        more = encode_cursor(end, paged) if end < len(moved) else None
        return Changes(before, after, past.position, moved[start:end], len(moved), found_hash, more)

    async def history(self, unit_id: str, window: str | None, days: int) -> UnitHistory:
        """A unit's rolling window as of each of the last ``days`` days.

        Raises:
            InvalidValueError: no such window; the message names those that there are.
            NotFoundError: no such unit; the message proposes near ones.
            TransientError: nothing can be shown yet, or too much is being computed.
        """
        unit = self._registry.get(unit_id)
        copy = await self._fresh()
        past = copy.past
        length = choose(
            "window", (window or DEFAULT_WINDOW).removesuffix("d"), map(str, past.history.lengths)
        )
        span = Rolling(int(length))
        points = await self._workshop.get(
            (copy.number, "timeline", unit_id, span, days), lambda: past.timeline(unit, span, days)
        )
        kind = unit.kind if unit.level is Level.WINDOW and unit.kind in past.rules.kinds else None
        merged = tuple(each.unit_id for each in self._registry.predecessors(unit_id))
        key = ListKey(unit.level, kind, span)
        return UnitHistory(unit, key, past.rules.hash, past.position, points, merged)

    async def _fresh(self) -> _Copy:
        """A copy of the fold that is fresh enough."""
        now, known = self._monotonic(), self._copy
        if known is not None and now - self._taken < FRESH_S:
            return known
        past = await self._take()
        if known is None or _differ(past, known.past):
            self._numbers += 1
            known = self._copy = _Copy(self._numbers, past)
        self._taken = now
        return known

    async def _lists(self, copy: _Copy, span: Span, day: date) -> _Lists:
        return await self._workshop.get(
            (copy.number, "lists", span, day),
            lambda: _Lists(copy.past.lists(span, day), rfc3339(self._clock.now())),
        )


def history_hash(found: UnitHistory) -> str:
    """``sha256:<hex>`` of a timeline's points, list and rules."""
    points = [[str(point.day), *point[1:]] for point in found.points]
    content = canonical_json([str(found.list), found.rules, points, *lineage(found.unit, found.predecessors)])
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def lineage(unit: Unit, predecessors: Sequence[str]) -> list[str]:
    """Successor and predecessors of a unit, where it has any: part of what an answer about it says."""
    return [f"into {unit.successor}"] * (unit.successor is not None) + [
        f"from {each}" for each in predecessors
    ]


def _differ(one: Past, other: Past) -> bool:
    return _STATE(one) != _STATE(other)


def _window(past: Past, wanted: WantedList) -> Span | None:
    """The rolling window that is asked for, if there is such a one."""
    text = (wanted.window or DEFAULT_WINDOW).removesuffix("d")
    known = {str(length): Rolling(length) for length in past.history.lengths}
    return None if wanted.period is not None else known.get(text)


def _since(text: str, today: date) -> date:
    if text == YESTERDAY:
        return today - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidValueError(
            text, f"{YESTERDAY} or a day such as 2026-11-20", "write it like one of these", field="since"
        ) from None
