"""Assessment: every unit of all levels in one span, with its score and figures, but without a rank.

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

from services.scoring.domain.buckets import IntTable, Statistics
from services.scoring.domain.figures import composites, dimension_means, grade_index, share
from services.scoring.domain.lists import RANKED, SUPPRESSED, UNRANKED, Row, prior_document, row_json
from services.scoring.domain.posterior import MILLI, GroupPrior, estimate_prior, posterior, scores
from services.scoring.domain.rectification import Rectified
from services.scoring.domain.roster import ALL_KINDS, RANKED_LEVELS
from services.scoring.domain.tallies import COUNTED, COUNTS, Levels, Places, Tally
from services.scoring.domain.unproven import Weighed
from shared.kernel.grades import Source
from shared.rules import RulePack

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

SourceFigures = tuple[Source, Sequence[int], Sequence[float | None]]

OTHER_SOURCES: Final = tuple(source for source in Source if source is not Source.PUBLIC)


class PeerPriors:
    """The prior of every peer group of some levels, and of every unit by its group."""

    def __init__(self, levels: Levels, rules: RulePack) -> None:
        """Nothing is known before the first :meth:`update`."""
        self._rules = rules
        self._groups = levels.groups
        self._known: dict[str, GroupPrior] = {}
        # Whose prior a unit gets: its kind's, or else that of all. By number, because there are many units.
        self._group_of = np.zeros(len(levels), dtype=np.int16)
        for number, group in sorted(enumerate(self._groups), key=lambda each: not _is_of_all(each[1])):
            self._group_of[self._groups[group]] = number
        self._priors: Floats = np.zeros((2, len(self._groups)))
        self.documents: dict[str, dict[str, Any]] = {}
        """How lists name each group's prior."""

    def update(self, counts: IntTable, changed: Booleans) -> Booleans:
        """Estimate the priors of the groups in which somebody ``changed``; the units that got another one.

        Args:
            counts: the columns `COUNTS` of every unit.
            changed: whose counts are others than the last time.
        """
        moved = np.zeros(len(changed), dtype=bool)
        for number, (group, members) in enumerate(self._groups.items()):
            if group in self._known and not changed[members].any():
                continue
            ratings, weight, good = counts[members].T
            prior = estimate_prior(weight, good, self._rules.prior)
            self.documents[group] = prior_document(
                prior, int(ratings.sum()), self._rules.suppression.publish_from
            )
            known = self._known.get(group)
            if known is None or (known.mu, known.strength) != (prior.mu, prior.strength):
                self._priors[:, number] = prior.mu, prior.strength
                moved |= self._group_of == number
            self._known[group] = prior
        return moved

    def of(self, places: Places) -> tuple[Floats, Floats]:
        """Mean and strength of the priors of the units at these places."""
        groups = self._group_of[places]
        return self._priors[0, groups], self._priors[1, groups]


class Assessment:
    """The rows of all levels in one span, and what their order depends on."""

    def __init__(self, levels: Levels, units: int, rules: RulePack, names: Sequence[str]) -> None:
        """Begin without ratings: everybody is suppressed.

        Args:
            levels: whose rows.
            units: of the registry.
            rules: thresholds, priors, bands, weights.
            names: canonical JSON of each unit's name, in their order; shared by all spans.
        """
        size = len(levels)
        self._levels = levels
        self._units = units
        self._rules = rules
        self._names = names
        self._public = Tally(levels, units, rules.unproven)
        self._others: dict[Source, Tally] = {}
        self._counts: IntTable = np.zeros((size, len(COUNTS)), dtype=np.int64)
        self._priors = PeerPriors(levels, rules)
        self._none = _no_cases(size)
        self._rectified = self._none
        self._can_be_ranked = _can_be_ranked(levels)
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
    def weight(self) -> NDArray[np.int64]:
        """Weight n of each unit in thousandths."""
        return self._counts[:, 1]

    @property
    def priors(self) -> Mapping[str, Mapping[str, Any]]:
        """The prior of each peer group, as lists name it."""
        return self._priors.documents

    def update(self, statistics: Statistics, figures: Rectified | None = None) -> Booleans:
        """Take in what changed; which units' rows were made anew.

        Args:
            statistics: of all units of the registry, by source.
            figures: what the levels' units put right; the same object means the same figures. None: nothing.
        """
        places, amounts = self._public.look(statistics.get(Source.PUBLIC))
        self._counts[places] += amounts[:, COUNTS]
        stale = np.full(len(self.rows), self._fresh)
        stale[places] = True
        self._fresh = False
        ratings = self._counts[:, 0]
        moved = self._priors.update(self._counts, stale)
        self.shown = ratings >= self._rules.suppression.publish_from
        self.ranked = (ratings >= self._rules.suppression.rank_from) & self._can_be_ranked
        stale |= moved & self.shown
        self._estimate(np.flatnonzero(stale & self.shown))
        for source in OTHER_SOURCES:
            if source in statistics:
                self._others.setdefault(source, Tally(self._levels, self._units))
            if source in self._others:
                stale[self._others[source].look(statistics.get(source)).places] = True
        stale |= self._rectify(figures or self._none)
        self._write(np.flatnonzero(stale & self.shown))
        for place in np.flatnonzero(stale & ~self.shown).tolist():
            unit = self._levels.units[place]
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
        _, weight, good = self._counts[places].T
        found = posterior(weight, good, *self._priors.of(places), self._rules.bands)
        self.score[places], self.low[places], self.high[places] = found.score, found.low, found.high
        for place, band in zip(places.tolist(), found.bands, strict=True):
            self._bands[place] = band

    def _write(self, places: Places) -> None:
        """Make the rows of units that are shown."""
        table = self._public.rows(places)
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
        units, bands, names, ranked = self._levels.units, self._bands, self._names, self.ranked.tolist()
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
            table = tally.rows(places)
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
    """Scores of all levels at the point that ranks are compared with."""

    def __init__(self, levels: Levels, units: int, rules: RulePack) -> None:
        """Begin without ratings: nobody was ranked.

        Args:
            levels: whose scores.
            units: of the registry.
            rules: threshold, priors.
        """
        self._tally = Tally(levels, units, rules.unproven, COUNTED)
        self._counts: IntTable = np.zeros((len(levels), len(COUNTS)), dtype=np.int64)
        self._priors = PeerPriors(levels, rules)
        self._can_be_ranked = _can_be_ranked(levels)
        self._rank_from = rules.suppression.rank_from
        self.score: Floats = np.zeros(len(levels))
        self.ranked: Booleans = np.zeros(len(levels), dtype=bool)

    @property
    def weight(self) -> NDArray[np.int64]:
        """Weight n of each unit in thousandths."""
        return self._counts[:, 1]

    def update(self, statistics: IntTable | None) -> Booleans:
        """Take in what changed in the public's statistics; which units' scores may have changed."""
        places, amounts = self._tally.look(statistics)
        stale = np.zeros(len(self.score), dtype=bool)
        if not places.size:
            return stale
        stale[places] = True
        self._counts[places] += amounts[:, COUNTS]
        stale |= self._priors.update(self._counts, stale)
        ratings, weight, good = self._counts.T
        self.ranked = (ratings >= self._rank_from) & self._can_be_ranked
        changed = np.flatnonzero(stale)
        self.score[changed] = scores(weight[changed], good[changed], *self._priors.of(changed))
        return stale


def _can_be_ranked(levels: Levels) -> Booleans:
    """Which units have others to be compared with."""
    return np.repeat(
        [level.level in RANKED_LEVELS for level in levels.each], [len(level.units) for level in levels.each]
    )


def _is_of_all(group: str) -> bool:
    return group.endswith(f".{ALL_KINDS}")
