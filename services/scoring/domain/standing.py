"""Standing: one list's ranks, rank intervals and rank changes, with its rows and their JSON.

Remembers, and makes only those rows anew that changed in any way; an unchanged list is the very same object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.assessment import Assessment, Past
from services.scoring.domain.lists import SUPPRESSED, Row
from services.scoring.domain.placed import UNKNOWN, Placed, PlacedItems, PlacedRows, place_item, place_row
from services.scoring.domain.rank_intervals import RankIntervals

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


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
            members: places in the level of the units in the list.
            groups: the peer groups that they belong to.
            spare: spare memory: rows and items are made whenever somebody looks at them, see `placed`.
        """
        self._spare = spare
        size = len(members)
        self._members = members
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
            now: the level's rows.
            renewed: which of them were made anew since the last time.
            past: what ranks are compared with.
            past_renewed: which of its scores may have changed since the last time.
        """
        members = self._members
        fresh = renewed[members]
        priors = {f"{now.level}.{group}": now.priors[group] for group in self._groups}
        compared_anew = past_renewed[members].any()
        if self._found is not None and not fresh.any() and not compared_anew:
            if priors != self._found.priors:
                self._found = self._found._replace(priors=priors)
            return self._found
        if compared_anew:
            _, past_rank = rank_by_score(past.score[members], past.weight[members], past.ranked[members])
            self._past_rank = past_rank.astype(np.int32)
        ranked = now.ranked[members]
        order, rank = rank_by_score(now.score[members], now.weight[members], ranked)
        best, worst = self._intervals.of(now.low[members], now.high[members], ranked)
        change = np.where(ranked & (self._past_rank > 0), self._past_rank - rank, UNKNOWN)
        places = np.stack((rank, np.minimum(best, rank), np.maximum(worst, rank), change))
        shown = now.shown[members]
        sequence = np.concatenate((order, np.flatnonzero(shown & ~ranked), np.flatnonzero(~shown)))
        if self._spare:
            here = members.tolist()
            content = Placed(
                members,
                [now.rows[each] for each in here],
                [now.written[each] for each in here],
                places,
                sequence,
            )
            self._found = Ordered(PlacedRows(content), PlacedItems(content), priors)
            return self._found
        first = self._found is None
        self._renew(now, np.flatnonzero(fresh | (places != self._places).any(axis=0) | first), places)
        self._places = places
        in_order = sequence.tolist()
        self._found = Ordered(
            [self._rows[place] for place in in_order], [self._items[place] for place in in_order], priors
        )
        return self._found

    def _renew(self, now: Assessment, which: Integers, places: Integers) -> None:
        for at, member, place in zip(
            which.tolist(), self._members[which].tolist(), places[:, which].T.tolist(), strict=True
        ):
            self._rows[at] = place_row(now.rows[member], *place)
            self._items[at] = place_item(now.written[member], *place)
