"""Closing calendar periods, and restating them: what a period's lists say for good, and what changed since.

A period closes 30 days after its end. Its lists are published once more, as final (`PeriodClosed`), and
never edited: a correction that comes later leads to a `PeriodRestated` beside it, and the bucket shows what
would be closed now, with the number of the restatement.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from services.scoring.application.fold import FrozenFold
from services.scoring.application.published import PublishedList
from services.scoring.application.told import ToldPeriod
from services.scoring.domain.ledger import PeriodChange
from services.scoring.domain.lists import ListKey, changed_rows
from services.scoring.domain.spans import Period


@dataclass(frozen=True, slots=True)
class Closing:
    """A list that has become final.

    Attributes:
        list: as it is about to be published.
        items: canonical JSON of all its rows.
        late_missed: ratings of the period that came too late to count.
    """

    list: PublishedList
    period: Period
    closed_on: date
    late_missed: int
    items: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Restatement:
    """A closed list that a correction has changed.

    Attributes:
        list: as it would be closed now.
        number: 1, 2, …
        items: canonical JSON of the rows that differ from what stood before.
        causes: ids of the correcting events, as far as they are known.
    """

    list: PublishedList
    period: Period
    closed_hash: str
    number: int
    items: Sequence[bytes]
    causes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Resumption:
    """A list whose closing or restatement was told by whoever died before it stood in the bucket."""

    list: PublishedList


Settled = Closing | Restatement
"""What has to be told."""


def periods_to_settle(
    stored: Mapping[str, PublishedList],
    open_periods: Sequence[Period],
    changes: Mapping[Period, PeriodChange],
    settled: Mapping[Period, int],
    rules: str,
    today: date,
    told: Collection[str] = (),
) -> tuple[Period, ...]:
    """The periods whose lists have to be closed, or may have to be restated.

    Args:
        stored: what stands in the bucket.
        open_periods: those that are still open.
        changes: what has changed in closed ones, see `Ledger.closed_changes`.
        settled: how far their changes have been looked at already.
        rules: hash of the fold's rule pack: a list that was closed under another one is not restated, because
            another pack is no correction.
        today: the day of the fold. A period that only comes was published by a replica whose clock is ahead,
            and is not over.
        told: keys of lists of which more was told than stands in the bucket.
    """
    found: list[Period] = []
    for key, standing in stored.items():
        period = ListKey.parse(key).span
        if not isinstance(period, Period) or period.first > today:
            continue
        if period in open_periods or period in found:
            continue
        change = changes.get(period)
        news = (change is not None and settled.get(period) != change.times) or key in told
        if not standing.is_closed or (news and standing.head["rules"] == rules):
            found.append(period)
    return tuple(found)


def late_missed(
    stored: Mapping[str, PublishedList],
    open_periods: Sequence[Period],
    late_in: Callable[[Period], int],
    rules: str,
) -> dict[str, int]:
    """By key of each list of a period that is over how many ratings have come too late for it, up to now.

    What comes after the close is counted in the bucket alone: the closing has been told, and changes nothing.
    Lists that were closed under other rules are left as they are: those decide what is late.
    """
    found: dict[str, int] = {}
    for key, standing in stored.items():
        period = ListKey.parse(key).span
        if isinstance(period, Period) and period not in open_periods and standing.head["rules"] == rules:
            found[key] = late_in(period)
    return found


class Published(NamedTuple):
    """Where and when something is published: last sequences of FEEDBACK and CASES, and the time."""

    position: int
    cases: int
    now: datetime


def settle(
    frozen: FrozenFold,
    stored: Mapping[str, PublishedList],
    changes: Mapping[Period, PeriodChange],
    today: date,
    at: Published,
    told: Mapping[str, ToldPeriod] | None = None,
) -> Iterator[Settled | Resumption]:
    """What becomes of the closed periods of ``frozen``, list by list; nothing where all is as it was.

    A list that was closed under another registry (a unit has been renamed since) is not restated: that is no
    more a correction than another rule pack is.

    Args:
        frozen: the fold.
        stored: what stands in the bucket.
        changes: what has changed in closed periods.
        today: the day on which a list is closed.
        at: where and when.
        told: what was told and does not stand in the bucket: a closing that was told is final all the same,
            and another list than that is a restatement of it.
    """
    for period, (_, _, late_missed) in frozen.closed.items():
        for key, computed in frozen.closed_lists(period).items():
            standing = stored.get(key)
            if standing is None:
                continue  # never published while it was open, so there is nothing to close
            found = PublishedList.of(computed, at.position, at.now, at.cases)
            unknown = (told or {}).get(key)
            said = unknown or _said(standing)
            if said is None:
                final = found.closed(today, computed.hash, 0, late_missed)
                yield Closing(final, period, today, late_missed, computed.items)
            elif computed.hash != said.hash:
                if standing.is_closed and standing.head.get("registry") != computed.registry:
                    continue
                # The rows of what was told and stands nowhere are not at hand: all that are shown are told.
                before = standing.rows if unknown is None else None
                change = changes.get(period)
                number = said.restatement + 1
                yield Restatement(
                    found.closed(_closed_on(said, standing, today), said.closed_hash, number, late_missed),
                    period,
                    said.closed_hash,
                    number,
                    [computed.items[place] for place in changed_rows(computed.rows, before)],
                    change.causes if change is not None else (),
                )
            elif unknown is not None:
                closed_on = _closed_on(said, standing, today)
                yield Resumption(found.closed(closed_on, said.closed_hash, said.restatement, late_missed))


def _said(standing: PublishedList) -> ToldPeriod | None:
    """What the bucket says of a list's closing; None: it has not closed."""
    if not standing.is_closed:
        return None
    return ToldPeriod(standing.hash, standing.head["closed_hash"], None, standing.head["restatement"])


def _closed_on(said: ToldPeriod, standing: PublishedList, today: date) -> date:
    return standing.closed_on or said.closed_on or today
