"""The roster 名册: which units are in which list on a day, whose ratings are theirs, who their peers are."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import IntTable
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry

RANKED_LEVELS: Final = (Level.WINDOW, Level.COUNTY, Level.CITY)
"""Levels whose units are compared with one another."""

LISTED_LEVELS: Final = (*RANKED_LEVELS, Level.PROVINCE)
"""Levels that have lists; the province is one unit: a row without a rank."""

ALL_KINDS: Final = "all"
"""Names the whole level where a kind could stand, in list keys and groups."""


@dataclass(frozen=True, slots=True)
class LevelRoster:
    """The units of one level, ordered by id.

    Attributes:
        level: the level.
        units: the units that exist on the day.
        peers: name of each unit's peer group: its kind, or `ALL_KINDS` where its kind has too few units.
        groups: places in `units` of the members of every peer group that somebody refers to.
        kinds: places in `units` of the members of every kind that has a list.
        owner: for every unit of the whole registry the place in `units` of the one that its ratings count
            for; -1: for none.
    """

    level: Level
    units: tuple[Unit, ...]
    peers: tuple[str, ...]
    groups: Mapping[str, NDArray[np.int64]]
    kinds: Mapping[str, NDArray[np.int64]]
    owner: NDArray[np.int64]

    def aggregate(self, statistics: IntTable) -> IntTable:
        """Sum the statistics of all units into those of this level's units.

        A bureau's row is its whole subtree: what was rated at its windows, in the bureaus below, and itself.
        """
        table = np.zeros((len(self.units), statistics.shape[1]), dtype=np.int64)
        counted = self.owner >= 0
        np.add.at(table, self.owner[counted], statistics[counted])
        return table


class Roster:
    """The registry as the lists of one day need it; cheap to make anew when the day changes."""

    def __init__(self, registry: UnitRegistry, kinds: Iterable[str], as_of: date, *, min_group: int) -> None:
        """Lay out the lists of ``as_of``.

        Args:
            registry: all units; their order by id numbers the rows of the statistics.
            kinds: window kinds that have a list of their own, in the order of publication.
            as_of: units that do not exist on this day are in no list.
            min_group: units from which a kind is a peer group of its own.
        """
        everyone = tuple(registry)
        self.as_of = as_of
        self.index: dict[str, int] = {unit.unit_id: place for place, unit in enumerate(everyone)}
        listed = tuple(kinds)
        self.levels = tuple(
            _level(level, everyone, registry, listed if level is Level.WINDOW else (), as_of, min_group)
            for level in LISTED_LEVELS
        )
        self.ranked_levels = tuple(level for level in self.levels if level.level in RANKED_LEVELS)
        """The levels whose units have others to be compared with."""

    @cached_property
    def compared(self) -> frozenset[str]:
        """Ids of the units that have a list to be compared in: those of a kind without one have none."""
        return frozenset(
            unit.unit_id
            for level in self.ranked_levels
            for unit in level.units
            if level.level is not Level.WINDOW or unit.kind in level.kinds
        )

    @cached_property
    def hash(self) -> str:
        """``sha256:<hex>`` of what the day's lists take from the registry: who exists, and who stands where.

        Names, too: a unit under another name is another row. A unit that only comes later changes nothing.
        """
        lines = (
            f"{unit.unit_id} {unit.level} {unit.kind} {unit.parent_id} {unit.name}"
            for level in self.levels
            for unit in level.units
        )
        return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _level(
    level: Level,
    everyone: tuple[Unit, ...],
    registry: UnitRegistry,
    kinds: tuple[str, ...],
    as_of: date,
    min_group: int,
) -> LevelRoster:
    units = tuple(unit for unit in everyone if unit.level is level and unit.exists(as_of))
    place = {unit.unit_id: number for number, unit in enumerate(units)}
    by_kind: dict[str, list[int]] = {kind: [] for kind in kinds}
    for number, unit in enumerate(units):
        by_kind.setdefault(unit.kind, []).append(number)
    peers = tuple(unit.kind if len(by_kind[unit.kind]) >= min_group else ALL_KINDS for unit in units)
    groups = {kind: np.array(by_kind[kind], dtype=np.int64) for kind in sorted(set(peers) - {ALL_KINDS})}
    if ALL_KINDS in peers:
        groups[ALL_KINDS] = np.arange(len(units), dtype=np.int64)
    owner = np.full(len(everyone), -1, dtype=np.int64)
    for number, unit in enumerate(everyone):
        above: Unit | None = unit
        while above is not None and above.level is not level:
            above = registry.get(above.parent_id) if above.parent_id is not None else None
        if above is not None:
            owner[number] = place.get(above.unit_id, -1)
    return LevelRoster(
        level=level,
        units=units,
        peers=peers,
        groups=groups,
        kinds={kind: np.array(by_kind[kind], dtype=np.int64) for kind in kinds},
        owner=owner,
    )
