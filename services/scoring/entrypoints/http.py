"""HTTP: lists, single units, live boards, the books. Reading only.

What is of today is what stands in the bucket; what is of an earlier day is worked out from the fold.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from services.scoring.application.boards import Boards
from services.scoring.application.handlers import ReadRankings
from services.scoring.application.looking_back import LookBack
from services.scoring.entrypoints.answers import NOT_MODIFIED, PREFIX, UNAVAILABLE, Tag
from services.scoring.entrypoints.bodies import BooksBody
from services.scoring.entrypoints.rankings import SeesAll, make_rankings_router, nobody
from services.scoring.entrypoints.stream import make_stream_router
from services.scoring.entrypoints.units import make_units_router
from shared.auth.access import PUBLIC


def make_router(
    read: ReadRankings, look_back: LookBack, boards: Boards, sees_all: SeesAll = nobody
) -> APIRouter:
    """All routes of rankings; ``sees_all`` says who is an auditor."""
    router = APIRouter(dependencies=[PUBLIC])
    router.include_router(make_rankings_router(read, look_back, sees_all))
    router.include_router(make_stream_router(boards))
    router.include_router(make_units_router(read, look_back))

    @router.get(
        f"{PREFIX}/books",
        tags=["rankings"],
        response_model=BooksBody,
        responses={**NOT_MODIFIED, **UNAVAILABLE},
    )
    async def get_books(request: Request, response: Response) -> Any:  # noqa: ANN401 - or 304
        """Where every accepted rating is."""
        books = read.books()
        tag = Tag(request, books.encode().decode())
        known = tag.not_modified()
        if known is not None:
            return known
        response.headers.update(tag.headers)
        return BooksBody.model_validate(books.document())

    return router
