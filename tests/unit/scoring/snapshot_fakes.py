"""The ports of snapshots in memory; the store passes the same suite as the object store does."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime

from services.scoring.application.ports import SnapshotDamagedError, StoreConflictError
from services.scoring.application.published import STREAM
from services.scoring.application.snapshots import message_hash, with_blob
from services.scoring.domain.snapshots import FORMAT, Refusal, Snapshot, StreamState
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.scoring.feedback import Message

KEPT = 3
MADE = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def snapshot_of(blob: bytes, position: int = 10, *, created: str = "monday") -> Snapshot:
    """A description of ``blob`` that fits it."""
    return Snapshot(
        format=FORMAT,
        rules="sha256:rules",
        registry="sha256:registry",
        stream=STREAM,
        stream_created=created,
        position=position,
        message_hash="hash",
        as_of=date(2026, 11, 20),
        size=len(blob),
        sha256=hashlib.sha256(blob).hexdigest(),
        made_at=MADE,
    )


class MemorySnapshots:
    """What all stores on it share."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.counting: tuple[Snapshot, ...] = ()
        self.sequence = 0


class MemorySnapshotStore:
    """A `SnapshotStore` on `MemorySnapshots`."""

    def __init__(self, kept: MemorySnapshots) -> None:
        self.kept = kept
        self.full = False
        self._sequence = 0

    async def catalogue(self) -> Sequence[Snapshot]:
        self._sequence = self.kept.sequence
        return self.kept.counting

    async def read(self, snapshot: Snapshot) -> bytes:
        blob = self.kept.blobs.get(snapshot.blob, b"")
        if (len(blob), hashlib.sha256(blob).hexdigest()) != (snapshot.size, snapshot.sha256):
            raise SnapshotDamagedError(f"blob {snapshot.blob} of {len(blob)} bytes")
        return blob

    async def save(self, snapshot: Snapshot, blob: bytes) -> Snapshot:
        if self.full:
            raise BrokerUnavailableError("no room")
        if self._sequence != self.kept.sequence:
            raise StoreConflictError("moved")
        stored = with_blob(snapshot, f"b{self.kept.sequence}")
        same_past = [
            each
            for each in self.kept.counting
            if each.stream_created == stored.stream_created and each.position <= stored.position
        ]
        self.kept.counting = (stored, *same_past)[:KEPT]
        self.kept.sequence += 1
        self._sequence = self.kept.sequence
        self.kept.blobs[stored.blob] = blob
        self.kept.blobs = {each.blob: self.kept.blobs[each.blob] for each in self.kept.counting}
        return stored


class MemoryHistory:
    """A `StreamHistory` of messages that a test may rewrite; ``first`` is the oldest that is left."""

    def __init__(self) -> None:
        self.created = "monday"
        self.messages: list[Message] = []
        self.first = 1

    async def look(self, position: int) -> StreamState:
        found = [each for each in self.messages if each.sequence == position and position >= self.first]
        hashed = message_hash(found[0].subject, found[0].data) if found else None
        return StreamState(
            self.created, self.first, max((each.sequence for each in self.messages), default=0), hashed
        )


class RecordedSnapshots:
    """A `SnapshotObserver` that keeps what it was told."""

    def __init__(self) -> None:
        self.saved: list[int] = []
        self.restored: list[int] = []
        self.refused: list[Refusal] = []
        self.failures = 0
        self.changed: bool | None = None
        self.leads: bool | None = None

    def leading(self, *, leads: bool) -> None:
        self.leads = leads

    def snapshot_saved(self, snapshot: Snapshot, seconds: float) -> None:
        assert seconds >= 0
        self.saved.append(snapshot.position)

    def snapshot_failed(self) -> None:
        self.failures += 1

    def snapshot_restored(self, snapshot: Snapshot) -> None:
        self.restored.append(snapshot.position)

    def snapshot_refused(self, refusal: Refusal) -> None:
        self.refused.append(refusal)

    def history_changed(self, *, changed: bool) -> None:
        self.changed = changed
