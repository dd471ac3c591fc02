"""Replay 重放: fold the stream once and write down the lists at any number of places on the way."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, takewhile
from operator import attrgetter
from typing import Final

from services.scoring.application.cases import CaseLog, CaseParser
from services.scoring.application.fold import SUBJECT_PREFIX, Fold, Message, OnInvalid
from services.scoring.domain.lists import ListKey, RankedList
from services.scoring.domain.spans import Span
from shared.events import InvalidEventError
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

BATCH: Final = 5_000
"""Messages folded with one call: each call has a fixed cost."""
_PLACE: Final = attrgetter("position", "as_of", "cases")


@dataclass(frozen=True, slots=True)
class Stop:
    """A place where lists are wanted.

    Attributes:
        position: last sequence of FEEDBACK that they take into account.
        as_of: the day that their windows end on.
        rules: the rule pack to apply.
        keys: the lists to keep; None: all.
        cases: last sequence of CASES that they take into account.
    """

    position: int
    as_of: date
    rules: RulePack
    keys: frozenset[str] | None = None
    cases: int = 0


class Replay:
    """Folds messages that are handed in, in the order of the stream, and keeps the lists at every stop.

    Stops of one rule pack share a fold as long as neither days nor positions of CASES go back from one to the
    next, which they never do as one instance publishes them. Cases are handed in before ratings. Memory: the
    folds, the lists that are wanted, and the messages of CASES in short.
    """

    def __init__(self, registry: UnitRegistry, stops: Sequence[Stop]) -> None:
        """Prepare to stop at ``stops``, in any order."""
        self._found: list[dict[str, RankedList]] = [{} for _ in stops]
        self._lanes: list[_Lane] = []
        self.invalid = 0
        """Messages that are no valid feedback; the live fold left them out too, they are dead letters."""
        self.first = 0
        """Sequence of the first message; 0: none yet."""
        self.position = 0
        """Sequence of the last message handed in; 0: none yet."""
        self.ratings = 0
        """How many messages on the subjects of ratings lie at or before the last stop."""
        self.read = 0
        """How many were handed in."""
        self._cases = CaseLog(CaseParser({unit.unit_id: place for place, unit in enumerate(registry)}))
        order = sorted(
            range(len(stops)),
            key=lambda place: (stops[place].position, stops[place].as_of, stops[place].cases),
        )
        for place in order:
            self._lane_for(registry, stops[place]).stops.append((stops[place], self._found[place]))
        self.end = max((stop.position for stop in stops), default=0)
        """The last position that matters."""
        self.cases_end = max((stop.cases for stop in stops), default=0)
        """The last position of CASES that matters; 0: cases do not."""

    def _lane_for(self, registry: UnitRegistry, stop: Stop) -> "_Lane":
        for lane in self._lanes:
            last = lane.stops[-1][0]
            goes_on = last.as_of <= stop.as_of and last.cases <= stop.cases
            if last.rules.hash == stop.rules.hash and goes_on:
                return lane
        self._lanes.append(_Lane(Fold(registry, stop.rules, stop.as_of), self._cases))
        return self._lanes[-1]

    @property
    def done(self) -> bool:
        """Whether nothing that is still to come can matter."""
        return self.position >= self.end

    @property
    def cases_position(self) -> int:
        """Sequence of the last message of CASES that was handed in; 0: none yet."""
        return self._cases.position

    @property
    def cases_invalid(self) -> int:
        """Messages of CASES that are no valid events; the live fold left them out too."""
        return self._cases.invalid

    def take_cases(self, messages: Sequence[Message]) -> None:
        """Keep the next messages of CASES, none left out; all of them before the first of :meth:`take`."""
        self._cases.add(messages)

    def take(self, messages: Sequence[Message]) -> None:
        """Fold the next messages, none left out; what lies behind the last stop is not looked at."""
        if not messages:
            return
        self.first = self.first or messages[0].sequence
        self.position = messages[-1].sequence
        ratings = [each.sequence for each in messages if each.subject.startswith(SUBJECT_PREFIX)]
        self.read += len(ratings)
        self.ratings += sum(sequence <= self.end for sequence in ratings)
        invalid: set[int] = set()

        def note(message: Message, _error: InvalidEventError) -> None:
            invalid.add(message.sequence)

        for lane in self._lanes:
            lane.take(messages, note)
        self.invalid += len(invalid)

    def finish(self) -> list[dict[str, RankedList]]:
        """The lists by key, for each stop in the order given; a key that the rules don't know is missing.

        A stop that the messages did not reach gives what there is; compare `position` with `end`.
        """
        for lane in self._lanes:
            lane.collect_all()
        return self._found


class _Lane:
    """One fold and the stops on its way that are still to come."""

    def __init__(self, fold: Fold, cases: CaseLog) -> None:
        self._fold = fold
        self._cases = cases
        self.stops: list[tuple[Stop, dict[str, RankedList]]] = []

    def take(self, messages: Sequence[Message], note: OnInvalid) -> None:
        while self.stops and messages[-1].sequence >= self.stops[0][0].position:
            cut = bisect_right(messages, self.stops[0][0].position, key=attrgetter("sequence"))
            self._fold.take(messages[:cut], note)
            self._collect()
            messages = messages[cut:]
            if not messages:
                return
        if self.stops:
            self._fold.take(messages, note)

    def _collect(self) -> None:
        """Keep the lists of every stop at the positions and day of the first one."""
        place = _PLACE(self.stops[0][0])
        self._fold.advance(self.stops[0][0].as_of)
        self._cases.fold_into(self._fold, self.stops[0][0].cases)
        here = list(takewhile(lambda each: _PLACE(each[0]) == place, self.stops))
        lists = self._fold.lists(_spans_of(stop.keys for stop, _ in here))
        for stop, found in here:
            found.update((key, each) for key, each in lists.items() if stop.keys is None or key in stop.keys)
        del self.stops[: len(here)]

    def collect_all(self) -> None:
        while self.stops:
            self._collect()


def _spans_of(wanted: Iterable[frozenset[str] | None]) -> set[Span] | None:
    """The spans of all lists that are wanted; None: everything is."""
    spans: set[Span] = set()
    for keys in wanted:
        if keys is None:
            return None
        spans.update(ListKey.parse(key).span for key in keys)
    return spans


def in_batches(messages: Iterable[Message], size: int = BATCH) -> Iterator[Sequence[Message]]:
    """The messages in their order, ``size`` at a time."""
    iterator = iter(messages)
    while batch := tuple(islice(iterator, size)):
        yield batch
