"""The held ratings in a SQLite file, folded from what was decided: scratch, made anew from the stream."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from services.intake.adapters.stored_revisions import GradeValue
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.revision_messages import FACTS
from services.intake.domain.quarantine import Held, HeldCluster, HeldFilter
from services.intake.domain.revisions import Move
from shared.events import spec_for_data
from shared.events.unreadable import UNREADABLE
from shared.observability.logging import get_logger

SCHEMA: Final = "1"
SUBJECTS: Final = tuple(spec_for_data(kind).pattern for kind in FACTS.values())
"""What is folded: everything that was decided about ratings."""
_QUARANTINED: Final = spec_for_data(FACTS[Move.QUARANTINE]).event_type
_TYPES: Final = frozenset(spec_for_data(kind).event_type for kind in FACTS.values())
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    sequence INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, unit_id TEXT NOT NULL, city TEXT NOT NULL,
    county TEXT NOT NULL, grade INTEGER NOT NULL, channel TEXT NOT NULL, verification TEXT NOT NULL,
    reason TEXT NOT NULL, cluster TEXT, decided_by TEXT, occurred_at TEXT NOT NULL, received_at TEXT NOT NULL,
    held_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS held_unit ON held (unit_id, sequence);
CREATE INDEX IF NOT EXISTS held_cluster ON held (cluster, sequence);
"""
_INSERT: Final = "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_log = get_logger(component="quarantine")


class _Target(msgspec.Struct):
    unit_id: str
    grade: GradeValue
    channel: str
    verification: str
    occurred_at: str
    received_at: str


class _Data(msgspec.Struct):
    target_id: str
    target: _Target
    city: str
    county: str
    reason: str
    decided_by: str | None = None
    cluster: str | None = None


class _Envelope(msgspec.Struct):
    type: str
    receivedat: str
    data: _Data


_decode = msgspec.json.Decoder(_Envelope).decode


class SqliteQuarantine:
    """Plays `entrypoints.quarantine.HeldRatings`, and is what `entrypoints.quarantine_fold` writes to."""

    def __init__(self, directory: Path) -> None:
        """Keep ``quarantine.sqlite`` in `directory`."""
        self._path = directory / "quarantine.sqlite"
        self._db: sqlite3.Connection | None = None
        self.position = 0
        """Everything decided up to this sequence is known."""
        self.ready = False
        """Whether the end of the stream was reached."""

    def open(self, stream: str) -> None:
        """Take up the file where it belongs to `stream` (the time of its creation), else begin anew."""
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db, self.position = self._take_up(stream)
        except sqlite3.Error as error:
            _log.warning("quarantine_discarded", reason=repr(error))
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._db, self.position = self._take_up(stream)

    def _take_up(self, stream: str) -> tuple[sqlite3.Connection, int]:
        db = sqlite3.connect(self._path, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_CREATE)
            meta: dict[str, str] = dict(db.execute("SELECT name, value FROM meta"))
            position = int(meta.pop("position", "0"))
            identity = {"schema": SCHEMA, "stream": stream}
            if meta and meta != identity:
                raise sqlite3.DatabaseError(f"made for {meta}, not for {identity}")
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", identity.items())
        except (sqlite3.Error, ValueError) as error:
            db.close()
            raise sqlite3.DatabaseError(str(error)) from error
        return db, position

    def close(self) -> None:
        """Close the file."""
        self.ready = False
        if self._db is not None:
            self._db.close()
            self._db = None

    def fold(self, messages: Sequence[tuple[int, bytes]], through: int) -> None:
        """Take in decisions by sequence, in the order of the stream, up to `through`.

        Raises:
            sqlite3.Error: the file is broken; open it again.
        """
        db = self._open_db()
        db.execute("BEGIN")
        try:
            for sequence, data in messages:
                self._fold_one(db, sequence, data)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (str(through),))
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        self.position = through

    @staticmethod
    def _fold_one(db: sqlite3.Connection, sequence: int, data: bytes) -> None:
        try:
            envelope = _decode(data)
        except UNREADABLE:
            return
        if envelope.type not in _TYPES:
            return
        said = envelope.data
        if envelope.type != _QUARANTINED:
            db.execute("DELETE FROM held WHERE event_id = ?", (said.target_id,))
            return
        rating = said.target
        row = (
            sequence, said.target_id, rating.unit_id, said.city, said.county, rating.grade, rating.channel,
            rating.verification, said.reason, said.cluster, said.decided_by, rating.occurred_at,
            rating.received_at, envelope.receivedat,
        )  # fmt: skip
        db.execute(_INSERT, row)

    def page(self, wanted: HeldFilter, after: int, limit: int) -> list[Held]:
        """At most `limit` held ratings that match, held after the sequence `after`, oldest first.

        Raises:
            TransientError: not known yet.
        """
        where, values = _where(wanted)
        query = f"SELECT * FROM held WHERE sequence > ?{where} ORDER BY sequence LIMIT ?"  # noqa: S608 - our own words
        return [Held(*row) for row in self._rows(query, (after, *values, limit))]

    def count(self, wanted: HeldFilter) -> int:
        """How many held ratings match.

        Raises:
            TransientError: not known yet.
        """
        where, values = _where(wanted)
        query = f"SELECT count(*) FROM held WHERE sequence > 0{where}"  # noqa: S608 - our own words
        return int(self._rows(query, values)[0][0])

    def by_hand(self, before: str, after: int, limit: int) -> list[tuple[int, str]]:
        """See `application.lapsing.HeldByHand`."""
        query = (
            "SELECT sequence, event_id FROM held WHERE sequence > ? AND cluster IS NULL AND held_at < ? "
            "ORDER BY sequence LIMIT ?"
        )
        return [(sequence, event_id) for sequence, event_id in self._rows(query, (after, before, limit))]

    def held(self) -> int:
        """How many ratings are held; 0 while that is not known."""
        return self.count(HeldFilter()) if self.ready else 0

    def clusters(self, wanted: HeldFilter, limit: int) -> list[HeldCluster]:
        """At most `limit` clusters that match, the largest first.

        Raises:
            TransientError: not known yet.
        """
        where, values = _where(wanted)
        query = (
            "SELECT cluster, unit_id, reason, count(*) AS n, min(held_at), max(held_at) FROM held "  # noqa: S608 - our own words
            f"WHERE sequence > 0{where} GROUP BY cluster, unit_id, reason "
            "ORDER BY n DESC, unit_id, cluster LIMIT ?"
        )
        return [HeldCluster(*row) for row in self._rows(query, (*values, limit))]

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise IndexNotReadyError
        return self._db

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not self.ready:
            raise IndexNotReadyError
        try:
            return self._open_db().execute(query, values).fetchall()
        except sqlite3.Error as error:
            _log.error("quarantine_broken", reason=repr(error))
            self.close()
            raise IndexNotReadyError from error


def _where(wanted: HeldFilter) -> tuple[str, tuple[str, ...]]:
    parts = {
        "unit_id": wanted.unit_id, "city": wanted.city, "county": wanted.county,
        "reason": wanted.reason, "cluster": wanted.cluster,
    }  # fmt: skip
    given = {name: value for name, value in parts.items() if value is not None}
    return "".join(f" AND {name} = ?" for name in given), tuple(given.values())
