"""HTTP: the lists, of today or of an earlier day, as JSON or as a table; and what moved in them."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from services.scoring.application.handlers import ReadRankings
from services.scoring.application.looking_back import YESTERDAY, Changes, LookBack
from services.scoring.application.pages import Page, WantedList
from services.scoring.application.published import STREAM, positions_of
from services.scoring.domain.lists import Row, canonical_json
from services.scoring.domain.moves import Move
from services.scoring.domain.small_groups import LEAST_SHOWN
from services.scoring.entrypoints.answers import (
    DEFAULT_LIMIT,
    MOST_ROWS,
    NO_LIST,
    NO_PROOF,
    NO_UNIT,
    NOT_MODIFIED,
    PREFIX,
    REVISED,
    UNAVAILABLE,
    UNPROCESSABLE,
    Responses,
    Tag,
)
from services.scoring.entrypoints.bodies import ChangesBody, RankingBody
from services.scoring.entrypoints.tables import wants_table, write_table
from shared.auth.access import PUBLIC
from shared.kernel.spreadsheets import CSV

CURSOR: Final = 256
"""Most characters of a cursor."""

SORTED_BY: Final = "Pingyi-Sorted-By"
RULES: Final = "Pingyi-Rules"
POSITIONS: Final = "Pingyi-Positions"
COMPUTED_AT: Final = "Pingyi-Computed-At"

_SAID: Final = {
    SORTED_BY: "Of a table: the column that orders it.",
    RULES: "Of a table: hash of the rule pack.",
    POSITIONS: "Of a table: sequence that it is valid at by stream, as JSON.",
    COMPUTED_AT: "Of a table: when its present content was computed, UTC.",
}
"""What the head of a list says, in headers: a table has no place for it."""

_TABLE: Final[Responses] = {
    200: {
        "description": "One page as JSON; as a table, all rows unless `limit` is given, and the headers "
        "`Pingyi-…` say what the head of the list says.",
        "content": {CSV: {"schema": {"type": "string"}}},
        "headers": {
            name: {"description": said, "schema": {"type": "string"}} for name, said in _SAID.items()
        },
    }
}


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


class PageQuery:
    """Query parameters that choose rows and form of a list."""

    def __init__(
        self,
        limit: Annotated[
            int | None,
            Query(
                ge=1, le=MOST_ROWS, description=f"Most rows; left out: {DEFAULT_LIMIT}, or all of a table."
            ),
        ] = None,
        cursor: Annotated[
            str | None, Query(max_length=CURSOR, description="The `next` of the page before; same list.")
        ] = None,
        form: Annotated[
            Literal["json", "csv"] | None,
            Query(alias="format", description="Left out: what the header Accept prefers, else json."),
        ] = None,
    ) -> None:
        self.cursor = cursor
        self._limit = limit
        self._form = form

    def is_table(self, request: Request) -> bool:
        """Whether a CSV table is wanted."""
        return wants_table(self._form, request.headers.get("accept", ""))

    def limit(self, *, table: bool) -> int | None:
        """Most rows; None: all."""
        return self._limit if table or self._limit is not None else DEFAULT_LIMIT


SeesAll = Callable[[Request], bool]
"""Whether who asks may see counts of fewer than `LEAST_SHOWN` ratings: an auditor, with a credential."""


def nobody(_request: Request) -> bool:
    """Without credentials nobody can be told to be an auditor."""
    return False


def make_rankings_router(read: ReadRankings, look_back: LookBack, sees_all: SeesAll = nobody) -> APIRouter:
    """The routes of lists: ``read`` answers from what is published, ``look_back`` about earlier days."""
    router = APIRouter(prefix=PREFIX, tags=["rankings"], dependencies=[PUBLIC])

    @router.get(
        "/rankings",
        response_model=RankingBody,
        responses={**_TABLE, **NOT_MODIFIED, **NO_UNIT, **REVISED, **UNPROCESSABLE, **UNAVAILABLE},
    )
    async def get_ranking(
        request: Request,
        response: Response,
        wanted: Annotated[ListQuery, Depends()],
        page: Annotated[PageQuery, Depends()],
        at: Annotated[
            date | None,
            Query(
                description="A business day before today: the list as of that day, with today's knowledge."
            ),
        ] = None,
    ) -> Any:  # noqa: ANN401 - one of several answers
        """One page of a list, as it stands in the bucket; with `parent` a part of it, ranked anew."""
        table = page.is_table(request)
        limit = page.limit(table=table)
        if at is None:
            asked = wanted.wanted()
            whole = read.find(asked)
            before = await look_back.before(whole) if asked.parent is not None else None
            found = read.list_page(asked, limit, page.cursor, before)
        else:
            found = await look_back.list_page(wanted.wanted(), at, limit, page.cursor)
        tag = Tag(request, found.list.version, "csv" if table else "json")
        known = tag.not_modified()
        if known is not None:
            return known
        if table:
            return _table(request, found, tag)
        response.headers.update(tag.headers)
        return ranking_body(found)

    @router.get(
        "/rankings/{key}/changes",
        response_model=ChangesBody,
        responses={**NOT_MODIFIED, **NO_PROOF, **NO_LIST, **REVISED, **UNPROCESSABLE, **UNAVAILABLE},
    )
    async def get_changes(
        request: Request,
        response: Response,
        key: Annotated[str, InPath(description="Key of a list: `window.marriage.30`.")],
        since: Annotated[
            str, Query(max_length=32, description="`yesterday`, or a business day before today.")
        ] = YESTERDAY,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most units.")] = DEFAULT_LIMIT,
        cursor: Annotated[
            str | None, Query(max_length=CURSOR, description="The `next` of the page before.")
        ] = None,
    ) -> Any:  # noqa: ANN401 - one of several answers
        """Which units moved since a day, how far and why; those that moved most first.

        Counts of fewer than five ratings are shown to auditors alone.
        """
        every = sees_all(request)
        found = await look_back.changes(key, since, limit, cursor, least=0 if every else LEAST_SHOWN)
        tag = Tag(request, found.hash, found.before.hash, found.after.hash)
        known = tag.not_modified()
        if known is not None:
            return known
        response.headers.update(tag.headers)
        if every:
            response.headers["Cache-Control"] = "no-store"
        return changes_body(found)

    return router


def ranking_body(page: Page) -> RankingBody:
    """One page as it is answered."""
    return RankingBody.model_validate(
        {
            **page.list.head,
            "positions": positions_of(page.position, page.cases),
            "items": [row.document() for row in page.rows],
            "next": page.next,
        }
    )


def changes_body(found: Changes) -> ChangesBody:
    """One page of moves as it is answered."""
    return ChangesBody.model_validate(
        {
            "list": str(found.after.key),
            "since": found.before.as_of,
            "as_of": found.after.as_of,
            "rules": found.after.rules,
            "positions": {STREAM: found.position},
            "units": len(found.after.rows),
            "moved": found.moved,
            "items": [_move(move) for move in found.moves],
            "next": found.next,
        }
    )


def _move(move: Move) -> dict[str, Any]:
    exchange = move.exchange
    left = exchange.left
    return {
        "unit_id": move.unit_id,
        "name": move.name,
        **_standing(move.before, "before"),
        **_standing(move.after, "after"),
        "places": move.places,
        "points": move.points,
        "why": {
            "entered": exchange.entered._asdict(),
            "left": None if left is None else left._asdict(),
            "fewer_than": LEAST_SHOWN if exchange.hides else None,
            "peers": {
                "group": move.group,
                "mu_before": move.prior_before.mu,
                "mu_after": move.prior_after.mu,
                "strength_before": move.prior_before.strength,
                "strength_after": move.prior_after.strength,
            },
            "by_ratings": move.by_ratings,
            "by_peers": move.by_peers,
            "left_out_before": move.before and move.before.left_out,
            "left_out_after": move.after and move.after.left_out,
        },
    }


def _standing(row: Row | None, when: str) -> dict[str, Any]:
    names = ("status", "rank", "score", "band")
    return {f"{name}_{when}": None if row is None else getattr(row, name) for name in names}


def _table(request: Request, page: Page, tag: Tag) -> StreamingResponse:
    """The rows as a file to be saved; with a limit, the header Link leads to the next page."""
    name = f"pingyi-{page.list.key}-{page.list.as_of}.csv"
    head = page.list.head
    headers = {
        **tag.headers,
        "Content-Disposition": f'attachment; filename="{name}"',
        SORTED_BY: head["sorted_by"],
        RULES: head["rules"],
        POSITIONS: canonical_json(positions_of(page.position, page.cases)).decode(),
        COMPUTED_AT: head["computed_at"],
    }
    if page.next is not None:
        following = request.url.include_query_params(cursor=page.next)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return StreamingResponse(write_table(page.rows), media_type=f"{CSV}; charset=utf-8", headers=headers)
