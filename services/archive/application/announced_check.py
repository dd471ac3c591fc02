"""Compares entries and stored checkpoints with what the log itself announced and published in AUDIT."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from services.archive.application.notary import SEQUENCED, SIGNED
from services.archive.application.ports import TreeStore
from services.archive.domain.entries import Entry, Kind, Stored
from shared.events.audit import BatchSequenced, CheckpointSigned
from shared.events.envelope import InvalidEventError, parse_envelope

Report = Callable[[str, str, str], None]

Place = tuple[str, int]
"""Stream and sequence of an entry."""
HOLE: Place = ("nothing", 0)


class AnnouncedCheck:
    """Feed it every entry in the order of the index.

    Announcements tell an order that no longer fits its streams from one that never did: two entries of
    different streams that changed places leave every stream in order. Published checkpoints tell of one that
    is gone, or was signed anew. Keeps the places of the entries since the last announcement only.
    """

    def __init__(self, store: TreeStore, report: Report) -> None:
        """Tell ``report`` of every finding: where, what, what was expected."""
        self._store = store
        self._report = report
        self._first = 0
        self._places: list[Place] = []

    async def feed(self, part: Sequence[Stored]) -> None:
        """Compare some more entries."""
        for stored in part:
            end = self._first + len(self._places)
            self._places += [HOLE] * (stored.index - end)
            entry = stored.entry
            self._places.append(HOLE if entry is None else (entry.leaf.stream, entry.leaf.sequence))
            if entry is not None and entry.leaf.kind is Kind.EVENT:
                await self._check(entry)

    async def _check(self, entry: Entry) -> None:
        attributes = entry.leaf.attributes
        raw = entry.envelope or b""
        try:
            if attributes is None:
                return
            if attributes.type == SEQUENCED.event_type:
                self._check_order(entry.index, parse_envelope(SEQUENCED.envelope, raw).data)
            elif attributes.type == SIGNED.event_type:
                await self._check_published(entry.index, parse_envelope(SIGNED.envelope, raw).data)
        except InvalidEventError as error:
            self._report(f"index {entry.index}", str(error), "what the log said of itself")

    def _check_order(self, index: int, said: BatchSequenced) -> None:
        announced = [
            (run.stream, sequence) for run in said.runs for sequence in range(run.first, run.last + 1)
        ]
        skipped = max(0, self._first - said.first_index)
        start = max(0, said.first_index - self._first)
        there = self._places[start : max(0, said.size - self._first)]
        pairs = zip_longest(announced[skipped:], there, fillvalue=HOLE)
        for place, (due, found) in enumerate(pairs, max(said.first_index, self._first)):
            if due != found:
                self._report(
                    f"index {place}",
                    _named(found),
                    f"{_named(due)}, as index {index} announced",
                )
                break
        del self._places[:start]
        self._first += start

    async def _check_published(self, index: int, said: CheckpointSigned) -> None:
        head = await self._store.checkpoint(said.size)
        where = f"checkpoint {said.size}"
        if head is None:
            self._report(where, "missing", f"the one that was published, see index {index}")
        elif head.note != said.note:
            self._report(where, f"root {head.root.hex()}", f"the note that was published, see index {index}")


def _named(place: Place) -> str:
    """A message as a finding names it."""
    return place[0] if place == HOLE else f"{place[0]} sequence {place[1]}"
