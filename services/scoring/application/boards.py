"""Live boards 实时榜: follow one list, and be told whenever what is published changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from services.scoring.application.pages import find_key
from services.scoring.application.published import PublishedList, StoredRankings
from services.scoring.domain.lists import ListKey, Row, changed_rows
from shared.kernel.errors import TransientError, describe

ROWS_IN_AN_EVENT: Final = 100
RETRY_AFTER_S: Final = 10.0


class BoardsFullError(TransientError):
    """As many boards are followed as this replica carries (HTTP 503)."""


class Told(NamedTuple):
    """What a board says.

    Attributes:
        event: ``list`` for the state at the beginning, ``revised`` for each one after it, ``withdrawn`` when
            there is no such list any more: that is the last one.
        list: the list as it stands, or stood.
        rows: the rows that changed.
        truncated: more changed than `rows` can say.
    """

    event: str
    list: PublishedList
    rows: Sequence[Row]
    truncated: bool


class Boards:
    """Everybody who follows a list, on the leader or on a standby.

    There are no queues: whoever is slow is told the newest state, with all that changed since what they saw.
    """

    def __init__(self, rankings: Callable[[], StoredRankings], most: int) -> None:
        """``rankings`` gives what is published, or raises why nothing is; ``most`` may follow at once."""
        self._rankings = rankings
        self._most = most
        self._following = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def following(self) -> int:
        """How many follow a list."""
        return self._following

    def tell(self) -> None:
        """Wake everybody: what is published may have changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Let everybody go: the service stops."""
        self._closed = True
        self.tell()

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Count as one who follows.

        Raises:
            BoardsFullError: too many do.
        """
        if self._following >= self._most or self._closed:
            raise BoardsFullError(
                describe(
                    f"{self._following} live boards",
                    f"at most {self._most}",
                    "poll with If-None-Match instead",
                ),
                RETRY_AFTER_S,
            )
        self._following += 1
        try:
            yield
        finally:
            self._following -= 1

    def find(self, key_text: str) -> PublishedList:
        """The list with this key as it stands.

        Raises:
            NotFoundError: no such list; the message names what exists.
            TransientError: nothing can be shown yet.
        """
        lists = self._rankings().lists
        return lists[str(find_key(key_text, map(ListKey.parse, lists)))]

    async def follow(self, shown: PublishedList, known: str | None) -> AsyncIterator[Told]:
        """What stands, unless this `PublishedList.version` is known, then each newer one.

        Until `close`, or until there is no such list any more.
        """
        if shown.version != known:
            yield Told("list", shown, (), truncated=False)
        while not self._closed:
            changed = self._changed
            newest = self._newest(shown)
            if newest is None:
                yield Told("withdrawn", shown, (), truncated=False)
                return
            if newest.version == shown.version:
                await changed.wait()
                continue
            told = _difference(shown, newest)
            shown = newest
            yield told

    def _newest(self, shown: PublishedList) -> PublishedList | None:
        """The list as it stands now; None: there is no such list any more."""
        try:
            return self._rankings().lists.get(shown.key)
        except TransientError:  # folding anew: what was shown stands until there is something newer
            return shown


def _difference(old: PublishedList, new: PublishedList) -> Told:
    """What changed from one state to the other; a row that is gone can only be told by reading the list."""
    places = changed_rows(new.rows, old.rows)
    gone = {row.unit_id for row in old.rows} - {row.unit_id for row in new.rows}
    if gone or len(places) > ROWS_IN_AN_EVENT:
        return Told("revised", new, (), truncated=True)
    return Told("revised", new, [new.rows[place] for place in places], truncated=False)
