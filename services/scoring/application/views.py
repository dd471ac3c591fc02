"""Views 辖区榜: a published list cut down to the units below one city or county, ranked among themselves.

Pure, from the published rows and the registry alone: whoever holds a list can make every view of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np

from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import RANKED, Row, ends_of
from services.scoring.domain.rank_intervals import rank_intervals
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry


class Before(NamedTuple):
    """What the ranks of a list are compared with.

    Attributes:
        as_of: day of the list.
        order: ids of the units that were ranked, best first: those that no longer are, too.
    """

    as_of: date
    order: Sequence[str]


def below(
    found: PublishedList, parent_id: str, registry: UnitRegistry, before: Before | None = None
) -> PublishedList:
    """The units of a list that stand below a parent, with ranks, intervals and changes of ranks among them.

    Scores, intervals and bands stay as they are: a unit's peers are the whole province's.

    Args:
        found: a published list.
        parent_id: a unit above those of the list: for a list of windows a city or a county.
        registry: says who stands below whom.
        before: what its ranks are compared with; None, or of another day: rank changes are not known. The
            list alone can't tell them: those who were ranked before and no longer are would be missing.

    Returns:
        The view; its head says `parent`, names its own top and bottom, as many as the whole list, and has the
        hash of that. It has no `items`: a view is not published.

    Raises:
        InvalidValueError: the parent doesn't stand above the list's level; the message says what does.
        NotFoundError: no such unit.
    """
    parent, level = registry.get(parent_id), Level(found.head["level"])
    ladder = list(Level)
    if ladder.index(parent.level) >= ladder.index(level):
        above = ", ".join(ladder[: ladder.index(level)]) or "none: the province stands below nobody"
        raise InvalidValueError(
            f"{parent_id}, a unit of level {parent.level}",
            f"a unit of a level above {level}: {above}",
            "choose another parent, or leave it out for the whole list",
            field="parent",
        )
    inside = {unit.unit_id for unit in registry.subtree(parent_id)}
    order = None
    if before is not None and before.as_of == found.as_of:
        order = [unit_id for unit_id in before.order if unit_id in inside]
    rows = ranked_among([row for row in found.rows if row.unit_id in inside], order)
    head = {**found.head, "parent": parent_id, "units": len(rows), **_ends(found, rows)}
    if order is not None:
        head["compared_with"] = hashlib.sha256(" ".join(order).encode()).hexdigest()[:16]
    return replace(found, head=head, rows=rows, items=())


def _ends(found: PublishedList, rows: Sequence[Row]) -> dict[str, list[str] | None]:
    naming = found.head.get("naming")
    if naming is None:  # an older version closed it, and did not say how many it names
        return {"top": None, "bottom": None}
    return {**ends_of(rows, naming["top"], naming["bottom"])}


def ranked_among(rows: Sequence[Row], before: Sequence[str] | None = None) -> list[Row]:
    """Some rows of a list, in its order, with ranks and rank intervals among them.

    Args:
        rows: the rows.
        before: who of their units was ranked in what they are compared with, best first; None: not known.
    """
    past = {unit_id: rank for rank, unit_id in enumerate(before or (), 1)}
    ranked = [row for row in rows if row.status == RANKED]
    low, high = (
        np.array([float(end or 0) for end in ends])
        for ends in (
            [row.interval_low for row in ranked],
            [row.interval_high for row in ranked],
        )
    )
    best, worst = rank_intervals(low, high)
    places = zip(ranked, best.tolist(), worst.tolist(), strict=True)
    found = [
        row.at(rank, min(lo, rank), max(hi, rank), past[row.unit_id] - rank if row.unit_id in past else None)
        for rank, (row, lo, hi) in enumerate(places, 1)
    ]
    return found + [row for row in rows if row.status != RANKED]
