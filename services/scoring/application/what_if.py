"""What if 假如: how the lists of one place in the stream would differ under another rule pack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.scoring.domain.lists import RankedList, Row


@dataclass(frozen=True, slots=True)
class Move:
    """One unit under its own pack and under the other; `old` or `new` is None where it is in no such list."""

    unit_id: str
    name: str
    old: Row | None
    new: Row | None

    @property
    def places(self) -> int:
        """By how many ranks it climbs (+) or falls (-); 0 if it is not ranked both times."""
        if self.old is None or self.new is None or self.old.rank is None or self.new.rank is None:
            return 0
        return self.old.rank - self.new.rank

    @property
    def points(self) -> float:
        """By how much its score grows; 0 if it has none both times."""
        if self.old is None or self.new is None or self.old.score is None or self.new.score is None:
            return 0.0
        return self.new.score - self.old.score

    def differs(self, name: str) -> bool:
        """Whether a column of the row is another one."""
        return getattr(self.old, name, None) != getattr(self.new, name, None)


@dataclass(frozen=True, slots=True)
class PriorChange:
    """The prior of one peer group, as lists name it, under both packs; None where there is no such group."""

    group: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ListChange:
    """How one list differs.

    Attributes:
        list: its key.
        units: units in it under either pack.
        ranks: how many have another rank, or one only under one of the packs.
        bands: how many have another band.
        statuses: how many are ranked, unranked or suppressed otherwise.
        scores: how many have another score.
        moves: every unit with any of that, largest loss or gain of ranks first, then of points.
        priors: the priors that differ.
    """

    list: str
    units: int
    ranks: int
    bands: int
    statuses: int
    scores: int
    moves: tuple[Move, ...]
    priors: tuple[PriorChange, ...]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """All lists of one place under two packs.

    Attributes:
        lists: those that both packs know, by key.
        only_old: keys that only the own pack knows.
        only_new: keys that only the other pack knows.
    """

    lists: tuple[ListChange, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


def what_if(old: Mapping[str, RankedList], new: Mapping[str, RankedList]) -> WhatIf:
    """Compare the lists under the own pack with those under another; a function of the values alone."""
    return WhatIf(
        lists=tuple(_compare(old[key], new[key]) for key in old if key in new),
        only_old=tuple(key for key in old if key not in new),
        only_new=tuple(key for key in new if key not in old),
    )


def _compare(old: RankedList, new: RankedList) -> ListChange:
    before = {row.unit_id: row for row in old.rows}
    after = {row.unit_id: row for row in new.rows}
    moves = [
        Move(unit_id, row.name, before.get(unit_id), after.get(unit_id))
        for unit_id, row in {**before, **after}.items()
    ]
    counts = {name: sum(move.differs(name) for move in moves) for name in ("rank", "band", "status", "score")}
    moved = [move for move in moves if any(move.differs(name) for name in counts)]
    moved.sort(key=lambda move: (-abs(move.places), -abs(move.points), move.unit_id))
    return ListChange(
        list=str(new.key),
        units=len(moves),
        ranks=counts["rank"],
        bands=counts["band"],
        statuses=counts["status"],
        scores=counts["score"],
        moves=tuple(moved),
        priors=tuple(
            PriorChange(group, old.priors.get(group), new.priors.get(group))
            for group in sorted(old.priors.keys() | new.priors.keys())
            if old.priors.get(group) != new.priors.get(group)
        ),
    )
