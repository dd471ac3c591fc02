"""Ranking: from the statistics of all units to every list of every span.

A function of the statistics, the roster, the rules and the day alone: the live service, a replay after a
crash and an offline recomputation run this same code and get the same bytes. A ranker remembers what it
computed last, so that one more rating costs little; a test holds it against one that remembers nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Final

import numpy as np

from services.scoring.domain.assessment import Assessment, Past
from services.scoring.domain.buckets import Statistics
from services.scoring.domain.lists import ListKey, RankedList, canonical_json
from services.scoring.domain.outcomes import OutcomeTable, of_level
from services.scoring.domain.rectification import Rectified, rectified
from services.scoring.domain.roster import LevelRoster, Roster
from services.scoring.domain.spans import Span
from services.scoring.domain.standing import Ordered, Standing
from services.scoring.domain.tallies import Levels
from shared.kernel.grades import Source
from shared.rules import RulePack

ABREAST: Final = 2
"""Spans that are ranked at the same time when many are new."""
SPARE_FROM: Final = 4_000
"""Units of a level from which its lists make their rows on demand: below, memory is no matter."""


class Ranker:
    """Computes all lists of one roster under one rule pack. Any thread may ask; one is served at a time."""

    def __init__(self, roster: Roster, rules: RulePack) -> None:
        """Prepare what does not depend on ratings."""
        self._roster = roster
        self._rules = rules
        self._levels = Levels(roster.levels)
        self._names = [canonical_json(unit.name).decode() for unit in self._levels.units]
        self._spans: dict[Span, _SpanRanker] = {}
        self._lists: dict[str, RankedList] = {}
        self._one_at_a_time = Lock()

    @property
    def roster(self) -> Roster:
        """The roster whose lists are computed."""
        return self._roster

    def rank(
        self,
        spans: Mapping[Span, Statistics],
        before: Mapping[Span, Statistics],
        outcomes: Mapping[Span, OutcomeTable] | None = None,
        wanted: Collection[Span] | None = None,
    ) -> dict[str, RankedList]:
        """Every list, by its key; lists that did not change since the last call are the same objects.

        Spans with equal statistics (a young platform: all ratings are of the last week) share their work.

        Args:
            spans: statistics of all units by span and source, see `Ledger.spans`.
            before: what ranks are compared with, by span; a span that is missing has no rank changes.
            outcomes: what became of cases, by span, see `Outcomes.spans`; a table that was given once must
                not change. None, or a span that is missing: there are no cases.
            wanted: the spans whose lists are computed; None: all. Of the others nothing is forgotten.
        """
        with self._one_at_a_time:
            chosen = [span for span in spans if wanted is None or span in wanted]
            cases = outcomes or {}
            twins = _twins(chosen, spans, before, cases)
            works = {
                span: partial(self._contents, span, spans[span], before.get(span, {}), cases.get(span))
                for span in dict.fromkeys(twins.values())
            }
            contents = self._done(works)
            lists: dict[str, RankedList] = {}
            for span, twin in twins.items():
                for level, kind, content in contents[twin]:
                    key = ListKey(level.level, kind, span)
                    lists[str(key)] = self._list(key, content)
            self._spans = {span: known for span, known in self._spans.items() if span in spans}
            self._lists = lists if wanted is None else {**self._lists, **lists}
            return dict(lists)

    def _done(self, works: Mapping[Span, Callable[[], "_Contents"]]) -> dict[Span, "_Contents"]:
        """What the works give; two at a time where much is to be done from nothing.

        numpy and scipy let go of the interpreter, so a start and midnight take little more than half as long
        on two processors. Spans share nothing but what never changes, so the bytes are the same.
        """
        fresh = sum(span not in self._spans for span in works)
        if fresh < ABREAST or len(self._roster.index) < SPARE_FROM:
            return {span: work() for span, work in works.items()}
        with ThreadPoolExecutor(ABREAST, "rank") as pool:
            found = {span: pool.submit(work) for span, work in works.items()}
        return {span: future.result() for span, future in found.items()}

    def _contents(
        self, span: Span, statistics: Statistics, past: Statistics, outcomes: OutcomeTable | None
    ) -> "_Contents":
        ranker = self._spans.pop(span, None) or _SpanRanker(
            self._levels, len(self._roster.index), self._rules, self._names
        )
        contents = ranker.update(statistics, past, outcomes)
        self._spans[span] = ranker  # only now: one that failed half-way would not know what it knows
        return contents

    def _list(self, key: ListKey, content: Ordered) -> RankedList:
        """The list of this content: the one of last time if that is what it consists of."""
        known = self._lists.get(str(key))
        if known is not None and known.items is content.items:
            return known if known.priors == content.priors else replace(known, priors=content.priors)
        return RankedList(
            key=key,
            as_of=self._roster.as_of,
            rules=self._rules.hash,
            registry=self._roster.hash,
            publish_from=self._rules.suppression.publish_from,
            rank_from=self._rules.suppression.rank_from,
            composite_weights=self._rules.composite.by_part(),
            top=self._rules.lists.top,
            bottom=self._rules.lists.bottom,
            priors=content.priors,
            rows=content.rows,
            items=content.items,
        )


_Contents = list[tuple[LevelRoster, str | None, Ordered]]


class _SpanRanker:
    """All levels in one span: the rows, and the lists made of them."""

    def __init__(self, levels: Levels, units: int, rules: RulePack, names: Sequence[str]) -> None:
        self._levels = levels
        self._rules = rules
        self._outcomes: OutcomeTable | None = None
        self._rectified: Rectified | None = None
        self._now = Assessment(levels, units, rules, names)
        self._past = Past(levels, units, rules)
        self._lists = [
            (level, kind, Standing(members, groups, spare=len(level.units) >= SPARE_FROM))
            for level, kind, members, groups in levels.lists
        ]

    def update(self, statistics: Statistics, past: Statistics, outcomes: OutcomeTable | None) -> "_Contents":
        """The content of every list."""
        if outcomes is not self._outcomes:  # cases are settled seldom, ratings come all the time
            self._outcomes = outcomes
            self._rectified = None if outcomes is None else self._put_right(outcomes)
        renewed = self._now.update(statistics, self._rectified)
        past_renewed = self._past.update(past.get(Source.PUBLIC))
        return [
            (level, kind, standing.update(self._now, renewed, self._past, past_renewed))
            for level, kind, standing in self._lists
        ]

    def _put_right(self, outcomes: OutcomeTable) -> Rectified:
        tables = [of_level(level, outcomes) for level in self._levels.each]
        return rectified(np.concatenate(tables), self._rules.outcomes)


def _twins(
    spans: Sequence[Span],
    statistics: Mapping[Span, Statistics],
    before: Mapping[Span, Statistics],
    outcomes: Mapping[Span, OutcomeTable],
) -> dict[Span, Span]:
    """By span the first one with the same statistics, now and before."""
    found: dict[Span, Span] = {}
    for span in spans:
        found[span] = next(
            (
                each
                for each in dict.fromkeys(found.values())
                if _equal(statistics[each], statistics[span])
                and _equal(before.get(each, {}), before.get(span, {}))
                and _same(outcomes.get(each), outcomes.get(span))
            ),
            span,
        )
    return found


def _equal(one: Statistics, other: Statistics) -> bool:
    """Whether two spans have the same statistics."""
    return one.keys() == other.keys() and all(
        np.array_equal(table, other[source]) for source, table in one.items()
    )


def _same(one: OutcomeTable | None, other: OutcomeTable | None) -> bool:
    """Whether in two spans the same became of cases."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
