"""HTTP: the published rankings, one unit's scores, the books. Reading only, and only what is published."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.scoring.application.handlers import ReadRankings
from services.scoring.application.pages import WantedList
from services.scoring.application.published import STREAM, PublishedList
from shared.events import RankingRow
from shared.kernel.grades import Level

DEFAULT_LIMIT = 100
MOST_ROWS = 2000


class ProblemBody(BaseModel):
    """A problem detail (RFC 9457), as every error is answered."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(description="URN of the kind of problem.")]
    title: Annotated[str, Field(description="The kind in words.")]
    status: Annotated[int, Field(description="HTTP status.")]
    detail: Annotated[str, Field(description="What came, what was expected, what to do.")]


class PriorBody(BaseModel):
    """The prior of one peer group."""

    source: Annotated[
        Literal["estimated", "rule_pack"], Field(description="From the peers, or the rule pack's fallback.")
    ]
    reason: Annotated[str | None, Field(description="Why it is the fallback.")]
    mu: Annotated[float | None, Field(description="Mean good share; null where it would tell on raters.")]
    strength: Annotated[float | None, Field(description="Weight of the prior, in ratings.")]
    units: Annotated[int, Field(description="Units with ratings that it rests on.")]


class ListHead(BaseModel):
    """What a list says about itself."""

    list: Annotated[
        str,
        Field(description="'<level>.<kind or all>.<window days or period>', also its key in the bucket."),
    ]
    level: Annotated[Level, Field(description="Level of the listed units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all are listed.")]
    window_days: Annotated[int, Field(description="Length of the rolling window or of the period, in days.")]
    period: Annotated[
        str | None, Field(description="2026-11, 2026Q4 or 2026; null for a rolling window.")
    ] = None
    as_of: Annotated[
        date, Field(description="Last day of the window, or day on which the period was counted.")
    ]
    sorted_by: Annotated[str, Field(description="The column that orders the list.")]
    rules: Annotated[str, Field(description="Hash of the rule pack.")]
    publish_from: Annotated[int, Field(description="Fewer ratings: suppressed.")]
    rank_from: Annotated[int, Field(description="Fewer ratings: shown, but unranked.")]
    positions: Annotated[dict[str, int], Field(description="Sequence that the list is valid at, by stream.")]
    computed_at: Annotated[str, Field(description="When its present content was computed, UTC.")]
    list_hash: Annotated[str, Field(description="SHA-256 of its canonical JSON.")]
    units: Annotated[int, Field(description="Rows of the whole list, or of the part below `parent`.")]


class RankingBody(ListHead):
    """One page of a list."""

    parent: Annotated[
        str | None,
        Field(description="The unit whose subordinates are shown, ranked among themselves; null: all."),
    ] = None
    top: Annotated[
        list[str] | None, Field(description="Unit ids of the best, by rank; null for a part of a list.")
    ] = None
    bottom: Annotated[
        list[str] | None,
        Field(description="Unit ids of the worst, by rank: candidates. Never one of `top`; null for a part."),
    ] = None
    composite_weights: Annotated[
        dict[str, float], Field(description="Weight of each part of the composite.")
    ] = {}
    priors: Annotated[dict[str, PriorBody], Field(description="Prior of each peer group in the list.")]
    items: Annotated[
        list[RankingRow], Field(description="Ranked by rank, then unranked, then suppressed by unit id.")
    ]
    next: Annotated[str | None, Field(description="Cursor of the next page; null at the end.")]


class UnitWindowBody(RankingRow):
    """A unit's row in one window of its list."""

    list: Annotated[str, Field(description="Key of the list.")]
    window_days: Annotated[int, Field(description="Length of the rolling window, in days.")]
    as_of: Annotated[date, Field(description="Last day of the window, Asia/Shanghai.")]
    units: Annotated[int, Field(description="Rows of the list.")]
    list_hash: Annotated[str, Field(description="Hash of the list.")]


class UnitScoreBody(BaseModel):
    """A unit's scores in all windows."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    level: Annotated[Level, Field(description="Level of the unit.")]
    kind: Annotated[str | None, Field(description="Window kind; null for a bureau.")]
    rules: Annotated[str | None, Field(description="Hash of the rule pack.")]
    positions: Annotated[
        dict[str, int], Field(description="Sequence that the scores are valid at, by stream.")
    ]
    windows: Annotated[list[UnitWindowBody], Field(description="One entry for each window, shortest first.")]


class BooksBody(BaseModel):
    """The books: accepted = counted + replaced + held + excluded + late."""

    accepted: Annotated[int, Field(description="Distinct ratings, probes left out.")]
    counted: Annotated[int, Field(description="In the statistics.")]
    replaced: Annotated[int, Field(description="A newer rating of the same service stands for them.")]
    held: Annotated[int, Field(description="Quarantined.")]
    excluded: Annotated[int, Field(description="Taken out after review.")]
    late: Annotated[int, Field(description="Received too long after they happened.")]
    balanced: Annotated[bool, Field(description="Whether the equation holds.")]
    duplicates: Annotated[int, Field(description="Repeats of accepted events; outside of the equation.")]
    synthetic: Annotated[int, Field(description="Probes and drills; outside of the equation.")]
    positions: Annotated[dict[str, int], Field(description="Last sequence taken in, by stream.")]
    computed_at: Annotated[str, Field(description="When, UTC.")]


class ListQuery:
    """Query parameters that choose a list."""

    def __init__(
        self,
        level: Annotated[str, Query(description="window, county, city or province.")] = "county",
        kind: Annotated[str | None, Query(description="Window kind; left out: all kinds.")] = None,
        window: Annotated[
            str | None, Query(description="Days of the rolling window: 7, 30 (if left out), 90, 365.")
        ] = None,
        period: Annotated[
            str | None, Query(description="Calendar period instead: 2026-11, 2026Q4 or 2026.")
        ] = None,
        parent: Annotated[
            str | None, Query(description="Id of a city or county: only the units below it.")
        ] = None,
    ) -> None:
        self._wanted = WantedList(level, kind, window, period, parent)

    def wanted(self) -> WantedList:
        """The question for the application."""
        return self._wanted


_PROBLEM: dict[str, Any] = {
    "model": ProblemBody,
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
}
_UNPROCESSABLE: dict[int | str, dict[str, Any]] = {
    422: {
        **_PROBLEM,
        "description": "No such level, kind, span, parent or cursor; the answer names what exists.",
    }
}
_REVISED: dict[int | str, dict[str, Any]] = {
    409: {**_PROBLEM, "description": "The list was revised after the page before: begin at the first page."}
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {**_PROBLEM, "description": "No such unit; the answer proposes near ids."}
}
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {**_PROBLEM, "description": "Still folding the stream: see Retry-After, and the progress in detail."}
}


def make_router(read: ReadRankings) -> APIRouter:
    """The routes over ``read``."""
    router = APIRouter(prefix="/v1", tags=["rankings"])

    @router.get("/rankings", responses={**_NOT_FOUND, **_REVISED, **_UNPROCESSABLE, **_UNAVAILABLE})
    async def get_ranking(
        wanted: Annotated[ListQuery, Depends()],
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows.")] = DEFAULT_LIMIT,
        cursor: Annotated[
            str | None, Query(max_length=256, description="The `next` of the page before; for the same list.")
        ] = None,
    ) -> RankingBody:
        """One page of a list, as it stands in the bucket; with `parent` a part of it, ranked anew."""
        page = read.list_page(wanted.wanted(), limit, cursor)
        return RankingBody.model_validate(
            {
                **page.list.head,
                "positions": {STREAM: page.position},
                "items": [row.document() for row in page.rows],
                "next": page.next,
            }
        )

    @router.get("/units/{unit_id}/score", responses={**_NOT_FOUND, **_UNPROCESSABLE, **_UNAVAILABLE})
    async def get_unit_score(
        unit_id: str,
        window: Annotated[
            str | None, Query(description="One rolling window, in days; left out: all.")
        ] = None,
    ) -> UnitScoreBody:
        """A unit's rows in the windows of the list that it is ranked in."""
        found = read.unit_score(unit_id, window)
        first = found.windows[0][0] if found.windows else None
        return UnitScoreBody(
            unit_id=found.unit.unit_id,
            name=found.unit.name,
            level=found.unit.level,
            kind=found.unit.kind if found.unit.level is Level.WINDOW else None,
            rules=first.head["rules"] if first is not None else None,
            positions={STREAM: found.position},
            windows=[
                UnitWindowBody.model_validate({**row.document(), **_place(ranking)})
                for ranking, row in found.windows
            ],
        )

    @router.get("/books", responses={**_UNAVAILABLE})
    async def get_books() -> BooksBody:
        """Where every accepted rating is."""
        return BooksBody.model_validate(read.books().document())

    return router


def _place(ranking: PublishedList) -> dict[str, Any]:
    return {name: ranking.head[name] for name in ("list", "window_days", "as_of", "units", "list_hash")}
