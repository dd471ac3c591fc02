"""HTTP: a list live, as server-sent events."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header
from fastapi import Path as InPath
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.scoring.application.boards import Boards, Told
from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import canonical_json
from services.scoring.entrypoints.answers import NO_LIST, PREFIX, UNAVAILABLE, UNPROCESSABLE, Responses
from services.scoring.entrypoints.bodies import RevisedBody
from shared.auth.access import PUBLIC

RETRY_MS: Final = 3000
"""How long a browser waits before it connects again."""
LEFT_OUT: Final = frozenset({"priors", "pages"})
"""Members of a head that an event does without."""

_EVENTS: Final[Responses] = {
    200: {
        "description": "Event `list`: the head as it stands; then `revised` whenever the list changes, and "
        "`withdrawn` with what stood last, as the end, once there is no such list any more. "
        "`data` is JSON (RevisedBody), `id` names the state: the list's hash, of "
        "a closed list with what its closing says. A comment every 15 s keeps the connection.",
        "model": RevisedBody,
    }
}


def make_stream_router(boards: Boards) -> APIRouter:
    """The route of live boards."""
    router = APIRouter(prefix=PREFIX, tags=["rankings"], dependencies=[PUBLIC])

    async def board(
        key: Annotated[str, InPath(description="Key of a list: `window.marriage.30`.")],
    ) -> AsyncIterator[PublishedList]:
        """The list, and a seat before its board for as long as the answer lasts."""
        found = boards.find(key)
        with boards.seat():
            yield found

    @router.get(
        "/rankings/{key}/stream",
        response_class=EventSourceResponse,
        responses={**_EVENTS, **NO_LIST, **UNPROCESSABLE, **UNAVAILABLE},
    )
    async def follow_ranking(
        found: Annotated[PublishedList, Depends(board)],
        last_event_id: Annotated[
            str | None, Header(description="The `id` of the state that is known; it is not told again.")
        ] = None,
    ) -> AsyncIterable[ServerSentEvent]:
        """A list live: its head at once, and its changed rows whenever it is revised."""
        async for told in boards.follow(found, last_event_id):
            yield to_event(told)

    return router


def to_event(told: Told) -> ServerSentEvent:
    """One event as it is sent."""
    head = {name: value for name, value in told.list.head.items() if name not in LEFT_OUT}
    body = {"head": head, "items": [row.document() for row in told.rows], "truncated": told.truncated}
    return ServerSentEvent(
        raw_data=canonical_json(body).decode(), event=told.event, id=told.list.version, retry=RETRY_MS
    )
