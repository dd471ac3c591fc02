"""The SQLite file of the index: rows and position together; synchronous, used from one thread at a time.

The file is scratch: it can be made anew from the stream. So a file that is corrupt or belongs to another
schema, stream or key is thrown away, and a power cut may take the last transactions, but never the rows of a
position that stays.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final
from uuid import UUID

from services.intake.domain.accepted import Accepted
from services.intake.domain.revisions import Move, Revision
from services.intake.domain.submission import unix_ms
from shared.observability.logging import get_logger

SCHEMA: Final = 3
FIND_AT_ONCE: Final = 500
"""Keys in one statement; SQLite's own limit on parameters is higher in every build."""
INSERT_AT_ONCE: Final = 100
"""Rows in one statement. After each statement the writer's thread waits for the interpreter, and takes it
from the event loop: with a statement for each rating, that is felt by every request."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_CREATE = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
    sequence INTEGER PRIMARY KEY, event_id BLOB NOT NULL, digest TEXT NOT NULL,
    received_ms INTEGER NOT NULL, occurred_ms INTEGER NOT NULL, unit_id TEXT NOT NULL, grade INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS names (receipt BLOB PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
    receipt BLOB NOT NULL, number INTEGER NOT NULL, move TEXT NOT NULL, sequence INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, request TEXT, digest TEXT NOT NULL, unit_id TEXT NOT NULL,
    grade INTEGER NOT NULL, PRIMARY KEY (receipt, number)
) WITHOUT ROWID;
"""
_INSERT = "INSERT INTO accepted VALUES {rows} ON CONFLICT (sequence) DO NOTHING"
# Of two events with one id, the first in the stream counts.
_NAME = """
INSERT INTO names VALUES {rows} ON CONFLICT (receipt) DO UPDATE SET sequence = excluded.sequence
WHERE excluded.sequence < names.sequence
"""

_FIND = "SELECT receipt, accepted.* FROM names JOIN accepted USING (sequence) WHERE receipt IN"
_INSERT_REVISION = """
INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (receipt, number) DO UPDATE SET
    move = excluded.move, sequence = excluded.sequence, received_ms = excluded.received_ms,
    request = excluded.request, digest = excluded.digest, unit_id = excluded.unit_id, grade = excluded.grade
WHERE excluded.sequence < revisions.sequence
"""

_log = get_logger(component="index")
_Row = tuple[int, bytes, str, int, int, str, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file was folded from: `stream` (when it was created; None: whichever) under `key_id`."""

    stream: str | None
    key_id: str


class IndexFile:
    """One connection to write and one to read; WAL lets both work at once."""

    def __init__(self, path: Path, origin: Origin) -> None:
        """Open `path` and take up its `position`; start from nothing where it can't be used.

        Raises:
            sqlite3.Error: not even an empty file can be made there.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer, self.position = self._take_up(origin)
        except sqlite3.Error as error:
            _log.warning("index_discarded", reason=repr(error))
            self.delete(path)
            self._writer, self.position = self._take_up(origin)
        self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA cache_size = -4096")
        return connection

    def _take_up(self, origin: Origin) -> tuple[sqlite3.Connection, int]:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # With WAL: fsync at checkpoints only. OFF could leave the position on disk without its rows.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_CREATE)
            meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
            position = meta.pop("position", "0")
            stream = meta.get("stream", "") if origin.stream is None else origin.stream
            identity = {"schema": str(SCHEMA), "stream": stream, "key": origin.key_id}
            if meta and meta != identity:
                raise sqlite3.DatabaseError(f"the file was made for {meta}, not for {identity}")
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", identity.items())
        except sqlite3.Error:
            connection.close()
            raise
        return connection, int(position) if position.isdigit() else 0

    def find(self, receipts: Sequence[bytes]) -> Iterator[Accepted]:
        """The ratings that have one of `receipts`.

        Raises:
            sqlite3.Error: the file is broken.
        """
        for start in range(0, len(receipts), FIND_AT_ONCE):
            some = receipts[start : start + FIND_AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"{_FIND} ({marks})"
            for receipt, *row in self._reader.execute(query, some):
                yield _from_row(receipt, row)

    def revisions(self, receipt: bytes) -> Iterator[Revision]:
        """The revisions of the rating with `receipt`, by number.

        Raises:
            sqlite3.Error: the file is broken.
        """
        query = "SELECT * FROM revisions WHERE receipt = ? ORDER BY number"
        for row in self._reader.execute(query, (receipt,)):
            _, number, move, sequence, received_ms, request, digest, unit_id, grade = row
            yield Revision(
                receipt=receipt,
                number=number,
                move=Move(move),
                sequence=sequence,
                received_at=_EPOCH + received_ms * _MILLISECOND,
                request=request,
                digest=digest,
                unit_id=unit_id,
                grade=grade,
            )

    def revised(self, receipts: Sequence[bytes]) -> Iterator[bytes]:
        """Those of `receipts` that have a revision.

        Raises:
            sqlite3.Error: the file is broken.
        """
        for start in range(0, len(receipts), FIND_AT_ONCE):
            some = receipts[start : start + FIND_AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"SELECT DISTINCT receipt FROM revisions WHERE receipt IN ({marks})"  # noqa: S608 - question marks only
            for (receipt,) in self._reader.execute(query, some):
                yield receipt

    def receipts(self) -> Iterator[bytes]:
        """Every receipt that is remembered.

        Raises:
            sqlite3.Error: the file is broken.
        """
        for (receipt,) in self._reader.execute("SELECT receipt FROM names"):
            yield receipt

    def write(
        self, ratings: Collection[tuple[bytes, Accepted]], revisions: Iterable[Revision], position: int
    ) -> None:
        """Add entries, and say that everything up to `position` is here, in one transaction.

        `ratings` come with the receipt that each is found under, one of several names with each of them.

        Raises:
            sqlite3.Error: the file is broken; nothing was written.
        """
        # Each page that is written to costs three writes: in the order of the keys it is done with at once.
        names = sorted((receipt, rating.sequence) for receipt, rating in ratings)
        rows = [_to_row(rating) for rating in {rating.sequence: rating for _, rating in ratings}.values()]
        with self._transaction():
            self._insert(_INSERT, rows)
            self._insert(_NAME, names)
            self._writer.executemany(_INSERT_REVISION, map(_to_revision_row, revisions))
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (str(position),))

    def _insert(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        for start in range(0, len(rows), INSERT_AT_ONCE):
            some = rows[start : start + INSERT_AT_ONCE]
            self._writer.execute(
                _filled_in(statement, len(some), len(some[0])), list(chain.from_iterable(some))
            )

    def forget_before(self, moment: datetime) -> None:
        """Delete what was received before `moment`; no rating outlives a revision of it.

        Raises:
            sqlite3.Error: the file is broken; nothing was deleted.
        """
        forgotten = "SELECT sequence FROM accepted WHERE received_ms < ?"
        with self._transaction():
            self._writer.execute(
                f"DELETE FROM names WHERE sequence IN ({forgotten})",  # noqa: S608 - a constant
                (unix_ms(moment),),
            )
            self._writer.execute("DELETE FROM accepted WHERE received_ms < ?", (unix_ms(moment),))
            self._writer.execute("DELETE FROM revisions WHERE received_ms < ?", (unix_ms(moment),))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def close(self) -> None:
        """Close both connections."""
        self._reader.close()
        self._writer.close()

    @staticmethod
    def delete(path: Path) -> None:
        """Remove a closed file and what belongs to it."""
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


@lru_cache(maxsize=2 * INSERT_AT_ONCE)
def _filled_in(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * rows))


def _to_row(rating: Accepted) -> _Row:
    return (
        rating.sequence,
        bytes.fromhex(rating.event_id.replace("-", "")),
        rating.digest,
        unix_ms(rating.received_at),
        unix_ms(rating.occurred_at),
        rating.unit_id,
        rating.grade,
    )


def _to_revision_row(revision: Revision) -> tuple[bytes, int, str, int, int, str | None, str, str, int]:
    return (
        revision.receipt,
        revision.number,
        revision.move.value,
        revision.sequence,
        unix_ms(revision.received_at),
        revision.request,
        revision.digest,
        revision.unit_id,
        revision.grade,
    )


def _from_row(receipt: bytes, row: _Row) -> Accepted:
    sequence, event_id, digest, received_ms, occurred_ms, unit_id, grade = row
    return Accepted(
        event_id=str(UUID(bytes=event_id)),
        receipt=receipt,
        digest=digest,
        sequence=sequence,
        received_at=_EPOCH + received_ms * _MILLISECOND,
        occurred_at=_EPOCH + occurred_ms * _MILLISECOND,
        unit_id=unit_id,
        grade=grade,
    )
