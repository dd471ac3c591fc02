"""Integrity signals 异常信号: ratings that look made up. Observations for people to look into, no verdicts.

Pure functions of the statistics, the roster and the rule pack, each vectorised over all units of a level.
A signal is one function in :data:`SIGNALS`; `docs/ranking.md` has the formulas, the measured rates of false
alarms and what each finds.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from services.scoring.domain.evidence import Evidence, Readings
from services.scoring.domain.integrity_shares import funnel, off_site_gap, terminal_share, zero_variance
from services.scoring.domain.integrity_tempo import burst, co_burst, seconds_between

SIGNALS: Final[tuple[Callable[[Evidence], Iterator[Readings]], ...]] = (
    zero_variance,
    burst,
    co_burst,
    terminal_share,
    seconds_between,
    off_site_gap,
    funnel,
)

DECIMALS: Final = 6
"""Decimals of what is told."""
DIGITS: Final = 4
"""Significant digits of probabilities."""

Key = tuple[str, str]
"""Unit id and signal."""


class Finding(NamedTuple):
    """One unit's numbers of one signal; see `shared.events.UnitFlagged`."""

    unit_id: str
    signal: str
    window_days: int
    statistic: float
    threshold: float
    expected: float | None
    probability: float
    figures: Mapping[str, str]

    @property
    def key(self) -> Key:
        """What there is at most one flag of."""
        return self.unit_id, self.signal


class Examination(NamedTuple):
    """All signals at one moment.

    Attributes:
        flagged: what crosses its line, least likely first.
        readings: all numbers, by signal.
    """

    flagged: tuple[Finding, ...]
    readings: Mapping[str, tuple[Readings, ...]]

    def reading(self, key: Key) -> Finding | None:
        """The present numbers of one unit, flagged or not; None if it is no longer looked at."""
        unit_id, signal = key
        for each in self.readings.get(signal, ()):
            for at, unit in enumerate(each.units):
                if unit.unit_id == unit_id:
                    return _finding(each, at)
        return None


def examine(evidence: Evidence) -> Examination:
    """Look at every unit of every level with every signal."""
    readings: dict[str, list[Readings]] = {}
    for signal in SIGNALS:
        for each in signal(evidence):
            readings.setdefault(each.signal, []).append(each)
    flagged = [
        _finding(each, at)
        for found in readings.values()
        for each in found
        for at in np.flatnonzero(each.flagged).tolist()
    ]
    flagged.sort(key=lambda found: (found.probability, found.unit_id, found.signal))
    return Examination(tuple(flagged), {name: tuple(found) for name, found in readings.items()})


def _finding(readings: Readings, at: int) -> Finding:
    expected = float(readings.expected[at])
    return Finding(
        unit_id=readings.units[at].unit_id,
        signal=readings.signal,
        window_days=int(readings.window_days[at]),
        statistic=round(float(readings.statistic[at]), DECIMALS),
        threshold=round(float(readings.threshold[at]), DECIMALS),
        expected=None if math.isnan(expected) else round(expected, DECIMALS),
        probability=min(1.0, float(f"{readings.probability[at]:.{DIGITS}g}")),
        figures=readings.figures(at),
    )
