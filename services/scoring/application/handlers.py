"""Use cases: keep the fold going, and answer questions about what is published."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.scoring.application.fold import Fold, Message
from services.scoring.application.pages import Page, WantedList, choose_list, choose_span, page_of
from services.scoring.application.ports import DeadLetterClerk, FoldObserver
from services.scoring.application.published import PublishedBooks, PublishedList, StoredRankings
from services.scoring.application.snapshots import anchor_of
from services.scoring.application.views import Before, below
from services.scoring.domain.lists import ListKey, Row
from services.scoring.domain.spans import Rolling, Span
from shared.events import InvalidEventError
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import TransientError, describe
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack

RETRY_AFTER_S: Final = 2.0


class NotCaughtUpError(TransientError):
    """The rankings do not yet take all ratings of the stream into account."""


def not_caught_up(why: str | None) -> NotCaughtUpError:
    """Word why nothing can be shown yet; None: nothing has been published."""
    return NotCaughtUpError(
        describe(why or "nothing published yet", "rankings of all ratings so far", "ask again"), RETRY_AFTER_S
    )


RulesOn = Callable[[date], RulePack]


class FoldFeedback:
    """Keeps one fold of the stream, on the present day under the rules of that day."""

    def __init__(
        self,
        registry: UnitRegistry,
        rules_on: RulesOn,
        clock: Clock,
        clerk: DeadLetterClerk,
        observer: FoldObserver,
        note_received: Callable[[int], None],
    ) -> None:
        """Start at the beginning of the stream, on today's business day."""
        self._registry = registry
        self._rules_on = rules_on
        self._clock = clock
        self._clerk = clerk
        self._observer = observer
        self._note_received = note_received
        today = business_day(clock.now())
        self.fold = Fold(registry, rules_on(today), today)
        self.caught_up = False
        """Whether everything that was in the stream at the start has been folded."""
        self.cases_caught_up = True
        """The same of CASES; whoever reads that says so."""
        self._remaining: int | None = None
        self._done = 0
        self._invalid: deque[tuple[Message, InvalidEventError]] = deque()
        self._last: Message | None = None
        self._anchor = ""

    def resume(self, fold: Fold, anchor: str) -> None:
        """Go on from a restored ``fold``, whose last message has the hash ``anchor``; before any message."""
        self.fold, self._anchor = fold, anchor

    @property
    def anchor(self) -> str:
        """`message_hash` of the last message folded; empty before the first."""
        return self._anchor if self._last is None else anchor_of(self._last)

    @property
    def publishable(self) -> bool:
        """Whether the fold may be published: it has caught up, and all dead letters are filed."""
        return self.caught_up and self.cases_caught_up and not self._invalid

    @property
    def progress(self) -> str:
        """How far the start has come, in words."""
        if self._remaining is None:
            return "reading has not begun"
        return f"{self._done} of {self._done + self._remaining} messages folded"

    def renew(self) -> bool:
        """Move on to the present day; True when other rules apply from today, so that all is folded anew.

        A rule pack weighs ratings, so a change of packs can't be applied to what was folded under another.
        """
        today = business_day(self._clock.now())
        if today <= self.fold.as_of:
            return False
        rules = self._rules_on(today)
        if rules.hash == self.fold.rules.hash:
            self.fold.advance(today)
            return False
        self.fold = Fold(self._registry, rules, today, self.fold.cases)
        self.caught_up = False
        self._remaining, self._done = None, 0
        self._last, self._anchor = None, ""
        return True

    def fold_messages(self, messages: Sequence[Message], pending: int, published: int) -> None:
        """Fold what was read; what is no rating waits for :meth:`file_dead_letters`.

        Args:
            messages: in the order of the stream.
            pending: how many are still to come.
            published: position of the published rankings; dead letters up to there have been filed.
        """

        def set_aside(message: Message, error: InvalidEventError) -> None:
            if message.sequence > published:
                self._invalid.append((message, error))

        self.fold.take(messages, set_aside, self._note_received if self.caught_up else None)
        self._last = messages[-1] if messages else self._last
        self._done += len(messages)
        self._remaining = pending if self._remaining is None else max(0, self._remaining - len(messages))
        # Under steady traffic nothing is ever "all": what was there when reading began is enough.
        self.caught_up = self.caught_up or pending == 0 or self._remaining == 0
        self._observer.folded(len(messages), pending)

    def forget_dead_letters(self, published: int) -> None:
        """Drop what another replica has filed: it publishes a position only after its dead letters."""
        while self._invalid and self._invalid[0][0].sequence <= published:
            self._invalid.popleft()

    async def file_dead_letters(self) -> None:
        """File what was no rating, oldest first.

        Raises:
            TransientError: the broker did not take one; call again, the rest is kept.
        """
        while self._invalid:
            await self._clerk.file(*self._invalid[0])
            self._invalid.popleft()
            self._observer.dead_lettered()


@dataclass(frozen=True, slots=True)
class UnitScore:
    """One unit in windows or a period of its primary list; `predecessors` are ids of units merged into it."""

    unit: Unit
    position: int
    windows: Sequence[tuple[PublishedList, Row]]
    cases: int = 0
    predecessors: tuple[str, ...] = ()


class ReadRankings:
    """Answers from what is published, so that HTTP, the bucket and the events say the same."""

    def __init__(
        self,
        registry: UnitRegistry,
        published: Callable[[], StoredRankings | None],
        progress: Callable[[], str | None],
    ) -> None:
        """``published`` gives what stands in the bucket; ``progress`` says why it can't be shown yet."""
        self._registry = registry
        self._published = published
        self._progress = progress

    def rankings(self) -> StoredRankings:
        """Everything that is published.

        Raises:
            NotCaughtUpError: nothing can be shown yet.
        """
        why, found = self._progress(), self._published()
        if why is not None or found is None or found.books is None:
            raise not_caught_up(why)
        return found

    def find(self, wanted: WantedList) -> PublishedList:
        """The whole list that is asked for, or a part of.

        Raises:
            InvalidValueError: no such level, kind, window or period; the message names what exists.
            NotCaughtUpError: nothing can be shown yet.
        """
        lists = self.rankings().lists
        return lists[str(choose_list(wanted, [ListKey.parse(key) for key in lists]))]

    def list_page(
        self, wanted: WantedList, limit: int | None, cursor: str | None, before: Before | None = None
    ) -> Page:
        """Up to ``limit`` rows of a list (None: all), from ``cursor`` on.

        A cursor holds for one list until that is revised: pages that join can only come from one state.

        Args:
            wanted: which list.
            limit: most rows.
            cursor: where to go on.
            before: what the ranks of a part are compared with, see `below`.

        Raises:
            InvalidValueError: no such level, kind, window, period, parent or cursor; the message names what
                exists.
            ListRevisedError: the list has been revised since the page before.
            NotCaughtUpError: nothing can be shown yet.
            NotFoundError: no such parent.
        """
        found = self.rankings()
        chosen = self.find(wanted)
        if wanted.parent is not None:
            chosen = below(chosen, wanted.parent, self._registry, before)
        return page_of(chosen, _position(found), limit, cursor, _cases(found))

    def unit_score(self, unit_id: str, window: str | None = None, period: str | None = None) -> UnitScore:
        """A unit's rows in its primary list: in all windows, the shortest first, or in one window or period.

        Raises:
            InvalidValueError: no such window or period; the message names what exists.
            NotFoundError: no such unit; the message proposes near ones.
            NotCaughtUpError: nothing can be shown yet.
        """
        unit = self._registry.get(unit_id)
        kind = unit.kind if unit.level is Level.WINDOW else None
        rankings = self.rankings()
        # Of all lists: a unit that is in none any more may be asked for by what exists, too.
        keys = [ListKey.parse(key) for key in rankings.lists]
        if window is None and period is None:
            spans: list[Span] = sorted({key.span for key in keys if isinstance(key.span, Rolling)})
        else:
            spans = [choose_span(window, period, keys)]
        rows: list[tuple[PublishedList, Row]] = []
        for span in spans:
            found = rankings.lists.get(str(ListKey(unit.level, kind, span)))
            if found is not None:
                rows += [(found, row) for row in found.rows if row.unit_id == unit_id]
        merged = tuple(each.unit_id for each in self._registry.predecessors(unit_id))
        return UnitScore(unit, _position(rankings), rows, _cases(rankings), merged)

    def books(self) -> PublishedBooks:
        """The published books.

        Raises:
            NotCaughtUpError: nothing can be shown yet.
        """
        books = self.rankings().books
        if books is None:  # pragma: no cover - rankings has looked
            raise NotCaughtUpError("no books yet", RETRY_AFTER_S)
        return books


def _position(found: StoredRankings) -> int:
    return found.books.position if found.books is not None else 0


def _cases(found: StoredRankings) -> int:
    return found.books.cases if found.books is not None else 0
