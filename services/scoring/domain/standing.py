"""Standing: one list's ranks, rank intervals and rank changes, with its rows and their JSON.

Remembers, and makes only those rows anew that changed in any way; an unchanged list is the very same object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.assessment import Assessment, Past
from services.scoring.domain.lists import SUPPRESSED, Row
from services.scoring.domain.placed import UNKNOWN, Placed, PlacedItems, PlacedRows, place_item, place_row
from services.scoring.domain.rank_intervals import RankIntervals

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
_T = TypeVar("_T")


class Ordered(NamedTuple):
    """A list's content: rows and their canonical JSON in the order of publication, and its groups' priors."""

    rows: Sequence[Row]
    items: Sequence[bytes]
    priors: Mapping[str, Mapping[str, Any]]


def rank_by_score(
    score: NDArray[np.float64], weight: Integers, ranked: Booleans
) -> tuple[Integers, Integers]:
    """The total order: score, then n, both descending, then unit id, by which the units are ordered already.

    Returns:
        The places of those that are ``ranked``, best first; and each unit's rank, 0 for the others.
    """
    here = np.flatnonzero(ranked)
    order = here[np.lexsort((-weight[here], -score[here]))]
    rank = np.zeros(len(ranked), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return order, rank


class Standing:
    """One list of one level in one span."""

    def __init__(self, members: Integers, groups: Sequence[str], *, spare: bool = False) -> None:
        """Nothing is known before the first :meth:`update`.

        Args:
            members: places of the units in the list, among those of all levels.
            groups: names of the peer groups that they belong to.
            spare: spare memory: rows and items are made whenever somebody looks at them, see `placed`.
        """
        self._spare = spare
        size = len(members)
        self._members = members
        self._part = _part(members)
        self._groups = groups
        self._intervals = RankIntervals()
        self._past_rank = np.zeros(size, dtype=np.int32)
        self._places: Integers = np.full((4, 0 if spare else size), -1, dtype=np.int64)
        """Rank, its interval's ends, its change, as they stand in the rows."""
        self._rows = [Row("", "", SUPPRESSED)] * (0 if spare else size)
        self._items: list[bytes] = [b""] * (0 if spare else size)
        self._found: Ordered | None = None

    def update(self, now: Assessment, renewed: Booleans, past: Past, past_renewed: Booleans) -> Ordered:
        """The list as it stands now.

        Args:
            now: the rows of all levels.
            renewed: which of them were made anew since the last time.
            past: what ranks are compared with.
            past_renewed: which of its scores may have changed since the last time.
        """
        part = self._part
        fresh, compared_anew = renewed[part], past_renewed[part].any()
        priors = {group: now.priors[group] for group in self._groups}
        if self._found is not None and not compared_anew and not fresh.any():
            if priors != self._found.priors:
                self._found = self._found._replace(priors=priors)
            return self._found
        if compared_anew:
            _, past_rank = rank_by_score(past.score[part], past.weight[part], past.ranked[part])
            self._past_rank = past_rank.astype(np.int32)
        ranked = now.ranked[part]
        order, rank = rank_by_score(now.score[part], now.weight[part], ranked)
        best, worst = self._intervals.of(now.low[part], now.high[part], ranked)
        change = np.where(ranked & (self._past_rank > 0), self._past_rank - rank, UNKNOWN)
        places = np.stack((rank, np.minimum(best, rank), np.maximum(worst, rank), change))
        shown = now.shown[part]
        sequence = np.concatenate((order, np.flatnonzero(shown & ~ranked), np.flatnonzero(~shown)))
        if self._spare:
            content = Placed(
                self._members, _those(now.rows, part), _those(now.written, part), places, sequence
            )
            self._found = Ordered(PlacedRows(content), PlacedItems(content), priors)
            return self._found
        first = self._found is None
        self._renew(now, np.flatnonzero(fresh | (places != self._places).any(axis=0) | first), places)
        self._places = places
        in_order = sequence.tolist()
        self._found = Ordered(
            list(map(self._rows.__getitem__, in_order)),
            list(map(self._items.__getitem__, in_order)),
            priors,
        )
        return self._found

    def _renew(self, now: Assessment, which: Integers, places: Integers) -> None:
        for at, member, place in zip(
            which.tolist(), self._members[which].tolist(), places[:, which].T.tolist(), strict=True
        ):
            self._rows[at] = place_row(now.rows[member], *place)
            self._items[at] = place_item(now.written[member], *place)


def _part(members: Integers) -> slice | Integers:
    """The same places, as a slice where they follow one another: a whole level needs no copies."""
    if not members.size or members[-1] - members[0] != members.size - 1:
        return members
    return slice(int(members[0]), int(members[-1]) + 1)


def _those(values: list[_T], part: slice | Integers) -> list[_T]:
    return values[part] if isinstance(part, slice) else [values[each] for each in part.tolist()]
