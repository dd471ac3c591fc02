"""One service, one rating: of a citizen's ratings of one transaction, the last one within 30 days counts."""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.scoring.domain.aliases import KEY_BYTES, Aliases
from services.scoring.domain.days import DAY_MS, SHANGHAI_MS, day_of_ms
from services.scoring.domain.ratings import (
    Rating,
    event_id_of,
    is_single,
    pack,
    received_of,
    split_records,
    unpack,
)

Switch = Callable[[Rating], None]


def split_groups(records: list[bytes], span_ms: int) -> list[list[bytes]]:
    """Part the sorted records of one citizen and transaction into groups that replace one another.

    A group is its first record and all that were received at most ``span_ms`` after it; the next record
    begins the next group. The last record of a group is the one that counts.
    """
    groups: list[list[bytes]] = []
    ends_ms = 0
    for record in records:
        received_ms = received_of(record)
        if groups and received_ms <= ends_ms:
            groups[-1].append(record)
        else:
            groups.append([record])
            ends_ms = received_ms + span_ms
    return groups


class Replacements:
    """All ratings that may replace one another.

    Memory: about 250 bytes for each pair of citizen and transaction. A pair with one rating is forgotten by
    :meth:`forget_single`; those with several are kept until :meth:`forget`, so that a member can be taken
    away exactly however late that is decided.
    """

    def __init__(self, span_days: int, count: Switch, uncount: Switch) -> None:
        """``count`` is told which rating counts from now on, ``uncount`` which no longer does."""
        self._span_ms: Final = span_days * DAY_MS
        self._count = count
        self._uncount = uncount
        self._records: dict[bytes, bytes] = {}
        self._keys_by_day: dict[int, list[bytes]] = {}
        self._revised: dict[bytes, int] = {}
        self._aliases = Aliases()
        self.replaced = 0
        """Ratings that a later one stands for."""

    def __len__(self) -> int:
        """How many pairs are in memory."""
        return len(self._records)

    def add(self, rating: Rating, key: bytes, day: int) -> None:
        """Take in a rating of the pair ``key``; it counts unless a later one of its group is there.

        ``day`` is the day of its receipt; ``key`` as in `Rating.repeat_key`.
        """
        if self._aliases or len(key) > KEY_BYTES:
            key = self._one_key(key, day)
        record = pack(rating)
        known = self._records.setdefault(key, record)
        if known is record:
            keys = self._keys_by_day.get(day)
            if keys is None:
                keys = self._keys_by_day[day] = []
            keys.append(key)
            self._count(rating)
            return
        before = split_records(known)
        after = before.copy()
        insort(after, record)
        self._change(key, before, after)

    def remove(self, rating: Rating, key: bytes) -> None:
        """Take out a rating that was added; the one that it had replaced counts again.

        One that has been forgotten was alone, and counted.
        """
        if self._aliases or len(key) > KEY_BYTES:
            key = self._one_key(key, day_of_ms(rating.received_ms))
        self._revised[key] = day_of_ms(rating.received_ms)
        before = split_records(self._records.get(key, b""))
        at = bisect_left(before, _place(rating))
        if at == len(before) or event_id_of(before[at]) != rating.event_id:
            self._keys_by_day.setdefault(day_of_ms(rating.received_ms), []).append(key)
            self._uncount(rating)
            return
        self._change(key, before, before[:at] + before[at + 1 :])

    def _one_key(self, keys: bytes, day: int) -> bytes:
        """The key that a pair goes by; what was kept under others of ``keys`` moves there."""
        key, others = self._aliases.join(keys, day)
        for other in others:
            self._move(other, key)
        return key

    def _move(self, other: bytes, key: bytes) -> None:
        if other in self._revised:
            self._revised[key] = max(self._revised.pop(other), self._revised.get(key, 0))
        records = self._records.pop(other, None)
        if records is None:
            return
        moved = split_records(records)
        self._keys_by_day.setdefault(day_of_ms(received_of(moved[0])), []).append(key)
        known = self._records.get(key)
        if known is None:
            self._records[key] = records
            return
        there = split_records(known)
        counted = {group[-1] for each in (moved, there) for group in split_groups(each, self._span_ms)}
        self.replaced -= len(moved) + len(there) - len(counted)
        self._records[key] = b"".join(sorted([*moved, *there]))
        self._settle(key, counted)

    def _settle(self, key: bytes, counted: set[bytes]) -> None:
        """Count what counts of ``key``'s records, where ``counted`` are those that did."""
        after = split_records(self._records[key])
        counts = {group[-1] for group in split_groups(after, self._span_ms)}
        for gone in sorted(counted - counts):
            self._uncount(unpack(gone, key))
        for come in sorted(counts - counted):
            self._count(unpack(come, key))
        self.replaced += len(after) - len(counts)

    def _change(self, key: bytes, before: list[bytes], after: list[bytes]) -> None:
        counted = {group[-1] for group in split_groups(before, self._span_ms)}
        counts = {group[-1] for group in split_groups(after, self._span_ms)}
        if after:
            self._records[key] = b"".join(after)
        else:
            del self._records[key]
        for gone in sorted(counted - counts):
            self._uncount(unpack(gone, key))
        for come in sorted(counts - counted):
            self._count(unpack(come, key))
        self.replaced += (len(after) - len(counts)) - (len(before) - len(counted))

    def forget_single(self, before_day: int) -> None:
        """Forget pairs with one rating that were first received before the day ``before_day``."""
        self._aliases.forget(before_day, self._records)
        before = _receipt(before_day * DAY_MS - SHANGHAI_MS)
        leave, revised = self._records.pop, self._revised
        for day in [day for day in self._keys_by_day if day < before_day]:
            for key in self._keys_by_day.pop(day):
                records = leave(key, None)
                if records is None or (records < before and is_single(records) and key not in revised):
                    continue
                self._records[key] = records
                if is_single(records) and key not in revised:  # the one that it replaced was taken away
                    self._keys_by_day.setdefault(day_of_ms(received_of(records)), []).append(key)

    def forget(self, before_day: int) -> None:
        """Forget what was last received before the day ``before_day``; looks at everything."""
        for key in [
            key
            for key, records in self._records.items()
            if day_of_ms(received_of(split_records(records)[-1])) < before_day
        ]:
            del self._records[key]
        self._revised = {key: day for key, day in self._revised.items() if day >= before_day}

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers and bytes; `load` takes it back."""
        return {
            "records": self._records,
            "keys": {day: b"".join(keys) for day, keys in self._keys_by_day.items()},
            "revised": self._revised,
            "replaced": self.replaced,
            "aliases": self._aliases.dump(),
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
        """
        self._records = dumped["records"]
        known = dict(zip(self._records, self._records, strict=True))  # so that each key is kept once
        self._keys_by_day = {}
        for day, keys in dumped["keys"].items():
            found = (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES))
            self._keys_by_day[day] = [known.get(key, key) for key in found]
        self._revised = dumped["revised"]
        self._aliases = Aliases.load(dumped.get("aliases", {}))  # snapshots from before there were any
        self.replaced = dumped["replaced"]


def _place(rating: Rating) -> bytes:
    """How its record begins."""
    return _receipt(rating.received_ms) + rating.event_id


def _receipt(received_ms: int) -> bytes:
    """How the records of that receipt begin."""
    return received_ms.to_bytes(8, "big", signed=True)
