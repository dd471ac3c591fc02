"""One service, one rating: of a citizen's ratings of one transaction, the last one within 30 days counts."""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.scoring.domain.days import DAY_MS, day_of_ms
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
KEY_BYTES: Final = 16
"""Length of the key of a pair."""


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
        self.replaced = 0
        """Ratings that a later one stands for."""

    def __len__(self) -> int:
        """How many pairs are in memory."""
        return len(self._records)

    def add(self, rating: Rating, key: bytes) -> None:
        """Take in a rating of the pair ``key``; it counts unless a later one of its group is there."""
        record = pack(rating)
        known = self._records.get(key)
        if known is None:
            self._records[key] = record
            day = day_of_ms(rating.received_ms)
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
        self._revised[key] = day_of_ms(rating.received_ms)
        before = split_records(self._records.get(key, b""))
        at = bisect_left(before, _place(rating))
        if at == len(before) or event_id_of(before[at]) != rating.event_id:
            self._keys_by_day.setdefault(day_of_ms(rating.received_ms), []).append(key)
            self._uncount(rating)
            return
        self._change(key, before, before[:at] + before[at + 1 :])

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
        for day in [day for day in self._keys_by_day if day < before_day]:
            for key in self._keys_by_day.pop(day):
                records = self._records.get(key)
                if records is None or key in self._revised or not is_single(records):
                    continue
                received_day = day_of_ms(received_of(records))
                if received_day < before_day:
                    del self._records[key]
                else:  # the one that it replaced was taken away
                    self._keys_by_day.setdefault(received_day, []).append(key)

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
        self.replaced = dumped["replaced"]


def _place(rating: Rating) -> bytes:
    """How its record begins."""
    return rating.received_ms.to_bytes(8, "big", signed=True) + rating.event_id
