"""Published lists: how a list, the books and the announcements are laid out in the bucket.

Keys: ``<level>.<kind or all>.<span>`` holds the head of a list, the same with ``.<i>`` its pages of at most
:data:`PAGE_ROWS` rows, ``books`` the books, ``announced.<city>`` what was last announced about each unit. An
empty value is none: the list was there and is no more (ADR 0062).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from services.scoring.application.cases import CASES
from services.scoring.application.read_rows import ReadRows, read_items
from services.scoring.domain.announcements import Announced
from services.scoring.domain.books import Books
from services.scoring.domain.lists import RankedList, Row, canonical_json, changed_rows, list_hash
from shared.kernel.clock import rfc3339

STREAM: Final = "FEEDBACK"
"""The stream whose position a list states."""

BOOKS_KEY: Final = "books"
NO_VALUE: Final = b""
"""What a key holds that is deleted."""
ANNOUNCED_PREFIX: Final = "announced."
PAGE_ROWS: Final = 500
_CLOSING: Final = ("closed_on", "closed_hash", "restatement", "late_missed")
VOLATILE: Final = frozenset({"positions", "computed_at", "list_hash", "pages", *_CLOSING})
"""Members of a published head that are not part of the canonical document."""


def positions_of(feedback: int, cases: int) -> dict[str, int]:
    """How positions are written: CASES is left out as long as nothing was folded of it."""
    return {STREAM: feedback, **({CASES: cases} if cases else {})}


@dataclass(frozen=True, slots=True)
class PublishedList:
    """One list as it stands in the bucket.

    Attributes:
        head: what `RankedList.head` has, and positions, computed_at, list_hash, pages; of a closed period
            also closed_on, closed_hash (of the list that was closed), restatement (how often since) and
            late_missed (how many ratings of it have come too late to count, up to now).
        rows: all rows, in the order of the list.
        items: canonical JSON of each row, as it stands in the pages: with the columns of whoever wrote it.
    """

    head: Mapping[str, Any]
    rows: Sequence[Row]
    items: Sequence[bytes]

    @classmethod
    def of(
        cls, computed: RankedList, position: int, computed_at: datetime, cases: int = 0
    ) -> "PublishedList":
        """Lay out a computed list for publication; ``position`` is one of FEEDBACK, ``cases`` of CASES."""
        head = {
            **computed.head,
            "positions": positions_of(position, cases),
            "computed_at": rfc3339(computed_at),
            "list_hash": computed.hash,
            "pages": -(-len(computed.items) // PAGE_ROWS),
        }
        return cls(head, computed.rows, computed.items)

    @classmethod
    def parse(cls, head: bytes, pages: tuple[bytes, ...]) -> "PublishedList":
        """Read a list back; one that another version wrote has the columns of both.

        Raises:
            ValueError: not what :meth:`of` lays out.
            KeyError: likewise.
            TypeError: likewise.
        """
        items = [item for page in pages for item in read_items(page)]
        return cls(json.loads(head), ReadRows(items), items)

    @property
    def pages(self) -> tuple[bytes, ...]:
        """Bodies of its pages."""
        return tuple(
            _page(self.items[start : start + PAGE_ROWS]) for start in range(0, len(self.items), PAGE_ROWS)
        )

    def closed(
        self, closed_on: date, closed_hash: str, restatement: int, late_missed: int
    ) -> "PublishedList":
        """The list of a period that has closed."""
        closing = {
            "closed_on": closed_on.isoformat(),
            "closed_hash": closed_hash,
            "restatement": restatement,
            "late_missed": late_missed,
        }
        return PublishedList({**self.head, **closing}, self.rows, self.items)

    def missing(self, late_missed: int) -> "PublishedList":
        """The same closed list, with how many ratings have come too late for it by now."""
        return PublishedList({**self.head, "late_missed": late_missed}, self.rows, self.items)

    @property
    def is_closed(self) -> bool:
        """Whether its period has closed."""
        return "closed_on" in self.head

    @property
    def closed_on(self) -> date | None:
        """When its period was closed; None: it has not."""
        return date.fromisoformat(self.head["closed_on"]) if self.is_closed else None

    @property
    def key(self) -> str:
        """The list's key."""
        return str(self.head["list"])

    @property
    def as_of(self) -> date:
        """Last day of its window."""
        return date.fromisoformat(self.head["as_of"])

    @property
    def position(self) -> int:
        """Last sequence of FEEDBACK that it takes into account."""
        return int(self.head["positions"][STREAM])

    @property
    def cases(self) -> int:
        """Last sequence of CASES that it takes into account."""
        return int(self.head["positions"].get(CASES, 0))

    @property
    def hash(self) -> str:
        """Hash of its canonical bytes, as stated."""
        return str(self.head["list_hash"])

    @property
    def version(self) -> str:
        """Names what it says, but for the time and the positions.

        The hash, and of a closed list what its closing says: closing a list leaves its hash as it was. A part
        of a list (`views.below`) depends on what its ranks are compared with, too.
        """
        beside = ("closed_on", "restatement", "late_missed", "compared_with")
        return ".".join([self.hash, *(str(self.head[name]) for name in beside if name in self.head)])

    def canonical(self) -> bytes:
        """Its canonical bytes: its head's values, and its rows as they stand in the pages.

        Not the rows' values: a list that an older version wrote has fewer columns, and is whole all the same.
        """
        head = {name: value for name, value in self.head.items() if name not in VOLATILE}
        return b'{"head":%b,"items":[%b]}' % (canonical_json(head), b",".join(self.items))

    def computed_hash(self) -> str:
        """The hash of its content; another than :attr:`hash` if head and pages don't belong together."""
        return list_hash(self.canonical())

    def changed_since(self, before: "PublishedList | None") -> list[int]:
        """Places of the rows that are others than ``before``, see `changed_rows`."""
        if before is not None and isinstance(before.rows, ReadRows):
            return before.rows.changed_in(self.rows, self.items)
        return changed_rows(self.rows, before.rows if before is not None else None)

    def entries(self, before: "PublishedList | None") -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Heads and pages to write: the head, and those pages that differ from what stands there."""
        known: Sequence[bytes] = before.items if before is not None else ()
        pages: dict[str, bytes] = {}
        for number, start in enumerate(range(0, len(self.items), PAGE_ROWS)):
            items = self.items[start : start + PAGE_ROWS]
            if items != known[start : start + PAGE_ROWS]:
                pages[f"{self.key}.{number}"] = _page(items)
        return {self.key: canonical_json(self.head)}, pages


def _page(items: Sequence[bytes]) -> bytes:
    return b'{"items":[%b]}' % b",".join(items)


@dataclass(frozen=True, slots=True)
class PublishedBooks:
    """The books as they stand in the bucket; their positions are how far all of it reaches.

    Attributes:
        position: last sequence of FEEDBACK.
        under_way: the position of a publication of which some lists already stand here and some do not,
            because it takes several batches; None: all that stands here belongs together.
        cases: last sequence of CASES.
        cases_under_way: like `under_way`, of CASES.
        told: sequence of RANKING up to which all that was told stands here; None: an older version wrote.
    """

    books: Books
    position: int
    computed_at: str
    under_way: int | None = None
    cases: int = 0
    cases_under_way: int = 0
    told: int | None = None

    def is_behind(self, new: "PublishedBooks") -> bool:
        """Whether ``new`` says anything else than these, but for the time it was said."""
        if self.under_way is not None:
            return True
        return (self.books, self.position, self.cases) != (new.books, new.position, new.cases)

    def encode(self) -> bytes:
        """The key's value."""
        return canonical_json(self.document())

    def document(self) -> dict[str, Any]:
        """The accounts by name, with the position."""
        books = self.books
        return {
            "accepted": books.accepted,
            "counted": books.counted,
            "replaced": books.replaced,
            "held": books.held,
            "excluded": books.excluded,
            "late": books.late,
            "balanced": books.balanced,
            "duplicates": books.duplicates,
            "synthetic": books.synthetic,
            "positions": positions_of(self.position, self.cases),
            "computed_at": self.computed_at,
            **(
                {}
                if self.under_way is None
                else {"under_way": positions_of(self.under_way, self.cases_under_way)}
            ),
            **({} if self.told is None else {"told": self.told}),
        }

    @classmethod
    def parse(cls, raw: bytes) -> "PublishedBooks":
        """Read the books back.

        Raises:
            ValueError: not what :meth:`encode` writes.
            KeyError: likewise.
        """
        found = json.loads(raw)
        names = ("accepted", "counted", "replaced", "late", "held", "excluded", "duplicates", "synthetic")
        under_way = found.get("under_way", {})
        return cls(
            Books(**{name: found[name] for name in names}),
            found["positions"][STREAM],
            found["computed_at"],
            under_way.get(STREAM),
            found["positions"].get(CASES, 0),
            under_way.get(CASES, 0),
            found.get("told"),
        )


def encode_announced(announced: Mapping[str, Announced]) -> bytes:
    """One page of announcements: unit id → time in ms, rank, score, band, day, rank at its start."""
    return canonical_json({unit_id: list(last) for unit_id, last in announced.items()})


def parse_announced(raw: bytes) -> dict[str, Announced]:
    """Read :func:`encode_announced` back; entries of before the day was kept end with the band.

    Raises:
        ValueError: not what it writes.
        TypeError: likewise.
    """
    return {unit_id: Announced(*last) for unit_id, last in json.loads(raw).items()}


@dataclass(frozen=True, slots=True)
class StoredRankings:
    """All that the bucket holds.

    Attributes:
        lists: by key.
        books: where every rating is; None: nothing was published yet.
        announced: the last announcement of each unit, by its id.
        withdrawn: keys of lists that were there and are no more.
    """

    lists: Mapping[str, PublishedList]
    books: PublishedBooks | None
    announced: Mapping[str, Announced]
    withdrawn: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether no publication is under way, or was given up in the middle."""
        return self.books is None or self.books.under_way is None
