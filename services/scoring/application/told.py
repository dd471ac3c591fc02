"""What was told last, where that is more than what stands in the bucket (ADR 0056).

Events go out before the bucket is written. Whoever dies in between leaves events that the bucket knows
nothing of, and whoever goes on may have folded more by then: a rating that was excluded meanwhile takes a
list back to what the bucket says, and nothing would contradict the event. So the next publication compares
with both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from services.scoring.domain.announcements import Announced


@dataclass(frozen=True, slots=True)
class ToldList:
    """The last `RankingRevised` of a list.

    Attributes:
        hash: of the list that it told of.
        changed: ids of the units in its rows or gone, and in those of the events before it that the bucket
            does not know either; None: more than one event could name.
        withdrawn: it told that there is no such list any more.
        named: the same as `changed`, as far as they are named, also if that is not all of them.
    """

    hash: str
    changed: frozenset[str] | None
    withdrawn: bool = False
    named: frozenset[str] = frozenset()

    def after(self, before: "ToldList | None") -> "ToldList":
        """The same, told after ``before``."""
        if before is None or self.withdrawn:
            return self
        if before.withdrawn:  # nothing of what stands in the bucket holds for whoever was told that
            return ToldList(self.hash, None, named=self.named)
        named = self.named | before.named
        if self.changed is None or before.changed is None:
            return ToldList(self.hash, None, named=named)
        return ToldList(self.hash, self.changed | before.changed, named=named)


@dataclass(frozen=True, slots=True)
class ToldPeriod:
    """The last `PeriodClosed` or `PeriodRestated` of a list.

    Attributes:
        hash: of the list that it told of.
        closed_hash: of the list that was closed.
        closed_on: when it was closed; None: the bucket knows.
        restatement: its number, 0 for the closing.
    """

    hash: str
    closed_hash: str
    closed_on: date | None
    restatement: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the bucket does not know yet of what was told.

    Attributes:
        last: sequence of the last event in RANKING.
        lists: by key.
        units: the last announcement of each unit, by its id.
        periods: by key.
    """

    last: int = 0
    lists: Mapping[str, ToldList] = field(default_factory=dict)
    units: Mapping[str, Announced] = field(default_factory=dict)
    periods: Mapping[str, ToldPeriod] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.lists or self.units or self.periods)


NOTHING: Final = Told()
