"""The ledger 评议账: folds ratings into daily buckets, so that the result depends on their *set* alone.

Any order, any repeats and any split into batches of the same ratings give the same statistics and the same
books, as long as the stream's disorder stays within the memory's bound (:data:`SLACK_DAYS`).
"""

from bisect import insort
from struct import Struct
from typing import Final, NamedTuple

from services.scoring.domain.books import Books
from services.scoring.domain.buckets import DAY_MS, DailyBuckets, IntTable, day_of_ms
from shared.rules.pack import Windows

SLACK_DAYS: Final = 5
"""By how many days of receipt the stream may be out of order without an effect on the result."""


class Rating(NamedTuple):
    """What the statistics need to know of one `FeedbackSubmitted`.

    A named tuple and not a dataclass: it is made for every event, and takes a third of the time.

    Attributes:
        event_id: the 16 bytes of the event's UUID; they sort like its text.
        unit: the unit's place in the registry.
        grade: 1-5.
        weight_milli: weight in thousandths, by verification.
        occurred_ms: when it happened, Unix milliseconds; decides the day.
        received_ms: when intake received it; decides lateness and replacement.
        repeat_key: 16 bytes that stand for the citizen and the transaction together; None if one is unknown.
        synthetic: a probe or drill.
    """

    event_id: bytes
    unit: int
    grade: int
    weight_milli: int
    occurred_ms: int
    received_ms: int
    repeat_key: bytes | None
    synthetic: bool


# Big-endian with receipt and event id in front: the records sort as bytes like (received_ms, event_id).
_RECORD: Final = Struct(">q16sIiBI")
_SIZE: Final = _RECORD.size


def _pack(rating: Rating) -> bytes:
    day = day_of_ms(rating.occurred_ms)
    return _RECORD.pack(
        rating.received_ms, rating.event_id, rating.unit, day, rating.grade, rating.weight_milli
    )


def _received_ms(record: bytes) -> int:
    return int.from_bytes(record[:8], "big", signed=True)


def split_groups(records: list[bytes], span_ms: int) -> list[list[bytes]]:
    """Part the sorted records of one citizen and transaction into groups that replace one another.

    A group is its first record and all that were received at most ``span_ms`` after it; the next record
    begins the next group. The last record of a group is the one that counts.
    """
    groups: list[list[bytes]] = []
    ends_ms = 0
    for record in records:
        received_ms = _received_ms(record)
        if groups and received_ms <= ends_ms:
            groups[-1].append(record)
        else:
            groups.append([record])
            ends_ms = received_ms + span_ms
    return groups


class Ledger:
    """The fold's state: daily buckets, books, and the memory that recognises repeats and replacements.

    Memory, beside the buckets: about 120 bytes for each event id, and 200 bytes for each pair of citizen and
    transaction, of the last ``replacement_days`` + :data:`SLACK_DAYS` days of receipt (measured against the
    newest receipt that was folded, never a clock). A repeat that comes later than that counts again; the
    event id, the broker's window and intake's index stand before it.
    """

    def __init__(self, units: int, rules: Windows, as_of: int) -> None:
        """An empty ledger for ``units`` units whose windows end on the day number ``as_of``."""
        self._buckets = DailyBuckets(units, rules.days, as_of)
        self._late_ms = rules.lateness_days * DAY_MS
        self._span_ms = rules.replacement_days * DAY_MS
        self._memory_days = rules.replacement_days + SLACK_DAYS
        self._newest_day: int | None = None
        self._seen: set[bytes] = set()
        self._seen_by_day: dict[int, list[bytes]] = {}
        self._repeats: dict[bytes, bytes] = {}
        self._keys_by_day: dict[int, list[bytes]] = {}
        self._accepted = self._counted = self._replaced = self._late = 0
        self._duplicates = self._synthetic = 0

    @property
    def as_of(self) -> int:
        """The day number that the windows end on."""
        return self._buckets.as_of

    def advance(self, as_of: int) -> None:
        """Move the windows on to the day number ``as_of``; see :meth:`DailyBuckets.advance`."""
        self._buckets.advance(as_of)

    def windows(self) -> dict[int, IntTable]:
        """The statistics of every window; copies, so that the fold may go on."""
        return self._buckets.windows()

    def books(self) -> Books:
        """The accounts of everything folded so far."""
        return Books(
            accepted=self._accepted,
            counted=self._counted,
            replaced=self._replaced,
            late=self._late,
            duplicates=self._duplicates,
            synthetic=self._synthetic,
        )

    def remembered(self) -> tuple[int, int]:
        """How many event ids and how many pairs of citizen and transaction are in memory."""
        return len(self._seen), len(self._repeats)

    def fold(self, rating: Rating) -> bool:
        """Take in one rating; whether the statistics or the books of accepted ratings changed.

        The checks come in this order: a probe is never counted; an event id counts once; a late rating is
        kept but neither counts nor replaces; of one citizen's ratings of one transaction the last one counts.
        """
        if rating.synthetic:
            self._synthetic += 1
            return False
        if rating.event_id in self._seen:
            self._duplicates += 1
            return False
        received_day = day_of_ms(rating.received_ms)
        self._remember(rating.event_id, received_day)
        self._accepted += 1
        if rating.received_ms - rating.occurred_ms > self._late_ms:
            self._late += 1
        elif rating.repeat_key is None:
            self._counted += 1
            self._buckets.add(rating.unit, day_of_ms(rating.occurred_ms), rating.grade, rating.weight_milli)
        else:
            self._place(rating.repeat_key, _pack(rating), received_day)
        return True

    def _place(self, key: bytes, record: bytes, received_day: int) -> None:
        """Count ``record``, unless one of its group was received later; stop counting the one it replaces."""
        known = self._repeats.get(key)
        self._keys_by_day.setdefault(received_day, []).append(key)
        if known is None:
            self._repeats[key] = record
            self._count(record, 1)
            return
        records = _split(known)
        before = {group[-1] for group in split_groups(records, self._span_ms)}
        insort(records, record)
        after = {group[-1] for group in split_groups(records, self._span_ms)}
        self._repeats[key] = b"".join(records)
        for gone in before - after:
            self._count(gone, -1)
        for come in after - before:
            self._count(come, 1)
        self._replaced += 1 - (len(after) - len(before))

    def _count(self, record: bytes, sign: int) -> None:
        _, _, unit, day, grade, weight_milli = _RECORD.unpack(record)
        self._buckets.add(unit, day, grade, weight_milli, sign)
        self._counted += sign

    def _remember(self, event_id: bytes, day: int) -> None:
        self._seen.add(event_id)
        ids = self._seen_by_day.get(day)
        if ids is None:
            ids = self._seen_by_day[day] = []
        ids.append(event_id)
        if self._newest_day is None or day > self._newest_day:
            self._newest_day = day
            self._forget(day - self._memory_days)

    def _forget(self, before: int) -> None:
        """Drop what was received before the day ``before``: whole groups; their first sets their end."""
        for day in [day for day in self._seen_by_day if day < before]:
            self._seen.difference_update(self._seen_by_day.pop(day))
        for day in [day for day in self._keys_by_day if day < before]:
            for key in self._keys_by_day.pop(day):
                self._forget_groups(key, before)

    def _forget_groups(self, key: bytes, before: int) -> None:
        known = self._repeats.get(key)
        if known is None:
            return
        kept = [
            record
            for group in split_groups(_split(known), self._span_ms)
            if day_of_ms(_received_ms(group[0])) >= before
            for record in group
        ]
        if kept:
            self._repeats[key] = b"".join(kept)
        else:
            del self._repeats[key]


def _split(records: bytes) -> list[bytes]:
    return [records[start : start + _SIZE] for start in range(0, len(records), _SIZE)]
