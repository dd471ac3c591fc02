"""The story of a rating over HTTP: as JSON for programs, as text for people."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from services.archive.application.reading import Reads
from services.archive.domain import reads as told
from services.archive.domain.story import Story, Tie, as_text
from services.archive.entrypoints.parameters import in_words
from services.archive.entrypoints.readers import reader_of, visible_to
from shared.auth.access import requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.events.base import Instant
from shared.observability.negotiation import preferred
from shared.observability.problem import MEDIA_TYPE

TEXT: Final = "text/plain"
_PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {TEXT: {"schema": {"type": "string"}}}},
    404: {"description": "Neither an event nor a correlation of this id is archived.", **_PROBLEM},
    422: {"description": "A parameter is not valid; the answer names it.", **_PROBLEM},
    503: {"description": "MongoDB or the broker is away.", **_PROBLEM},
}


class StepAnswer(BaseModel):
    """One event of the story."""

    stage: Annotated[
        str,
        Field(
            description="received, counted, rank_moved, alert, delivered, acknowledged, corrected, case, "
            "sanction …; "
            "folded: a ranking includes the rating and does not show its unit anew."
        ),
    ]
    received_at: Annotated[Instant, Field(description="When the platform received or decided it.")]
    time: Annotated[Instant, Field(description="When the fact happened.")]
    summary: Annotated[str, Field(description="In a few words.")]
    tie: Annotated[Tie, Field(description="How it is known to belong here.")]
    of: Annotated[str | None, Field(description="Event id of the step that the tie leads from.")]
    event_id: Annotated[str, Field(description="Event id; `GET /v1/events/{event_id}` has all of it.")]
    type: Annotated[str, Field(description="CloudEvents type.")]
    index: Annotated[int, Field(description="Index in the log.")]
    stream: str
    sequence: int
    actor: Annotated[str | None, Field(description="Account, post or role that did it.")]
    correlation_id: str
    causation_id: str | None


class StoryAnswer(BaseModel):
    """The steps in the order in which the platform learned of them."""

    asked: Annotated[str, Field(description="The id that was asked for.")]
    size: Annotated[int, Field(description="Entries in the log as it was told.")]
    steps: list[StepAnswer]
    notes: Annotated[list[str], Field(description="What was left out, and why.")]


def make_trace_router(reads: Reads) -> APIRouter:
    """The route on ``reads``."""
    router = APIRouter(prefix="/v1")

    @router.get("/trace/{asked}", tags=["events"], response_model=StoryAnswer, responses=_RESPONSES)
    async def trace(
        request: Request,
        asked: Annotated[str, Path(max_length=256, description="Event id, or correlation id.")],
        who: Annotated[Principal, requires(Permission.RECORDS_READ)],
        form: Annotated[
            Literal["json", "text"] | None,
            Query(alias="format", description="Left out: what the header Accept prefers, else json."),
        ] = None,
    ) -> Response:
        """Tell the whole story of a rating, from its receipt to the last thing that it led to.

        Followed are causes in both directions, correlation ids (unless other ratings share one, as in an
        import), ids derived from a step (revisions, acknowledgements, dead letters), cases, and the first
        ranking whose position includes the rating, with the unit's next move. At most 300 events, 8 links
        far; `notes` says what was left out. A story is a read of personal records: it is archived itself.
        """
        accept = request.headers.get("accept", "")
        as_words = form == "text" or (form is None and preferred(accept, "application/json", [TEXT]) == TEXT)
        asking = told.Request(
            reader_of(who), "trace", "text" if as_words else "json", in_words({"id": asked})
        )
        story = await reads.story(asking, asked, visible_to(who))
        if as_words:
            return PlainTextResponse(as_text(story))
        return Response(_answer(story).model_dump_json(), media_type="application/json")

    return router


def _answer(story: Story) -> StoryAnswer:
    steps = [
        StepAnswer.model_validate({name: getattr(step, name) for name in StepAnswer.model_fields})
        for step in story.steps
    ]
    return StoryAnswer(asked=story.asked, size=story.size, steps=steps, notes=list(story.notes))
