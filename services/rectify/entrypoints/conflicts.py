"""409s that a program can go on from: what stands in a move's way, or the newer state, beside the problem."""

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from services.rectify.application.desk import LostRaceError
from services.rectify.domain.errors import ChangedSinceError, IllegalMoveError
from services.rectify.entrypoints.answers import CaseOut
from shared.observability.problem import MEDIA_TYPE, permanent_problem

_NAMES: Final = {"type": "array", "items": {"type": "string"}}
_MORE: Final = {
    "type": "object",
    "properties": {
        "missing": _NAMES | {"description": "Of an illegal move: what stands in its way, with what to do."},
        "open_moves": _NAMES | {"description": "Of an illegal move: what can be done now."},
        "case": {
            "description": "Of a lost race: the newer state; the header ETag has its tag.",
            "allOf": [{"$ref": "#/components/schemas/CaseOut"}],
        },
    },
}
CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "The case does not allow it as it stands, or somebody was faster.",
        "content": {MEDIA_TYPE: {"schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, _MORE]}}},
    }
}
"""What the routes about cases answer besides."""


def with_newer(error: ChangedSinceError, path: str, newer: dict[str, Any], etag: str) -> Response:
    """The problem with the newer state beside it, and its tag."""
    problem = permanent_problem(error, path)
    return JSONResponse(
        problem.as_json() | newer, problem.status, headers={"ETag": etag}, media_type=MEDIA_TYPE
    )


def install_errors(app: FastAPI) -> None:
    """Answer so that whoever asked can decide again: with the newer state, or what is missing and open."""

    async def on_lost_race(request: Request, error: Exception) -> Response:
        if not isinstance(error, LostRaceError):  # pragma: no cover - registered for it
            raise error
        out = CaseOut.of(error.stored)
        return with_newer(error, request.url.path, {"case": out.model_dump(mode="json")}, out.etag)

    async def on_illegal_move(request: Request, error: Exception) -> Response:
        if not isinstance(error, IllegalMoveError):  # pragma: no cover - registered for it
            raise error
        problem = permanent_problem(error, request.url.path)
        body = problem.as_json() | {"missing": error.missing, "open_moves": error.open_moves}
        return JSONResponse(body, problem.status, media_type=MEDIA_TYPE)

    app.add_exception_handler(LostRaceError, on_lost_race)
    app.add_exception_handler(IllegalMoveError, on_illegal_move)
