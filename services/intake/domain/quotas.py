"""How many ratings come from one place: counts over sliding windows, within bounded memory.

A sliding window is two fixed ones: what the one before counted, by the part of it that is still in sight,
plus what this one has counted. That needs two numbers for each place, and is off only as far as the window
before was uneven.

Places are kept as keyed hashes, so that the counts may be shown to other replicas. Each replica tells the
others its own counts, from a sixteenth of the limit on, and adds theirs to its own. So several replicas
together let through at most a sixteenth more for each of them, and what comes in while they are telling.
"""

import hashlib
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.rules.intake_policy import Quota, QuotaKind

_HASH_BYTES: Final = 10
_TOLD_FROM: Final = 16
"""The part of a limit from which a count is told to others."""
_MOST_TOLD: Final = 2_000
"""Most places of one kind that are told: the busiest ones, so that a report fits into a message."""

Counts = dict[bytes, int]
Report = Mapping[str, Mapping[int, Mapping[bytes, int]]]
"""Counts by kind and length of the window, by the window's number, by place."""


@dataclass(frozen=True, slots=True)
class Excess:
    """What a rating would exceed, and in how many seconds it would not any more."""

    kind: QuotaKind
    quota: Quota
    seconds: float


class Window:
    """The counts of one kind of place over one length of window."""

    __slots__ = (
        "before", "index", "kind", "least", "most", "name", "now", "others_before", "others_now", "reports",
        "seconds",
    )  # fmt: skip

    def __init__(self, kind: QuotaKind, seconds: int, most: int) -> None:
        """Count nothing yet, and never more than `most` places at a time."""
        self.kind = kind
        self.name = f"{kind.value}/{seconds}"
        self.seconds = seconds
        self.most = most
        self.least = 0
        self.index = 0
        self.now: Counts = {}
        self.before: Counts = {}
        self.others_now: Counts = {}
        self.others_before: Counts = {}
        self.reports: dict[str, Mapping[int, Mapping[bytes, int]]] = {}

    def turn(self, index: int) -> None:
        """Go on to the window with number `index`; a clock that went back changes nothing."""
        if index <= self.index:
            return
        self.before = self.now if index == self.index + 1 else {}
        self.now = {}
        self.index = index
        self.add_up()

    def add_up(self) -> None:
        """Add up what other replicas have told of the two windows in sight; forget the rest."""
        sums: tuple[Counts, Counts] = ({}, {})
        for replica, report in list(self.reports.items()):
            if not any(index >= self.index - 1 for index in report):
                del self.reports[replica]
            for back, total in enumerate(sums):
                for place, count in report.get(self.index - back, {}).items():
                    total[place] = total.get(place, 0) + count
        self.others_now, self.others_before = sums

    def wait(self, place: bytes, limit: int, moment: float) -> float:
        """In how many seconds one more from `place` is within `limit`; 0: now."""
        index, into = divmod(moment, self.seconds)
        if index > self.index:
            self.turn(int(index))
        elif index < self.index:
            into = 0.0
        now, before = self.now.get(place, 0), self.before.get(place, 0)
        if self.others_now:
            now += self.others_now.get(place, 0)
        if self.others_before:
            before += self.others_before.get(place, 0)
        if now + before * (1 - into / self.seconds) + 1 <= limit:
            return 0.0
        if now < limit:  # what the window before counted must move out of sight
            return max(0.001, self.seconds * (1 - (limit - 1 - now) / before) - into)
        return self.seconds - into + max(0.0, self.seconds * (1 - (limit - 1) / now))

    def count(self, place: bytes, change: int) -> None:
        """Count `change` more from `place`."""
        now = self.now
        found = now.get(place)
        if found is None:
            if change < 0:
                return
            if len(now) >= self.most:
                self.now = now = dict(_busiest(now, self.most // 2))
            found = 0
        now[place] = max(0, found + change)

    def told(self) -> dict[int, Counts]:
        """What other replicas should know."""
        windows = ((self.index, self.now), (self.index - 1, self.before))
        found: dict[int, Counts] = {}
        for index, counts in windows:
            busy = {place: count for place, count in counts.items() if count >= self.least}
            if busy:
                found[index] = dict(_busiest(busy, _MOST_TOLD)) if len(busy) > _MOST_TOLD else busy
        return found


def _busiest(counts: Counts, most: int) -> Iterable[tuple[bytes, int]]:
    return heapq.nlargest(most, counts.items(), key=lambda entry: entry[1])


class Claim(NamedTuple):
    """A place that a rating comes from, see `QuotaBook.place`, where it is counted, and how many may come."""

    window: Window
    quota: Quota
    place: bytes


Taken = list[tuple[Window, bytes]]
"""What a rating was counted under."""


class QuotaBook:
    """Counts by place; of `most` places of a kind in one window at a time, the busiest then."""

    def __init__(self, key: bytes, *, most: int) -> None:
        """Hash places under `key`, the same on all replicas."""
        self._hash = hashlib.blake2b(key=hashlib.sha256(key).digest(), digest_size=_HASH_BYTES)
        self._most = most
        self._windows: dict[str, Window] = {}
        self._reports: dict[str, Report] = {}

    def window(self, kind: QuotaKind, quota: Quota) -> Window:
        """Where places of `kind` are counted for `quota`; quotas of the same length share it."""
        made = Window(kind, quota.seconds, self._most)
        window = self._windows.setdefault(made.name, made)
        least = max(2, quota.limit // _TOLD_FROM)
        window.least = min(window.least, least) if window.least else least
        if window is made:
            for replica, report in self._reports.items():
                window.reports[replica] = report.get(window.name, {})
        return window

    def place(self, name: str) -> bytes:
        """What the place of that name is counted under."""
        hashed = self._hash.copy()
        hashed.update(name.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def take(self, claims: Iterable[tuple[Window, Quota, bytes]], moment: float) -> Excess | Taken:
        """Count one rating under all of `claims`, or say what it would exceed and count nothing.

        Args:
            claims: each a `Claim`, or the like.
            moment: Unix time in seconds.

        Returns:
            What to hand to `give_back` if the rating turns out not to count.
        """
        taken: Taken = []
        for window, quota, place in claims:
            wait = window.wait(place, quota.limit, moment)
            if wait:
                return Excess(window.kind, quota, wait)
            taken.append((window, place))
        for window, place in taken:
            window.count(place, 1)
        return taken

    @staticmethod
    def give_back(taken: Taken) -> None:
        """Uncount a rating that was a repeat, or was not stored."""
        for window, place in taken:
            window.count(place, -1)

    @property
    def places(self) -> int:
        """How many places are counted at present."""
        return sum(len(window.now) + len(window.before) for window in self._windows.values())

    def report(self, moment: float) -> dict[str, dict[int, Counts]]:
        """The counts that other replicas should know."""
        found: dict[str, dict[int, Counts]] = {}
        for window in self._windows.values():
            window.turn(int(moment // window.seconds))
            if told := window.told():
                found[window.name] = told
        return found

    def learn(self, replica: str, report: Report) -> None:
        """Take down what another replica has counted; it replaces what that told before."""
        self._reports[replica] = report
        for window in self._windows.values():
            window.reports[replica] = report.get(window.name, {})
            window.add_up()

    def forget(self, moment: float) -> None:
        """Drop the reports of replicas that have told nothing of the windows in sight."""
        for replica, report in list(self._reports.items()):
            if not any(
                index >= moment // int(name.rpartition("/")[2]) - 1
                for name, windows in report.items()
                for index in windows
            ):
                del self._reports[replica]
