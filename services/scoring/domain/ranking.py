"""Ranking: from the statistics of all units to every list of every window.

Pure, and a function of the statistics, the roster, the rules and the day alone: the live service, a replay
after a crash and an offline recomputation run this same code and get the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import Column, IntTable
from services.scoring.domain.lists import (
    RANKED,
    SUPPRESSED,
    UNRANKED,
    ListKey,
    RankedList,
    Row,
    canonical_json,
    prior_document,
    row_json,
)
from services.scoring.domain.posterior import MILLI, estimate_prior, posterior
from services.scoring.domain.roster import LevelRoster, Roster
from shared.rules import RulePack

GOOD_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class _Assessed:
    """One level in one window: every unit's row without a rank, and the order of those that get one."""

    rows: list[Row]
    ranked_first: NDArray[np.int64]
    """Places of the rankable units, best first."""
    unranked: NDArray[np.int64]
    suppressed: NDArray[np.int64]
    priors: Mapping[str, Mapping[str, Any]]


class Ranker:
    """Computes all lists of one roster under one rule pack."""

    def __init__(self, roster: Roster, rules: RulePack) -> None:
        """Prepare what does not depend on ratings."""
        self._roster = roster
        self._rules = rules
        self._names = {
            unit.name: canonical_json(unit.name).decode() for level in roster.levels for unit in level.units
        }

    @property
    def roster(self) -> Roster:
        """The roster whose lists are computed."""
        return self._roster

    def rank(self, windows: Mapping[int, IntTable]) -> dict[str, RankedList]:
        """Every list, by its key.

        Windows with equal statistics (a young platform: all ratings of the last week) share their work.

        Args:
            windows: statistics of all units by window length, see `DailyBuckets.windows`.
        """
        lists: dict[str, RankedList] = {}
        for level in self._roster.levels:
            known: IntTable | None = None
            assembled: dict[str | None, tuple[list[Row], list[bytes], Mapping[str, Any]]] = {}
            for window_days, statistics in windows.items():
                table = level.aggregate(statistics)
                if known is None or not np.array_equal(known, table):
                    known = table
                    assembled = self._assemble(level, self._assess(level, table))
                for kind, (rows, items, priors) in assembled.items():
                    key = ListKey(level.level, kind, window_days)
                    lists[str(key)] = RankedList(
                        key=key,
                        as_of=self._roster.as_of,
                        rules=self._rules.hash,
                        publish_from=self._rules.suppression.publish_from,
                        rank_from=self._rules.suppression.rank_from,
                        priors=priors,
                        rows=rows,
                        items=items,
                    )
        return lists

    def _assess(self, level: LevelRoster, table: IntTable) -> _Assessed:
        thresholds = self._rules.suppression
        ratings, weight, good = table[:, Column.RATINGS], table[:, Column.WEIGHT], table[:, Column.GOOD]
        mu = np.zeros(len(level.units))
        strength = np.zeros(len(level.units))
        priors: dict[str, dict[str, Any]] = {}
        for group, members in level.groups.items():
            prior = estimate_prior(weight[members], good[members], self._rules.prior)
            own = np.array([peer == group for peer in level.peers])
            mu[own], strength[own] = prior.mu, prior.strength
            priors[group] = prior_document(prior, int(ratings[members].sum()), thresholds.publish_from)
        shown = np.flatnonzero(ratings >= thresholds.publish_from)
        estimates = posterior(weight[shown], good[shown], mu[shown], strength[shown], self._rules.bands)
        shares = _shares(good[shown], weight[shown])
        n: list[float] = (weight[shown] / MILLI).tolist()
        counts: list[int] = ratings[shown].tolist()
        rows = [Row(unit.unit_id, unit.name, SUPPRESSED) for unit in level.units]
        scores = np.zeros(len(level.units))
        for number, place in enumerate(shown.tolist()):
            count = counts[number]
            rows[place] = Row(
                rows[place].unit_id,
                rows[place].name,
                RANKED if count >= thresholds.rank_from else UNRANKED,
                None,
                estimates.score[number],
                estimates.low[number],
                estimates.high[number],
                count,
                n[number],
                shares[number],
                estimates.bands[number],
            )
        scores[shown] = estimates.score
        rankable = np.flatnonzero(ratings >= thresholds.rank_from)
        # Score, then n, both descending, then unit id, by which the units are ordered already.
        order = np.lexsort((rankable, -weight[rankable], -scores[rankable]))
        return _Assessed(
            rows=rows,
            ranked_first=rankable[order],
            unranked=shown[ratings[shown] < thresholds.rank_from],
            suppressed=np.flatnonzero(ratings < thresholds.publish_from),
            priors=priors,
        )

    def _assemble(
        self, level: LevelRoster, assessed: _Assessed
    ) -> dict[str | None, tuple[list[Row], list[bytes], Mapping[str, Any]]]:
        """The level's list of all kinds (None) and those of each kind: rows, their JSON, their priors."""
        everyone = np.arange(len(level.units), dtype=np.int64)
        parts = [row_json(row, self._names[row.name]) for row in assessed.rows]
        members_by_kind: dict[str | None, NDArray[np.int64]] = {None: everyone}
        members_by_kind.update(level.kinds)
        return {
            kind: (*_list(level, assessed, parts, members), _priors_of(level, assessed, members.tolist()))
            for kind, members in members_by_kind.items()
        }


def _list(
    level: LevelRoster, assessed: _Assessed, parts: list[tuple[bytes, bytes]], members: NDArray[np.int64]
) -> tuple[list[Row], list[bytes]]:
    """The rows of ``members`` in the order of publication, and their JSON."""
    member = np.zeros(len(level.units), dtype=bool)
    member[members] = True
    ranked = assessed.ranked_first[member[assessed.ranked_first]].tolist()
    others = np.concatenate((assessed.unranked, assessed.suppressed))
    rest = others[member[others]].tolist()
    rows = [_at(rank, assessed.rows[place]) for rank, place in enumerate(ranked, 1)]
    rows += [assessed.rows[place] for place in rest]
    items = [b"%b%d%b" % (parts[place][0], rank, parts[place][1]) for rank, place in enumerate(ranked, 1)]
    items += [b"%bnull%b" % parts[place] for place in rest]
    return rows, items


def _priors_of(
    level: LevelRoster, assessed: _Assessed, members: Sequence[int]
) -> dict[str, Mapping[str, Any]]:
    groups = sorted({level.peers[place] for place in members})
    return {f"{level.level}.{group}": assessed.priors[group] for group in groups}


def _at(rank: int, row: Row) -> Row:
    # Not `_replace`: it goes by names and takes five times as long, for every ranked row of every list.
    return Row._make((*row[:3], rank, *row[4:]))


def _shares(good: NDArray[np.int64], weight: NDArray[np.int64]) -> list[float | None]:
    """k/n of each unit; None where a rule pack gives its ratings no weight at all."""
    rounded: list[float] = np.round(good / np.maximum(weight, 1), GOOD_DECIMALS).tolist()
    return [share if n else None for share, n in zip(rounded, weight.tolist(), strict=True)]
