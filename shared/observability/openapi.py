"""What every service's OpenAPI document says about errors, written once from what all services do alike.

FastAPI documents answers of its own that we never give (``HTTPValidationError``), and knows nothing of those
that are given in front of a route: unknown parameters, bodies that are no JSON or of another media type. A
client that is generated from the document would meet them unprepared.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

from fastapi import FastAPI

from shared.observability.problem import MEDIA_TYPE

SCHEMA: Final = "Problem"
_FIRST_ERROR: Final = 400
_PLACE: Final = "#/components/schemas/"
_REFERENCE: Final = {"$ref": f"{_PLACE}{SCHEMA}"}
_OPERATIONS: Final = "operations"
"""Tag of the routes for probes: unknown parameters are no error there, and a 503 is no problem document."""
_INVALID: Final = {"422": "A parameter or the body is not valid, or not known; the answer names it."}
_BODY: Final = {
    "400": "The body is not valid JSON in UTF-8.",
    "415": "The media type of the body is not supported.",
}

_LATER: Final = {"503": "Something that it takes is away, or not ready yet; see Retry-After."}
_PLACED: Final = {"404": "There is no such thing, or none that is yours to see."}

_TEXT: Final = {"type": "string"}
_PROBLEM: Final[dict[str, Any]] = {
    "title": SCHEMA,
    "description": "Problem details (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "URN of the kind of problem; stable, for programs."},
        "title": {"type": "string", "description": "The kind in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, and what to do."},
        "instance": {"type": "string", "description": "Path of the request."},
        "correlation_id": {"type": "string", "description": "To quote to the operator."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "value", "expected", "remedy"],
                "properties": {
                    "field": _TEXT,
                    "value": {"type": ["string", "null"], "description": "Shortened, or only its size."},
                    "expected": _TEXT,
                    "remedy": _TEXT,
                },
            },
        },
    },
}


def describe_problems(app: FastAPI) -> None:
    """Let the OpenAPI document of `app` say which problems there are, and that they are problem documents.

    Call it before anything else extends the document.
    """
    make: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = make()
        if fresh:
            _complete(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(document: dict[str, Any]) -> None:
    for path, operation in _operations(document):
        if _OPERATIONS in operation.get("tags", ()):
            continue
        responses = operation["responses"]
        common = _INVALID | _LATER | (_BODY if "requestBody" in operation else {})
        for status, text in (common | _PLACED if "{" in path else common).items():
            responses.setdefault(status, {"description": text})
        for status, response in responses.items():
            if status.isdigit() and int(status) >= _FIRST_ERROR:
                if response.get("description") == "Validation Error":
                    response["description"] = _INVALID["422"]
                if not _extends(response):
                    response["content"] = {MEDIA_TYPE: {"schema": _REFERENCE}}
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas[SCHEMA] = deepcopy(_PROBLEM)
    _drop_unused(document, schemas)


def _extends(response: dict[str, Any]) -> bool:
    """Whether a route has said itself what stands beside the problem: as `allOf` of it and more."""
    schema = response.get("content", {}).get(MEDIA_TYPE, {}).get("schema", {})
    return _REFERENCE in schema.get("allOf", ())


def _drop_unused(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Leave out the schemas that only the replaced descriptions named."""
    while True:
        named = json.dumps(document, ensure_ascii=False)
        unused = [name for name in schemas if f'"{_PLACE}{name}"' not in named]
        if not unused:
            return
        for name in unused:
            del schemas[name]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            yield path, operation
