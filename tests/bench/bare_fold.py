"""What the baselines of the fold share: a lean parse, and a plain rolling tally in Python.

Less than scoring does, so that the comparison flatters nobody but the baselines: no check of lateness, no
replacement of a citizen's earlier rating, no clusters, sources, dimensions, corrections or calendar
periods.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from shared.kernel.grades import Verification
from shared.rules.loading import load_pack
from tests.bench.fold_events import LAST_DAY

_PACK: Final = load_pack(None, LAST_DAY)
WINDOWS: Final = _PACK.windows.days
_WEIGHTS: Final = {str(kind): milli for kind, milli in _PACK.weights_milli.items()}
_UNIX_DAY: Final = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - a calendar day, not a moment
_LAST: Final = LAST_DAY.toordinal() - _UNIX_DAY
_SHANGHAI_S: Final = 8 * 3600
_DAY_S: Final = 86_400
_GOOD_FROM: Final = 3

RATINGS, WEIGHT, GOOD = range(3)
"""Columns of a tally; grade g's count is column ``GOOD + g``."""
COLUMNS: Final = GOOD + 6


class BareData(msgspec.Struct, gc=False):
    """What a plain count needs of a rating."""

    unit_id: str
    grade: Annotated[int, msgspec.Meta(ge=1, le=5)]
    verification: Literal["transaction", "real_name", "onsite", "anonymous"]


class BareEvent(msgspec.Struct, gc=False):
    """What a plain count needs of the envelope."""

    id: str
    time: datetime
    receivedat: datetime
    data: BareData


decode: Final[Callable[[bytes], BareEvent]] = msgspec.json.Decoder(BareEvent).decode


def day_of(event: BareEvent) -> int:
    """The business day on which it happened, as a number."""
    return int(event.time.timestamp() + _SHANGHAI_S) // _DAY_S


def weight_of(event: BareEvent) -> int:
    """What it weighs by its verification, in thousandths."""
    return _WEIGHTS[event.data.verification]


def is_good(event: BareEvent) -> bool:
    """Whether its grade is one of the good three."""
    return event.data.grade >= _GOOD_FROM


class Tally:
    """One unit: daily buckets, the sums of all windows, and the ids that were seen."""

    __slots__ = ("days", "seen", "windows")

    def __init__(self) -> None:
        """Start empty."""
        self.days: dict[int, list[int]] = {}
        self.seen: set[str] = set()
        self.windows = [[0, 0, 0] for _ in WINDOWS]

    def add(self, event: BareEvent) -> bool:
        """Count it in its day and in the windows that its day is in; False for a repeat."""
        if event.id in self.seen:
            return False
        self.seen.add(event.id)
        day, weight, good = day_of(event), weight_of(event), is_good(event)
        bucket = self.days.get(day)
        if bucket is None:
            bucket = self.days[day] = [0] * COLUMNS
        bucket[RATINGS] += 1
        bucket[WEIGHT] += weight
        bucket[GOOD + event.data.grade] += 1
        if good:
            bucket[GOOD] += weight
        age = _LAST - day
        for length, sums in zip(WINDOWS, self.windows, strict=True):
            if age < length:
                sums[RATINGS] += 1
                sums[WEIGHT] += weight
                if good:
                    sums[GOOD] += weight
        return True

    def scores(self) -> tuple[float, ...]:
        """Score in each window: shrunk towards the rule pack's prior."""
        prior = _PACK.prior
        return tuple(
            (prior.mu * prior.strength + sums[GOOD] / 1000) / (prior.strength + sums[WEIGHT] / 1000)
            for sums in self.windows
        )

    def ratings(self) -> tuple[int, ...]:
        """Plain count in each window."""
        return tuple(sums[RATINGS] for sums in self.windows)


assert set(_WEIGHTS) == {str(kind) for kind in Verification}
