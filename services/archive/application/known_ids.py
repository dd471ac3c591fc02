"""Tells which event ids are surely new to the log, so that the store is asked about the others only.

A repeat has to be found however old its original is, and nearly every id is new: to look up each of them cost
as much of the store's time as two indexes. A Bloom filter has no false negatives: an id that it does not know
is new, one that it seems to know is looked up. It knows all ids below ``covered``, read from the log itself
in the background; until that is all of them, everything is looked up. Beyond its size it only errs more
often, which costs look-ups and is never wrong. Its bits are touched all over by a few thousand ids, so it
begins with a small part, and has the large one once that is full.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

import numpy as np
import structlog

from services.archive.application.ports import EntryLog
from shared.kernel.errors import TransientError

log = structlog.get_logger(__name__)

BITS: Final = 1 << 27
"""16 MiB: 0.3 % of new ids are looked up in a log of 10 million, 6 % at 30 million."""
FIRST_PART: Final = 1 / 16
"""1 MiB: good for the first 640,000 ids."""
BITS_AN_ID: Final = 13
"""From so many bits for each id on, 0.3 % of new ids seem known."""
PROBES: Final = 6
PART: Final = 5_000
PAUSE_S: Final = 0.02
"""Between two parts: what is archived now comes first."""
IDLE_S: Final = 1.0

_Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
_Bits = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class KnownIds:
    """The ids of one log, as the sequencer needs them; only one process at a time adds to a log."""

    def __init__(self, entry_log: EntryLog, bits: int = BITS) -> None:
        """Know nothing yet of ``entry_log``; ``bits`` must be a power of two."""
        self._log = entry_log
        self._most_bits = bits
        self._parts = [_part(int(bits * FIRST_PART))]
        self._added = 0
        self._covered = 0
        self._last: str | None = None
        self._size: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every id of the log is known."""
        return self._size is not None and self._covered >= self._size

    async def begin(self, size: int) -> None:
        """Go on with a log of ``size`` entries; what it has beyond the ids known is read in the background.

        Another process may have added to it, and somebody may have put another database in its place.

        Raises:
            LogUnavailableError: the store does not answer.
        """
        self._size = None
        covered = self._covered
        if covered and (covered > size or await self._last_of(covered) != self._last):
            log.warning("known_ids_forgotten", covered=covered, size=size)
            self._parts = [_part(int(self._most_bits * FIRST_PART))]
            self._added, self._covered, self._last = 0, 0, None
        self._size = size

    def added(self, size: int, last: str | None) -> None:
        """The log has ``size`` entries now, written by this process; ``last`` is the id of the newest."""
        if self.complete:
            self._covered = self._size = size
            self._last = last
        elif self._size is not None:
            self._size = size

    async def indexes_of(self, ids: Collection[str]) -> dict[str, int]:
        """Index of the first entry of each of ``ids`` that the log has; knows ``ids`` from now on.

        Raises:
            LogUnavailableError: the store does not answer.
        """
        hashes = self._hash(ids)
        asked = [each for each, seems_known in zip(ids, self._seem_known(hashes), strict=True) if seems_known]
        known = await self._log.indexes_of(asked if self.complete else ids) if ids and asked else {}
        self._add(hashes)
        return known

    async def run(self) -> None:
        """Read the log's ids until cancelled."""
        while True:
            try:
                await asyncio.sleep(PAUSE_S if await self._read_part() else IDLE_S)
            except TransientError:  # said by whoever archives
                await asyncio.sleep(IDLE_S)

    async def _read_part(self) -> bool:
        """Read some more; whether there was anything to read."""
        size, first = self._size, self._covered
        if size is None or first >= size:
            return False
        end = min(size, first + PART)
        ids = await self._log.event_ids(first, end)
        if self._covered != first or self._size is None or len(ids) != end - first:
            return False  # the log was taken up anew meanwhile, or is being changed: it is for others to say
        self._add(self._hash([each for each in ids if each is not None]))
        self._covered, self._last = end, ids[-1]
        if self.complete:
            log.info("known_ids_complete", size=end)
        return True

    async def _last_of(self, covered: int) -> str | None:
        ids = await self._log.event_ids(covered - 1, covered)
        return ids[0] if ids else ""

    def _hash(self, ids: Iterable[str]) -> _Hashes:
        """Places of each id's bits, a row each. Python's hash is keyed anew in each process: nobody aims."""
        first = np.array([hash(each) for each in ids], dtype=np.int64).astype(np.uint64)
        second = (first * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) | np.uint64(1)
        steps = np.arange(PROBES, dtype=np.uint64)
        places: _Hashes = first[:, None] + second[:, None] * steps[None, :]
        return places

    def _seem_known(self, places: _Hashes) -> list[bool]:
        if not self.complete:
            return [True] * len(places)
        seem_known = np.zeros(len(places), dtype=np.bool_)
        for part in self._parts:
            octets, bits = _where(places, part)
            seem_known |= (part[octets] >> bits & np.uint8(1)).all(axis=1)
        answers: list[bool] = seem_known.tolist()
        return answers

    def _add(self, places: _Hashes) -> None:
        if len(self._parts) == 1 and self._added + len(places) > len(self._parts[0]) * 8 // BITS_AN_ID:
            self._parts.append(_part(self._most_bits))
        self._added += len(places)
        part = self._parts[-1]
        octets, bits = _where(places.ravel(), part)
        np.bitwise_or.at(part, octets, np.left_shift(np.uint8(1), bits))


def _part(bits: int) -> _Bits:
    return np.zeros(bits // 8, dtype=np.uint8)


def _where(places: _Hashes, part: _Bits) -> tuple[_Hashes, _Bits]:
    """In which octets of a part the places are, and at which bits of them."""
    here = places & np.uint64(len(part) * 8 - 1)
    return here >> np.uint64(3), (here & np.uint64(7)).astype(np.uint8)
