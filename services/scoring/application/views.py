"""Views 辖区榜: a published list cut down to the units below one city or county, ranked among themselves.

Pure, from the published rows and the registry alone: whoever holds a list can make every view of it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import RANKED, Row
from services.scoring.domain.rank_intervals import rank_intervals
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry


def below(found: PublishedList, parent_id: str, registry: UnitRegistry) -> PublishedList:
    """The units of a list that stand below a parent, with ranks and rank intervals among them.

    Scores, intervals and bands stay as they are: a unit's peers are the whole province's. Rank changes are
    not known: those who were ranked before and no longer are would be missing.

    Args:
        found: a published list.
        parent_id: a unit above those of the list: for a list of windows a city or a county.
        registry: says who stands below whom.

    Returns:
        The view; its head says `parent`, names no top and bottom, and has the hash of the whole list. It has
        no `items`: a view is not published.

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
    rows = ranked_among([row for row in found.rows if row.unit_id in inside])
    head = {**found.head, "parent": parent_id, "units": len(rows), "top": None, "bottom": None}
    return replace(found, head=head, rows=rows, items=())


def ranked_among(rows: Sequence[Row]) -> list[Row]:
    """Some rows of a list, in its order, with ranks and rank intervals among them and no rank changes."""
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
    found = [row.at(rank, min(lo, rank), max(hi, rank), None) for rank, (row, lo, hi) in enumerate(places, 1)]
    return found + [row for row in rows if row.status != RANKED]
