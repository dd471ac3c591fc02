"""Scoring's ports in memory; the store passes the same suite as the bucket does."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.scoring.adapters.nats_flag_store import decode as decode_flags
from services.scoring.adapters.nats_flag_store import encode as encode_flags
from services.scoring.adapters.nats_ranking_store import assemble, check_commit
from services.scoring.adapters.ranking_events import encode
from services.scoring.adapters.told_events import read_told
from services.scoring.application.fold import Message
from services.scoring.application.ports import Announcements, StoreConflictError
from services.scoring.application.published import StoredRankings
from services.scoring.application.told import Told
from services.scoring.domain.flags import Flags
from shared.events import Envelope, RankingRevised, UnitScoreChanged, parse_envelope
from shared.kernel.units import UnitRegistry
from shared.messaging.direct import Read
from shared.messaging.group_commit import Outgoing
from shared.messaging.publisher import BrokerUnavailableError


class SettableClock:
    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class MemoryBucket:
    """What all stores on it share: values and their sequences."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, int]] = {}
        self.last = 0


class MemoryRankingStore:
    """A `RankingStore` on a `MemoryBucket`."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self.bucket = bucket
        self.fail_next_commit = False
        self.lose_next_answer = False
        self.commits_left: int | None = None
        """So many more are taken, then the broker is away."""
        self._seen: dict[str, int] = {}

    async def load(self) -> StoredRankings:
        self._seen = {key: sequence for key, (_, sequence) in self.bucket.values.items()}
        return assemble({key: value for key, (value, _) in self.bucket.values.items()})

    async def refresh(self, known: StoredRankings) -> StoredRankings:
        if self._seen == {key: sequence for key, (_, sequence) in self.bucket.values.items()}:
            return known
        return await self.load()

    async def commit(self, fenced: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
        check_commit(fenced, others)
        if self.commits_left is not None:
            self.fail_next_commit, self.commits_left = self.commits_left == 0, self.commits_left - 1
        if self.fail_next_commit:
            self.fail_next_commit = False
            raise BrokerUnavailableError("away")
        for key in fenced:
            if self.bucket.values.get(key, (b"", 0))[1] != self._seen.get(key, 0):
                raise StoreConflictError(key)
        for key, value in {**others, **fenced}.items():
            self.bucket.last += 1
            self.bucket.values[key] = (value, self.bucket.last)
            self._seen[key] = self.bucket.last
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise BrokerUnavailableError("written, but nobody said so")


class RecordedEvents:
    """A `RankingEvents` that keeps what the real one would have sent."""

    def __init__(self, registry: UnitRegistry) -> None:
        self._registry = registry
        self.sent: list[Outgoing] = []
        self.stream: list[Outgoing] = []
        """All that was ever sent, each once."""
        self.fail_next = False

    async def catch_up(self) -> None:
        return

    async def told_since(self, sequence: int) -> Told:
        numbered = enumerate(self.stream, 1)
        return read_told(Read(each.subject, at, each.payload) for at, each in numbered if at > sequence)

    async def publish(self, announcements: Announcements) -> int:
        if self.fail_next:
            self.fail_next = False
            raise BrokerUnavailableError("away")
        known = {each.message_id for each in self.stream}
        sent = list(encode(announcements, self._registry))
        self.sent += sent
        self.stream += [each for each in sent if each.message_id not in known]
        return len(self.stream)

    def revised(self) -> list[Envelope[RankingRevised]]:
        return [
            parse_envelope(Envelope[RankingRevised], each.payload)
            for each in self.sent
            if ".revised." in each.subject
        ]

    def changed(self) -> list[Envelope[UnitScoreChanged]]:
        return [
            parse_envelope(Envelope[UnitScoreChanged], each.payload)
            for each in self.sent
            if ".score-changed." in each.subject
        ]


class RecordedLetters:
    """A `DeadLetterClerk` that keeps the sequences it was given."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.away = False

    async def file(self, message: Message, error: BaseException) -> None:
        del error
        if self.away:
            raise BrokerUnavailableError("away")
        self.sequences.append(message.sequence)


class Measured:
    """A `FoldObserver` that keeps the figures."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.letters = 0
        self.computations = 0

    def folded(self, messages: int, lag: int) -> None:
        del messages, lag

    def dead_lettered(self) -> None:
        self.letters += 1

    def computed(self, seconds: float) -> None:
        assert seconds >= 0
        self.computations += 1

    def published(self, lists: int, units: int, stored: StoredRankings, latencies_s: Sequence[float]) -> None:
        del lists, units, stored
        self.latencies_s += latencies_s


class MemoryFlagStore:
    """A `FlagStore` on a `MemoryBucket`."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self.bucket = bucket
        self.fail_next_commit = False
        self.lose_next_answer = False
        self._seen = 0

    async def load(self) -> Flags:
        value, self._seen = self.bucket.values.get("flags", (encode_flags(Flags({})), 0))
        return decode_flags(value)

    async def commit(self, flags: Flags) -> None:
        if self.fail_next_commit:
            self.fail_next_commit = False
            raise BrokerUnavailableError("away")
        if self.bucket.values.get("flags", (b"", 0))[1] != self._seen:
            raise StoreConflictError("flags")
        self.bucket.last += 1
        self.bucket.values["flags"] = (encode_flags(flags), self.bucket.last)
        self._seen = self.bucket.last
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise BrokerUnavailableError("written, but nobody said so")


class CountedExaminations:
    """A `WatchObserver` that counts."""

    def __init__(self) -> None:
        self.standing: list[int] = []

    def examined(self, seconds: float, flags: Flags) -> None:
        assert seconds >= 0
        self.standing.append(len(flags.standing))
