"""HTTP: one unit, in all windows of today or in one window day by day."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from services.scoring.application.handlers import ReadRankings, UnitScore
from services.scoring.application.looking_back import LookBack, UnitHistory, history_hash, lineage
from services.scoring.application.published import STREAM, PublishedList, positions_of
from services.scoring.domain.lists import SUPPRESSED
from services.scoring.domain.small_groups import LEAST_SHOWN
from services.scoring.entrypoints.answers import (
    NO_UNIT,
    NOT_MODIFIED,
    PREFIX,
    UNAVAILABLE,
    UNPROCESSABLE,
    Tag,
)
from services.scoring.entrypoints.bodies import UnitHistoryBody, UnitScoreBody, UnitWindowBody
from shared.auth.access import PUBLIC
from shared.kernel.grades import Level

MOST_DAYS: Final = 92
_RESPONSES: Final = {**NOT_MODIFIED, **NO_UNIT, **UNPROCESSABLE, **UNAVAILABLE}


def make_units_router(read: ReadRankings, look_back: LookBack) -> APIRouter:
    """The routes of single units."""
    router = APIRouter(prefix=PREFIX, tags=["rankings"], dependencies=[PUBLIC])

    @router.get("/units/{unit_id}/score", response_model=UnitScoreBody, responses=_RESPONSES)
    async def get_unit_score(
        request: Request,
        response: Response,
        unit_id: str,
        window: Annotated[
            str | None, Query(description="One rolling window, in days; left out: all.")
        ] = None,
        period: Annotated[
            str | None, Query(description="One calendar period instead: 2026-11, 2026Q4 or 2026.")
        ] = None,
    ) -> Any:  # noqa: ANN401 - one of several answers
        """A unit's rows in the windows, or in one period, of the list that it is ranked in."""
        found = read.unit_score(unit_id, window, period)
        hashes = (ranking.hash for ranking, _ in found.windows)
        tag = Tag(request, *hashes, *lineage(found.unit, found.predecessors))
        known = tag.not_modified()
        if known is not None:
            return known
        response.headers.update(tag.headers)
        return score_body(found)

    @router.get("/units/{unit_id}/history", response_model=UnitHistoryBody, responses=_RESPONSES)
    async def get_unit_history(
        request: Request,
        response: Response,
        unit_id: str,
        days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="How many days, today included.")] = 90,
        window: Annotated[
            str | None, Query(description="Days of the rolling window: 7, 30 (if left out), 90, 365.")
        ] = None,
    ) -> Any:  # noqa: ANN401 - one of several answers
        """A unit's rolling window as of each of the last days, with today's knowledge."""
        found = await look_back.history(unit_id, window, days)
        tag = Tag(request, history_hash(found))
        known = tag.not_modified()
        if known is not None:
            return known
        response.headers.update(tag.headers)
        return history_body(found)

    return router


def score_body(found: UnitScore) -> UnitScoreBody:
    """A unit's scores as they are answered."""
    first = found.windows[0][0] if found.windows else None
    return UnitScoreBody(
        unit_id=found.unit.unit_id,
        name=found.unit.name,
        level=found.unit.level,
        kind=found.unit.kind if found.unit.level is Level.WINDOW else None,
        rules=first.head["rules"] if first is not None else None,
        positions=positions_of(found.position, found.cases),
        windows=[
            UnitWindowBody.model_validate({**row.document(), **_place(ranking)})
            for ranking, row in found.windows
        ],
        successor=found.unit.successor,
        predecessors=found.predecessors,
    )


def history_body(found: UnitHistory) -> UnitHistoryBody:
    """A unit's days as they are answered."""
    unit = found.unit
    hides = any(point.ratings_of_day is None for point in found.points if point.status != SUPPRESSED)
    return UnitHistoryBody.model_validate(
        {
            "unit_id": unit.unit_id,
            "name": unit.name,
            "level": unit.level,
            "kind": unit.kind if unit.level is Level.WINDOW else None,
            "list": str(found.list),
            "window_days": found.list.window_days,
            "rules": found.rules,
            "positions": {STREAM: found.position},
            "fewer_than": LEAST_SHOWN if hides else None,
            "items": [point._asdict() for point in found.points],
            "successor": unit.successor,
            "predecessors": found.predecessors,
        }
    )


def _place(ranking: PublishedList) -> dict[str, Any]:
    names = ("list", "window_days", "period", "as_of", "units", "list_hash")
    return {name: ranking.head.get(name) for name in names}
