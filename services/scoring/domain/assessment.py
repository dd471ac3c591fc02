"""Assessment: every unit of one level in one span, with its score and figures, but without a rank.

Remembers, and works out anew only what changed: a unit whose statistics did, and all of a peer group whose
(rounded) prior did. Each unit's row is a function of its own statistics and its group's prior alone, so the
rows are the same as if all had been worked out at once.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import IntTable
from services.scoring.domain.figures import composites, dimension_means, grade_index, share
from services.scoring.domain.lists import RANKED, SUPPRESSED, UNRANKED, Row, prior_document, row_json
from services.scoring.domain.posterior import MILLI, GroupPrior, estimate_prior, posterior, scores
from services.scoring.domain.rectification import Rectified
from services.scoring.domain.roster import ALL_KINDS, RANKED_LEVELS, LevelRoster
from services.scoring.domain.tallies import Change, Places, Tally
from services.scoring.domain.unproven import Weighed
from shared.kernel.grades import Level, Source
from shared.rules import RulePack

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

SourceFigures = tuple[Source, Sequence[int], Sequence[float | None]]

COUNTS: Final = [Weighed.RATINGS, Weighed.WEIGHT, Weighed.GOOD]
"""Columns that priors and scores depend on; nothing else is kept of the past."""
OTHER_SOURCES: Final = tuple(source for source in Source if source is not Source.PUBLIC)


class PeerPriors:
    """The prior of every peer group of one level, and of every unit by its group."""

    def __init__(self, level: LevelRoster, rules: RulePack) -> None:
        """Nothing is known before the first :meth:`update`."""
        self._level = level
        self._rules = rules
        self._known: dict[str, GroupPrior] = {}
        # Whose prior a unit gets: its kind's, or else that of all. By number, because there are many units.
        self._numbers = {group: number for number, group in enumerate(level.groups)}
        self._group_of = np.full(len(level.units), self._numbers.get(ALL_KINDS, 0), dtype=np.int16)
        for group, members in level.groups.items():
            if group != ALL_KINDS:
                self._group_of[members] = self._numbers[group]
        self._priors: Floats = np.zeros((2, len(level.groups)))
        self.documents: dict[str, dict[str, Any]] = {}
        """How a list names each group's prior."""

    def update(self, counts: IntTable, changed: Booleans) -> Booleans:
        """Estimate the priors of the groups in which somebody ``changed``; the units that got another one.

        Args:
            counts: the columns `COUNTS` of every unit.
            changed: whose counts are others than the last time.
        """
        moved = np.zeros(len(changed), dtype=bool)
        for group, members in self._level.groups.items():
            if group in self._known and not changed[members].any():
                continue
            ratings, weight, good = counts[members].T
            prior = estimate_prior(weight, good, self._rules.prior)
            self.documents[group] = prior_document(
                prior, int(ratings.sum()), self._rules.suppression.publish_from
            )
            known = self._known.get(group)
            if known is None or (known.mu, known.strength) != (prior.mu, prior.strength):
                number = self._numbers[group]
                self._priors[:, number] = prior.mu, prior.strength
                moved |= self._group_of == number
            self._known[group] = prior
        return moved

    def of(self, places: Places) -> tuple[Floats, Floats]:
        """Mean and strength of the priors of the units at these places."""
        groups = self._group_of[places]
        return self._priors[0, groups], self._priors[1, groups]


class Assessment:
    """The rows of one level in one span, and what their order depends on."""

    def __init__(self, level: LevelRoster, rules: RulePack, names: Sequence[str]) -> None:
        """Begin without ratings: everybody is suppressed.

        Args:
            level: the units.
            rules: thresholds, priors, bands, weights.
            names: canonical JSON of each unit's name, in their order; shared by all spans.
        """
        size = len(level.units)
        self._level = level
        self._rules = rules
        self._names = names
        self._public = Tally(level)
        self._others: dict[Source, Tally] = {}
        self._priors = PeerPriors(level, rules)
        self._none = _no_cases(size)
        self._rectified = self._none
        self._rank_from = rules.suppression.rank_from if level.level in RANKED_LEVELS else None
        self._bands: list[str] = [""] * size
        self.score: Floats = np.zeros(size)
        self.low: Floats = np.zeros(size)
        self.high: Floats = np.zeros(size)
        self.shown: Booleans = np.zeros(size, dtype=bool)
        self.ranked: Booleans = np.zeros(size, dtype=bool)
        self.rows = [Row("", "", SUPPRESSED)] * size
        """Each unit's row; made by the first :meth:`update`, as is all that follows from it."""
        self.written = [b""] * size
        """JSON of each row, see `row_json`."""
        self._fresh = True

    @property
    def level(self) -> Level:
        """The level of the units."""
        return self._level.level

    @property
    def weight(self) -> NDArray[np.int64]:
        """Weight n of each unit in thousandths."""
        return self._public.table[:, Weighed.WEIGHT]

    @property
    def priors(self) -> Mapping[str, Mapping[str, Any]]:
        """The prior of each peer group, as lists name it."""
        return self._priors.documents

    def update(
        self,
        changes: Mapping[Source, Change],
        rectified: Rectified | None = None,
    ) -> Booleans:
        """Take in what changed; which units' rows were made anew.

        Args:
            changes: by source, what changed in the registry's statistics.
            rectified: figures of the level's units; the same object means the same figures. None: none.
        """
        stale = np.zeros(len(self.rows), dtype=bool)
        stale[self._public.add(changes[Source.PUBLIC])] = True
        if self._fresh:
            stale[:] = True
            self._fresh = False
        ratings = self._public.table[:, Weighed.RATINGS]
        moved = self._priors.update(self._public.table[:, COUNTS], stale)
        self.shown = ratings >= self._rules.suppression.publish_from
        if self._rank_from is not None:
            self.ranked = ratings >= self._rank_from
        stale |= moved & self.shown
        self._estimate(np.flatnonzero(stale & self.shown))
        for source in OTHER_SOURCES:
            if source in changes:
                tally = self._others.setdefault(source, Tally(self._level))
                stale[tally.add(changes[source])] = True
        stale |= self._rectify(rectified or self._none)
        self._write(np.flatnonzero(stale & self.shown))
        for place in np.flatnonzero(stale & ~self.shown).tolist():
            unit = self._level.units[place]
            self._put(place, Row(unit.unit_id, unit.name, SUPPRESSED))
        return stale

    def _rectify(self, figures: Rectified) -> Booleans:
        known, self._rectified = self._rectified, figures
        if figures is known:
            return np.zeros(len(self.rows), dtype=bool)
        same = (figures.points == known.points) | (np.isnan(figures.points) & np.isnan(known.points))
        moved: Booleans = ~same | (figures.cases != known.cases)
        return moved

    def _estimate(self, places: Places) -> None:
        rows = self._public.table[places]
        found = posterior(
            rows[:, Weighed.WEIGHT],
            rows[:, Weighed.GOOD],
            *self._priors.of(places),
            self._rules.bands,
        )
        self.score[places], self.low[places], self.high[places] = found.score, found.low, found.high
        for place, band in zip(places.tolist(), found.bands, strict=True):
            self._bands[place] = band

    def _write(self, places: Places) -> None:
        """Make the rows of units that are shown."""
        table = self._public.table[places]
        least = self._rules.suppression.publish_from
        figures = self._source_figures(places)
        sources = _by_place(places, figures)
        columns = zip(
            places.tolist(),
            self.score[places].tolist(),
            self.low[places].tolist(),
            self.high[places].tolist(),
            table[:, Weighed.RATINGS].tolist(),
            (table[:, Weighed.WEIGHT] / MILLI).tolist(),
            share(table[:, Weighed.GOOD], table[:, Weighed.WEIGHT]),
            map(tuple, table[:, Weighed.GRADE_1 : Weighed.GRADE_5 + 1].tolist()),
            share(table[:, Weighed.GRADE_4] + table[:, Weighed.GRADE_5], table[:, Weighed.RATINGS]),
            grade_index(table),
            self._composites_of(places, figures),
            dimension_means(table, least),
            *self._rectified_of(places),
            (each / MILLI or None for each in table[:, Weighed.LEFT_OUT].tolist()),
            strict=True,
        )
        units, bands, names, ranked = self._level.units, self._bands, self._names, self.ranked.tolist()
        rows, written = self.rows, self.written
        for (
            place, score, low, high, ratings, n, good, histogram, top_two, index, composite, dimensions,
            put_right, cases, left_out,
        ) in columns:  # fmt: skip
            unit = units[place]
            status = RANKED if ranked[place] else UNRANKED
            rows[place] = row = Row(
                unit.unit_id, unit.name, status, None, score, low, high, ratings, n, good,
                bands[place], None, None, None, histogram, top_two, index,
                # Equal as long as nobody but the public appraises: one object is enough for both.
                score if composite == score else composite, dimensions, sources.get(place), put_right, cases,
                left_out,
            )  # fmt: skip
            written[place] = row_json(row, names[place])

    def _put(self, place: int, row: Row) -> None:
        self.rows[place] = row
        self.written[place] = row_json(row, self._names[place])

    def _source_figures(self, places: Places) -> list[SourceFigures]:
        """Ratings and indices of each other source; no index where it has too few ratings to be shown."""
        least = self._rules.suppression.publish_from
        figures: list[SourceFigures] = []
        for source, tally in self._others.items():
            table = tally.table[places]
            counts: list[int] = table[:, Weighed.RATINGS].tolist()
            shown = zip(counts, grade_index(table), strict=True)
            figures.append((source, counts, [index if count >= least else None for count, index in shown]))
        return figures

    def _rectified_of(self, places: Places) -> tuple[Sequence[float | None], Sequence[int | None]]:
        """Index and number of cases as they stand in rows: None where there is none, or may not be shown."""
        if self._rectified is self._none:
            return [None] * len(places), [None] * len(places)
        index, cases = self._rectified.points[places].tolist(), self._rectified.cases[places].tolist()
        return [None if math.isnan(each) else each for each in index], [each or None for each in cases]

    def _composites_of(self, places: Places, figures: Sequence[SourceFigures]) -> list[float | None]:
        parts: dict[str, Floats] = {
            "public": self.score[places],
            "rectification": self._rectified.points[places],
        }
        for source, _, indices in figures:
            parts[str(source)] = np.array([np.nan if index is None else index for index in indices])
        return composites(self._rules.composite.by_part(), parts)


@cache
def _no_cases(size: int) -> Rectified:
    """Figures of so many units without a settled case; the same ones for every span."""
    return Rectified(np.full(size, np.nan), np.zeros(size, dtype=np.int64))


def _by_place(places: Places, figures: Sequence[SourceFigures]) -> dict[int, dict[str, dict[str, float]]]:
    """Ratings and index by place and source, where there is an index."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    for source, counts, indices in figures:
        for place, count, index in zip(places.tolist(), counts, indices, strict=True):
            if index is not None:
                found.setdefault(place, {})[str(source)] = {"ratings": count, "index": index}
    return found


class Past:
    """Scores of one level at the point that ranks are compared with."""

    def __init__(self, level: LevelRoster, rules: RulePack) -> None:
        """Begin without ratings: nobody was ranked."""
        self._tally = Tally(level, len(COUNTS))
        self._priors = PeerPriors(level, rules)
        self._rank_from = rules.suppression.rank_from
        self.score: Floats = np.zeros(len(level.units))
        self.ranked: Booleans = np.zeros(len(level.units), dtype=bool)

    @property
    def weight(self) -> NDArray[np.int64]:
        """Weight n of each unit in thousandths."""
        return self._tally.table[:, 1]

    def update(self, change: Change) -> Booleans:
        """Take in what changed in the registry's columns `COUNTS`; which units' scores may have changed."""
        stale = np.zeros(len(self.score), dtype=bool)
        stale[self._tally.add(change)] = True
        if not stale.any():
            return stale
        stale |= self._priors.update(self._tally.table, stale)
        ratings, weight, good = self._tally.table.T
        self.ranked = ratings >= self._rank_from
        changed = np.flatnonzero(stale)
        self.score[changed] = scores(weight[changed], good[changed], *self._priors.of(changed))
        return stale
