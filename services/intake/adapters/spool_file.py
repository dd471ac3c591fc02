"""The SQLite file of the spool: synchronous, one connection, one thread at a time.

Unlike the index's file this one is no scratch: what it holds is promised and nowhere else. So every commit is
fsynced (WAL with ``synchronous = FULL``), each row carries a checksum, and a file that can't be read is set
aside under another name, never deleted. What is deleted on purpose is overwritten: a vault record that was
drained must not be found on this disk after its person was erased.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from services.intake.application.spooling import Entry, Kept, Kinship
from services.intake.domain.spooled import Kind
from services.intake.domain.submission import unix_ms
from shared.messaging.group_commit import Outgoing

SCHEMA: Final = 1
FILE: Final = "spool.sqlite"
ASIDE: Final = ".corrupt-"
"""Begins the ending of a file that could not be read."""
ROW_BYTES: Final = 256
"""What a row takes besides payload and record, generously."""
FIND_AT_ONCE: Final = 500
_KINDS: Final = frozenset(kind.value for kind in Kind)

_CREATE = f"""
CREATE TABLE IF NOT EXISTS entries (
    row INTEGER PRIMARY KEY, kind TEXT NOT NULL, about BLOB NOT NULL, message_id TEXT NOT NULL,
    subject TEXT NOT NULL, payload BLOB NOT NULL, record_id TEXT, record BLOB, uncertain INTEGER NOT NULL,
    spooled_ms INTEGER NOT NULL, checksum BLOB NOT NULL, reason TEXT
);
CREATE TABLE IF NOT EXISTS former_receipts (row INTEGER NOT NULL, receipt BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS former_receipts_row ON former_receipts (row);
CREATE INDEX IF NOT EXISTS entries_about ON entries (about, kind) WHERE reason IS NULL;
CREATE INDEX IF NOT EXISTS entries_record ON entries (record_id) WHERE record IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_aside ON entries (row) WHERE reason IS NOT NULL;
PRAGMA user_version = {SCHEMA};
"""
_Row = tuple[
    int, str, bytes, str, str, bytes, str | None, bytes | None, int, int, bytes, str | None
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amount:
    """How much waits.

    Attributes:
        size: bytes, `ROW_BYTES` for each row included.
        aside: messages that were set aside and wait for a person.
    """

    messages: int
    size: int
    aside: int = 0


def spool_path(directory: Path) -> Path:
    """The file in a spool's directory."""
    return directory / FILE


def files_set_aside(directory: Path) -> list[Path]:
    """Files in `directory` that could not be read."""
    return sorted(
        path for path in directory.glob(f"{FILE}{ASIDE}*") if not path.name.endswith(("-wal", "-shm"))
    )


class SpoolFile:
    """One connection to the file; for reading only, or as its owner."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open `path`; an owner makes it if it is not there, with mode 600.

        Raises:
            sqlite3.DatabaseError: it is damaged, or of another version.
            sqlite3.OperationalError: it can't be opened now.
            OSError: the directory can't be made.
        """
        self._path = path
        if not readonly:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite gives its side files the mode of the main one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        uri = f"{path.resolve().as_uri()}?mode={'ro' if readonly else 'rw'}"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(readonly=readonly)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, readonly: bool) -> None:
        run = self._connection.execute
        run("PRAGMA busy_timeout = 2000")
        run("PRAGMA cache_size = -8192")
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in {0, SCHEMA}:
            raise sqlite3.DatabaseError(f"the file is of version {version}, not of {SCHEMA}")
        if readonly:
            return
        if run("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise sqlite3.OperationalError("the disk does not allow write-ahead logging")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA secure_delete = ON")
        self._connection.executescript(_CREATE)
        # An intake of before this table leaves receipts behind, and rows are numbered anew.
        run("DELETE FROM former_receipts WHERE row NOT IN (SELECT row FROM entries)")
        (verdict,) = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))

    def amount(self) -> Amount:
        """Count what waits; reads the whole file.

        Raises:
            sqlite3.Error: it can't be read.
        """
        (aside,) = self._connection.execute(
            "SELECT count(*) FROM entries WHERE reason IS NOT NULL"
        ).fetchone()
        waiting = self._measure("reason IS NULL", ())
        return Amount(waiting.messages, waiting.size, aside)

    def _measure(self, where: str, values: Sequence[object]) -> Amount:
        query = f"SELECT count(*), total(length(payload)), total(length(record)) FROM entries WHERE {where}"  # noqa: S608 - our own words, values are bound
        messages, payloads, records = self._connection.execute(query, values).fetchone()
        return Amount(messages, int(payloads + records) + messages * ROW_BYTES)

    def oldest_ms(self) -> int | None:
        """When the first message that waits was spooled, in Unix milliseconds; None if none waits.

        Raises:
            sqlite3.Error: it can't be read.
        """
        found = self._connection.execute(
            "SELECT spooled_ms FROM entries WHERE reason IS NULL ORDER BY row LIMIT 1"
        ).fetchone()
        return None if found is None else int(found[0])

    def kinds(self) -> dict[str, int]:
        """How many of each kind wait.

        Raises:
            sqlite3.Error: it can't be read.
        """
        found = self._connection.execute(
            "SELECT kind, count(*) FROM entries WHERE reason IS NULL GROUP BY kind"
        )
        return {str(kind): int(count) for kind, count in found}

    def last_row(self) -> int:
        """The highest row in use.

        Raises:
            sqlite3.Error: it can't be read.
        """
        (last,) = self._connection.execute("SELECT max(row) FROM entries").fetchone()
        return int(last or 0)

    def write(self, entries: Sequence[tuple[int, Entry]], forgotten: Sequence[int], now: datetime) -> Amount:
        """Add `entries` at their rows and delete `forgotten`, in one transaction that is fsynced.

        Returns:
            What was deleted.

        Raises:
            sqlite3.Error: nothing was changed.
        """
        spooled_ms = unix_ms(now)
        messages = size = 0
        for start in range(0, len(forgotten), FIND_AT_ONCE):
            some = forgotten[start : start + FIND_AT_ONCE]
            freed = self._measure(f"row IN ({','.join('?' * len(some))})", some)
            messages, size = messages + freed.messages, size + freed.size
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (_to_row(row, entry, spooled_ms) for row, entry in entries),
            )
            self._connection.executemany(
                "INSERT INTO former_receipts VALUES (?, ?)",
                ((row, receipt) for row, entry in entries for receipt in entry.kinship.former),
            )
            gone = [(row,) for row in forgotten]
            self._connection.executemany("DELETE FROM entries WHERE row = ?", gone)
            self._connection.executemany("DELETE FROM former_receipts WHERE row = ?", gone)
        return Amount(messages, size)

    def set_aside(self, row: int, reason: str) -> None:
        """Take `row` out of the order.

        Raises:
            sqlite3.Error: nothing was changed.
        """
        with self._transaction():
            self._connection.execute("UPDATE entries SET reason = ? WHERE row = ?", (reason, row))

    def erase_record(self, record_id: str) -> bool:
        """Overwrite the vault record `record_id`; whether it was here.

        Raises:
            sqlite3.Error: nothing was changed.
        """
        found = self._select("record_id = ? AND record IS NOT NULL", (record_id,))
        with self._transaction():
            for kept in found:
                self._connection.execute(
                    "UPDATE entries SET record = NULL, checksum = ? WHERE row = ?",
                    (_checksum(kept.row, kept.entry.message, None), kept.row),
                )
        if found:  # the log still has it
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return bool(found)

    def shrink(self) -> None:
        """Give disk space back; worth it when nothing waits.

        Raises:
            sqlite3.Error: it stays as large as it is, and sound.
        """
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def oldest(self, most: int) -> list[Kept]:
        """What is next, at most `most`, in order.

        Raises:
            sqlite3.Error: it can't be read.
        """
        found = self._select("reason IS NULL ORDER BY row LIMIT ?", (most,))
        if not found:
            return found
        former: dict[int, list[bytes]] = {}
        query = "SELECT row, receipt FROM former_receipts WHERE row BETWEEN ? AND ? ORDER BY rowid"
        for row, receipt in self._connection.execute(query, (found[0].row, found[-1].row)):
            former.setdefault(row, []).append(receipt)
        return [_with_former(kept, former[kept.row]) if kept.row in former else kept for kept in found]

    def aside(self, most: int) -> list[tuple[Kept, str]]:
        """What was set aside, with the reasons.

        Raises:
            sqlite3.Error: it can't be read.
        """
        rows = self._connection.execute(
            "SELECT * FROM entries WHERE reason IS NOT NULL ORDER BY row LIMIT ?", (most,)
        )
        return [(_to_kept(row), str(row[-1])) for row in rows]

    def ratings(self, receipts: Sequence[bytes]) -> Iterator[Kept]:
        """The waiting ratings with one of `receipts`.

        Raises:
            sqlite3.Error: it can't be read.
        """
        for start in range(0, len(receipts), FIND_AT_ONCE):
            some = receipts[start : start + FIND_AT_ONCE]
            marks = ",".join("?" * len(some))
            where = f"about IN ({marks}) AND kind = '{Kind.RATING.value}' AND reason IS NULL"
            yield from self._select(where, tuple(some))

    def revisions(self, receipt: bytes) -> list[Kept]:
        """The waiting revisions of a rating, in order.

        Raises:
            sqlite3.Error: it can't be read.
        """
        return self._select(
            "about = ? AND kind = ? AND reason IS NULL ORDER BY row", (receipt, Kind.REVISION.value)
        )

    def abouts(self) -> Iterator[bytes]:
        """The receipts of all ratings that something waiting is about.

        Raises:
            sqlite3.Error: it can't be read.
        """
        for (about,) in self._connection.execute("SELECT about FROM entries WHERE reason IS NULL"):
            yield about

    def read(self, row: int) -> Kept | None:
        """What waits at `row`.

        Raises:
            sqlite3.Error: it can't be read.
        """
        found = self._select("row = ? AND reason IS NULL", (row,))
        return found[0] if found else None

    def _select(self, where: str, values: tuple[object, ...]) -> list[Kept]:
        query = f"SELECT * FROM entries WHERE {where}"  # noqa: S608 - our own words, values are bound
        return [_to_kept(row) for row in self._connection.execute(query, values)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def move_aside(path: Path, moment: datetime) -> Path:
    """Give a file that can't be read, and what belongs to it, another name; the new one."""
    target = path.with_name(f"{path.name}{ASIDE}{moment:%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("-wal", "-shm", ""):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(target.with_name(target.name + suffix))
    return target


def _moment(unix_ms_of: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms_of)


def _checksum(row: int, message: Outgoing, record: bytes | None) -> bytes:
    found = hashlib.blake2b(digest_size=8)
    for part in (str(row).encode(), message.message_id.encode(), message.subject.encode(), message.payload):
        found.update(len(part).to_bytes(4, "big") + part)
    found.update(b"\0" if record is None else b"\1" + record)
    return found.digest()


def _to_row(row: int, entry: Entry, spooled_ms: int) -> tuple[object, ...]:
    message, kinship = entry.message, entry.kinship
    return (
        row,
        kinship.kind.value,
        kinship.about,
        message.message_id,
        message.subject,
        message.payload,
        kinship.record_id,
        entry.record,
        entry.uncertain,
        spooled_ms,
        _checksum(row, message, entry.record),
    )


def _with_former(kept: Kept, former: Sequence[bytes]) -> Kept:
    kinship = replace(kept.entry.kinship, former=tuple(former))
    return replace(kept, entry=replace(kept.entry, kinship=kinship))


def _to_kept(found: _Row) -> Kept:
    row, kind, about, message_id, subject, payload, record_id, record, uncertain, spooled_ms, checksum, _ = (
        found
    )
    message = Outgoing(subject, message_id, payload)
    known = kind in _KINDS  # the checksum does not cover it
    kinship = Kinship(Kind(kind) if known else Kind.CONFLICT, about, record_id)
    return Kept(
        row,
        Entry(message, kinship, record, bool(uncertain)),
        _moment(spooled_ms),
        sound=known and checksum == _checksum(row, message, record),
    )
