"""Clusters 聚集: ratings of one unit that share a fingerprint within a quarter of an hour weigh less.

A cluster is one unit, one exact fingerprint (device, address or text) and one fixed bin of 15 minutes of
event time. Its members weigh 1 + ln(size) ratings together, so each has the share (1 + ln(size))/size, in
thousandths, rounded down; a rating in several clusters has the smallest of its shares. Taking a member away
gives what a fresh fold without it gives.

The cost stays bounded however large a cluster grows: all members are looked at again only when the share
changes, and beyond some 70 members it rarely does (145 times in all; at 10,500 members it reaches zero).
"""

import math
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final

from services.scoring.domain.days import day_of_ms
from services.scoring.domain.ratings import (
    Rating,
    event_id_of,
    fingerprints_of,
    pack,
    split_records,
    unpack,
)

BIN_MS: Final = 15 * 60 * 1000
MILLI: Final = 1000
_TABLE: Final = 10_500

_PLACE: Final = Struct(">BII")


def cluster_share_milli(size: int) -> int:
    """Share of each member of a cluster of ``size``: (1 + ln size)/size in thousandths, rounded down."""
    return math.floor(MILLI * (1 + math.log(size)) / size)


_SHARES: Final = (MILLI, *(cluster_share_milli(size) for size in range(1, _TABLE)))


def _share(size: int) -> int:
    return _SHARES[size] if size < _TABLE else cluster_share_milli(size)


Recount = Callable[[Rating, int, int], None]
"""Told that a counted rating weighs something else: rating, old and new weight in thousandths."""

_Cluster = bytes | dict[bytes, bytes]
"""Packed ratings: the only one, or all by event id. Bytes: a million objects keep the collector busy."""


def _unpack(record: bytes) -> Rating:
    return unpack(record, None)


def keys_of(rating: Rating) -> list[bytes]:
    """The clusters that a rating belongs to: source, unit, bin and fingerprint as bytes."""
    place = _place(rating)
    return [place + each for each in rating.fingerprints]


def _place(rating: Rating) -> bytes:
    return _PLACE.pack(rating.source, rating.unit, rating.occurred_ms // BIN_MS)


class Clusters:
    """All clusters, and through them the weights of their members.

    Memory: a cluster of one costs about 200 bytes until :meth:`put_away`, which forgets it: nothing can join
    it any more. Larger ones, and those that a correction has touched, are kept in 60 bytes for each member,
    so that a member can be taken away exactly however late that is decided.
    """

    def __init__(self, recount: Recount) -> None:
        """``recount`` is told of every change of weight of a rating that is in already."""
        self._recount = recount
        self._clusters: dict[bytes, _Cluster] = {}
        self._keys_by_day: dict[int, list[bytes]] = {}
        self._revised: set[bytes] = set()
        self._away: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many clusters are in memory."""
        return len(self._clusters)

    def add(self, rating: Rating, day: int) -> int:
        """Take in a rating that happened on ``day``; its weight in thousandths. The others are recounted."""
        if day in self._away:
            self._take_out(day)
        clusters, record, smallest = self._clusters, pack(rating), MILLI
        keys = self._keys_by_day.get(day)
        if keys is None:
            keys = self._keys_by_day[day] = []
        place = _place(rating)
        for each in rating.fingerprints:
            key = place + each  # as `keys_of`
            known = clusters.setdefault(key, record)
            if known is record:
                keys.append(key)
                continue
            if isinstance(known, bytes):
                known = clusters[key] = {event_id_of(known): known}
            known[rating.event_id] = record
            size = len(known)
            smallest = min(smallest, _share(size))
            if _share(size) != _share(size - 1):
                self._weigh_again(key, known, size - 1, but=rating.event_id)
        return rating.weight_milli * smallest // MILLI

    def remove(self, rating: Rating) -> int:
        """Take a rating out that was added; returns what it weighed. The others are recounted.

        One that has been forgotten was alone in its clusters, and weighed its full weight.
        """
        day = day_of_ms(rating.occurred_ms)
        if day in self._away:
            self._take_out(day)
        smallest, event_id = MILLI, rating.event_id
        keys = keys_of(rating)
        for key in keys:
            known = self._clusters.get(key)
            if isinstance(known, dict) and event_id in known:
                smallest = min(smallest, _share(len(known)))
        for key in keys:
            self._revised.add(key)
            self._leave(key, event_id, day)
        return rating.weight_milli * smallest // MILLI

    def _leave(self, key: bytes, event_id: bytes, day: int) -> None:
        known = self._clusters.get(key)
        if known is None:
            self._keys_by_day.setdefault(day, []).append(key)  # so that its mark is put away in time
        elif isinstance(known, bytes):
            if event_id_of(known) == event_id:
                del self._clusters[key]
        elif known.pop(event_id, None) is not None:
            size = len(known)
            if size == 1:
                (self._clusters[key],) = known.values()
            if _share(size) != _share(size + 1):
                self._weigh_again(key, known, size + 1)

    def _weigh_again(
        self, key: bytes, cluster: dict[bytes, bytes], size_before: int, but: bytes = b""
    ) -> None:
        """Recount the members of a cluster that had ``size_before`` members."""
        before, now = _share(size_before), _share(len(cluster))
        for event_id, record in cluster.items():
            if event_id == but:
                continue
            rating = _unpack(record)
            others = min((self._share_in(other) for other in keys_of(rating) if other != key), default=MILLI)
            old = rating.weight_milli * min(before, others) // MILLI
            new = rating.weight_milli * min(now, others) // MILLI
            if new != old:
                self._recount(rating, old, new)

    def _share_in(self, key: bytes) -> int:
        known = self._clusters[key]
        return MILLI if isinstance(known, bytes) else _share(len(known))

    def put_away(self, before_day: int) -> None:
        """Forget clusters of one, and pack the others, of bins before the day ``before_day``."""
        for day in [day for day in self._keys_by_day if day < before_day]:
            kept: dict[bytes, bytes] = {}
            leave, revised = self._clusters.pop, self._revised
            for key in self._keys_by_day.pop(day):
                known = leave(key, None)
                if isinstance(known, dict):
                    kept.update(known)
                elif known is not None and key in revised:
                    kept[event_id_of(known)] = known
                if revised:
                    revised.discard(key)
            if kept:
                self._away[day] = b"".join(kept.values())

    def _take_out(self, day: int) -> None:
        """Bring the packed clusters of a day back; every weight comes out as it was."""
        self._revised.update(self._bring_back(self._away.pop(day)))

    def _bring_back(self, records: bytes) -> list[bytes]:
        """Put packed members into their clusters again; the keys of those."""
        found: list[bytes] = []
        clusters, days = self._clusters, self._keys_by_day
        for record in split_records(records):
            unit, occurred_ms, source, fingerprints = fingerprints_of(record)
            # As `keys_of`, without making a rating: a start brings back a million.
            place = _PLACE.pack(source, unit, occurred_ms // BIN_MS)
            for fingerprint in fingerprints:
                key = place + fingerprint
                found.append(key)
                known = clusters.get(key)
                if known is None:
                    clusters[key] = record
                    day = day_of_ms(occurred_ms)
                    keys = days.get(day)
                    if keys is None:
                        keys = days[day] = []
                    keys.append(key)
                elif isinstance(known, bytes):
                    clusters[key] = {event_id_of(known): known, event_id_of(record): record}
                else:
                    known[event_id_of(record)] = record
        return found

    def forget(self, before_day: int) -> None:
        """Drop what was put away of days before the day ``before_day``: nothing refers to it any more."""
        self._away = {day: records for day, records in self._away.items() if day >= before_day}

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers and bytes; `load` takes it back."""
        members: dict[bytes, bytes] = {}
        for known in self._clusters.values():
            if isinstance(known, bytes):
                members[event_id_of(known)] = known
            else:
                members.update(known)
        return {
            "members": b"".join(members.values()),
            "revised": list(self._revised),
            "empty": {
                day: [key for key in keys if key not in self._clusters]
                for day, keys in self._keys_by_day.items()
                if any(key not in self._clusters for key in keys)
            },
            "away": self._away,
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Take up what `dump` gave; every weight comes out as it was.

        Raises:
            KeyError: it is something else.
        """
        self._bring_back(dumped["members"])
        self._revised = set(dumped["revised"])
        for day, keys in dumped["empty"].items():
            self._keys_by_day.setdefault(day, []).extend(keys)
        self._away = dumped["away"]
