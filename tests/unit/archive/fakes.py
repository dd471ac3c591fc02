"""The sequencer's ports in memory, to inject what a broker seldom does."""

from collections.abc import Collection, Sequence
from datetime import datetime

from services.archive.application.ports import HeadMovedError, StreamBounds, StreamState
from services.archive.domain.entries import Entry, Kind
from shared.messaging.lease import NotLeaderError
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import StoredMessage


def stored(stream: str, sequence: int, data: bytes = b"no event") -> StoredMessage:
    """A message as the source delivers it."""
    return StoredMessage(f"{stream.lower()}.v1.fact.all.all", data, stream, sequence, 0, 1, 0, 0, "reply")


class Leading:
    """A leadership that a test gives and takes."""

    def __init__(self) -> None:
        self.is_leader = True

    def check(self) -> None:
        if not self.is_leader:
            raise NotLeaderError("another leads")


class MemoryLog:
    """The part of an `EntryLog` that the sequencer uses."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def sequences(self, stream: str) -> list[int]:
        return [entry.leaf.sequence for entry in self.entries if entry.leaf.stream == stream]

    async def size(self) -> int:
        return len(self.entries)

    async def positions(self, streams: Collection[str]) -> dict[str, int]:
        return {stream: max(self.sequences(stream), default=0) for stream in streams}

    async def data_hashes(
        self, stream: str, first: int, last: int, *, events_only: bool = False
    ) -> dict[int, bytes]:
        return {
            entry.leaf.sequence: entry.leaf.data_hash
            for entry in self.entries
            if entry.leaf.stream == stream
            and first <= entry.leaf.sequence <= last
            and not (events_only and entry.leaf.kind is Kind.UNPARSEABLE)
        }

    async def first_sequence(self, stream: str) -> int:
        return min(self.sequences(stream), default=0)

    async def received_until(self, stream: str, sequence: int) -> datetime | None:
        times = [
            entry.leaf.attributes.received_at
            for entry in self.entries
            if entry.leaf.stream == stream and entry.leaf.sequence <= sequence and entry.leaf.attributes
        ]
        return times[-1] if times else None

    async def of_type(self, event_type: str, most: int, *, newest_first: bool = False) -> list[Entry]:
        found = [
            entry
            for entry in self.entries
            if entry.leaf.attributes is not None and entry.leaf.attributes.type == event_type
        ]
        return (found[::-1] if newest_first else found)[:most]

    async def event_ids(self, first: int, end: int) -> list[str | None]:
        return [
            None if entry.leaf.attributes is None else entry.leaf.attributes.event_id
            for entry in self.entries[first:end]
        ]

    async def indexes_of(self, event_ids: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in self.entries:
            attributes = entry.leaf.attributes
            if attributes is not None and attributes.event_id in event_ids:
                found.setdefault(attributes.event_id, entry.index)
        return found

    def make_ready(self, entries: Sequence[Entry]) -> None:
        """There is nothing to do."""

    async def append(self, entries: Sequence[Entry]) -> None:
        if entries[0].index != len(self.entries):
            raise HeadMovedError(str(entries[0].index))
        self.entries += entries


class MemoryStreams:
    """A `StreamSource` of streams that tests fill, expire, replace or silence."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[int, bytes]] = {}
        self.silent: set[str] = set()
        self.interrupted = 0
        self.asked: list[str] = []
        self.acknowledged: dict[str, int] = {}
        self.named = 10_000
        self.max_age_s = 0.0
        self.makes_room = False

    def put(self, stream: str, sequences: Sequence[int], data: bytes = b"no event") -> list[StoredMessage]:
        """Store messages; what the source would deliver of them."""
        self.kept.setdefault(stream, {}).update(dict.fromkeys(sequences, data))
        return [stored(stream, sequence, data) for sequence in sequences]

    def _ask(self, stream: str) -> dict[int, bytes]:
        self.asked.append(stream)
        if stream in self.silent:
            raise BrokerUnavailableError(f"{stream} does not answer")
        return self.kept.get(stream, {})

    async def take(self, stream: str, most: int, wait_s: float) -> list[StoredMessage]:
        raise NotImplementedError("the tests offer deliveries by themselves")

    def interruptions(self, stream: str) -> int:
        del stream
        return self.interrupted

    async def acknowledge(self, message: StoredMessage) -> None:
        self.acknowledged[message.stream] = message.sequence

    async def bounds(self, stream: str) -> StreamBounds:
        kept = self._ask(stream)
        return StreamBounds(min(kept), max(kept)) if kept else StreamBounds(1, 0)

    async def fetch(self, stream: str, first: int, last: int) -> list[StoredMessage]:
        kept = self._ask(stream)
        return [
            stored(stream, sequence, kept[sequence]) for sequence in sorted(kept) if first <= sequence <= last
        ]

    async def state(self, stream: str) -> StreamState:
        kept = self._ask(stream)
        bounds = await self.bounds(stream)
        holes = [each for each in range(bounds.first, bounds.last + 1) if each not in kept]
        return StreamState(
            bounds.first, bounds.last, len(holes), tuple(holes[: self.named]), self.max_age_s, self.makes_room
        )

    def in_stream(self, stream: str, sequence: int) -> int | None:
        del stream
        return sequence
