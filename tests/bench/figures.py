"""What a measurement comes to: series of rounds, ratios of pairs, and goals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of every round, in the order of the rounds; never empty."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)

    def ratios_to(self, baseline: "Series") -> "Series":
        """Each round's value over the value that the baseline had in the same round.

        The ratio of neighbours in time, and not of the two medians: what disturbs the machine for longer
        than a round disturbs both.
        """
        return Series(tuple(ours / bare for ours, bare in zip(self.values, baseline.values, strict=True)))


class Bound(Enum):
    """Which side of a goal is the good one, and what it is compared with."""

    RATE_AT_LEAST = "≥"
    AT_MOST = "≤"
    RATIO_AT_LEAST = "ratio ≥"
    RATIO_AT_MOST = "ratio ≤"


@dataclass(frozen=True, slots=True)
class Goal:
    """What the median has to reach."""

    bound: Bound
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Attributes:
        name: what was measured.
        unit: of both series: ``/s``, ``ms``, ``MB``.
        ours: the platform.
        bare: the baseline of the same rounds; None where the goal is absolute and nothing compares.
        against: the baseline's name.
    """

    name: str
    unit: str
    ours: Series
    bare: Series | None = None
    against: str = ""
    goal: Goal | None = None

    @property
    def ratio(self) -> Series | None:
        """Ours over the baseline's, round by round."""
        return None if self.bare is None else self.ours.ratios_to(self.bare)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None without a goal."""
        if self.goal is None:
            return None
        if self.goal.bound is Bound.AT_MOST:
            return self.ours.middle <= self.goal.value
        if self.goal.bound is Bound.RATE_AT_LEAST:
            return self.ours.middle >= self.goal.value
        if self.ratio is None:
            return False
        if self.goal.bound is Bound.RATIO_AT_MOST:
            return self.ratio.middle <= self.goal.value
        return self.ratio.middle >= self.goal.value


@dataclass(slots=True)
class Cost:
    """Processor time for each unit of work, in microseconds, by process: shows what a rate is limited by.

    Attributes:
        work: what one unit is: a request, a rating, a message.
        busy: how many processors each process kept busy while it was measured, by process.
    """

    name: str
    work: str
    micros: dict[str, Series]
    busy: dict[str, Series]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of its own kind: several ways to do the same thing, side by side."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Section:
    """The outcome of one measurement with its pairs."""

    title: str
    figures: list[Figure]
    costs: list[Cost] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    """What proves that the work was done, in sentences with their numbers."""
    comparisons: list[Comparison] = field(default_factory=list)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``ordered`` (ascending, not empty) do not exceed; nearest rank."""
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]
