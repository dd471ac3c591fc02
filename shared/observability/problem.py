"""Errors over HTTP, in one place: RFC 9457 problem details for everything that goes wrong.

Each problem of a client names the field, the value (shortened), what was expected and the remedy.
Whatever we did not foresee becomes a 500 that tells nothing about the inside; the log has the details
under the same correlation id.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.kernel.errors import InvalidValueError, PermanentError, PingyiError, TransientError, shorten
from shared.observability.tracing import current_correlation_id

MEDIA_TYPE: Final = "application/problem+json"
DEFAULT_RETRY_AFTER_S: Final = 5.0
_HTTP_NOT_FOUND: Final = 404
_HTTP_METHOD_NOT_ALLOWED: Final = 405


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request; `value` is shortened, None where nothing came."""

    field: str
    value: str | None
    expected: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Problem details (RFC 9457 §3.1) plus `errors` and the `correlation_id` to quote to the operator.

    Attributes:
        type: URN of the kind of problem; stable, for programs.
        title: the kind in words.
        status: HTTP status.
        detail: this occurrence in words.
        instance: path of the request.
        errors: what is wrong, field by field.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[FieldError, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the members that have a value, the correlation id of the current request included."""
        body: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.instance is not None:
            body["instance"] = self.instance
        correlation_id = current_correlation_id()
        if correlation_id is not None:
            body["correlation_id"] = correlation_id
        if self.errors:
            body["errors"] = [asdict(error) for error in self.errors]
        return body

    def encode(self) -> bytes:
        """Return the body; characters that UTF-8 can't carry become question marks."""
        return json.dumps(self.as_json(), ensure_ascii=False).encode("utf-8", "replace")

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer to send."""
        return Response(self.encode(), self.status, dict(headers or {}), MEDIA_TYPE)


class ProblemError(PingyiError):
    """Raised by an endpoint that has worked out its own problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers


def urn(kind: str) -> str:
    """Return the type of a problem, e.g. ``urn:pingyi:problem:validation``."""
    return f"urn:pingyi:problem:{kind}"


_REMEDIES: Final = {
    "missing": "add the field",
    "extra_forbidden": "remove the field; see /docs for the known ones",
    "json_invalid": "send syntactically valid JSON in UTF-8",
    "json_type": "send JSON",
    "enum": "use one of the listed values",
    "literal_error": "use one of the listed values",
    "int_type": "send a whole number without quotes",
    "int_parsing": "send a whole number",
    "int_from_float": "send a whole number",
    "float_type": "send a number without quotes",
    "bool_type": "send true or false",
    "string_type": "send a string in double quotes",
    "string_too_long": "shorten it",
    "string_too_short": "fill it in or leave the field out",
    "string_pattern_mismatch": "write it in that form",
    "list_type": "send an array",
    "too_long": "send fewer items",
    "too_short": "send more items",
    "model_attributes_type": "send a JSON object",
    "model_type": "send a JSON object",
    "dict_type": "send a JSON object",
    "timezone_aware": "append the offset, e.g. +08:00",
    "datetime_from_date_parsing": "write it as 2026-01-31T09:30:00+08:00",
    "datetime_parsing": "write it as 2026-01-31T09:30:00+08:00",
    "datetime_type": "write it as 2026-01-31T09:30:00+08:00",
    "greater_than_equal": "choose a value within the range",
    "less_than_equal": "choose a value within the range",
    "greater_than": "choose a value within the range",
    "less_than": "choose a value within the range",
}


def field_errors(errors: Sequence[Mapping[str, Any]]) -> tuple[FieldError, ...]:
    """Word the errors of pydantic (``error.errors()``) by field, value, expectation and remedy."""
    return tuple(_field_error(error) for error in errors)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    kind = str(error["type"])
    place = [str(part) for part in error["loc"]]
    if place and place[0] == "body":
        place = place[1:]
    if kind == "json_invalid":
        place = []  # the position in the text is in the message; it is no field
    cause = error.get("ctx", {}).get("error")
    value = None if kind == "missing" else shorten(error.get("input"))
    if isinstance(cause, InvalidValueError):
        return FieldError(".".join(place) or "body", value, cause.expected, cause.remedy)
    message = str(error["msg"])
    if kind == "json_invalid":
        message = f"valid JSON ({cause})" if isinstance(cause, str) else "valid JSON"
        value = None
    elif kind == "missing":
        message = "this field, which is required"
    elif kind == "extra_forbidden":
        message = "no such field"
    else:
        message = (
            message.removeprefix("Value error, ")
            .removeprefix("Input should be ")
            .removeprefix("Input should ")
        )
    return FieldError(".".join(place) or "body", value, message, _REMEDIES.get(kind, "correct the value"))


def validation_problem(errors: Sequence[Mapping[str, Any]], instance: str | None = None) -> Problem:
    """Return the problem of a request that doesn't fit its model: 400 for broken JSON, else 422."""
    broken = any(error["type"] == "json_invalid" for error in errors)
    found = field_errors(errors)
    first = found[0] if found else None
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = (
        f"{first.field}: expected {first.expected}: {first.remedy}{more}."
        if first
        else "The request is invalid."
    )
    return Problem(
        urn("malformed" if broken else "validation"),
        "The body is not valid JSON" if broken else "The request is not valid",
        400 if broken else 422,
        detail,
        instance,
        found,
    )


def permanent_problem(error: PermanentError, instance: str | None = None) -> Problem:
    """Return the problem of a `PermanentError`, with the status of its class."""
    errors: tuple[FieldError, ...] = ()
    if isinstance(error, InvalidValueError):
        errors = (FieldError(error.field or "request", error.value, error.expected, error.remedy),)
    kind = {404: "not-found", 409: "conflict", 413: "too-large"}.get(error.http_status, "rejected")
    return Problem(urn(kind), error.title, error.http_status, str(error), instance, errors)


def internal_problem(instance: str | None = None) -> Problem:
    """Return the 500 for what was not foreseen."""
    return Problem(
        urn("internal"),
        "Internal error",
        500,
        "Something failed on our side: try again later and, if it persists, report the correlation id.",
        instance,
    )


async def _on_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover - registered for it
        raise error
    return validation_problem(error.errors(), request.url.path).response()


async def _on_permanent(request: Request, error: Exception) -> Response:
    if not isinstance(error, PermanentError):  # pragma: no cover - registered for it
        raise error
    return permanent_problem(error, request.url.path).response()


async def _on_transient(request: Request, error: Exception) -> Response:
    after = error.retry_after_s if isinstance(error, TransientError) else None
    seconds = max(1, math.ceil(DEFAULT_RETRY_AFTER_S if after is None else after))
    problem = Problem(
        urn("unavailable"),
        "Temporarily unavailable",
        503,
        f"{error} Nothing was accepted; send the same request again after {seconds} s.",
        request.url.path,
    )
    return problem.response({"Retry-After": str(seconds)})


async def _on_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):  # pragma: no cover - registered for it
        raise error
    return error.problem.response(error.headers)


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover - registered for it
        raise error
    kind, title, detail = "http", f"HTTP {error.status_code}", str(error.detail)
    if error.status_code == _HTTP_NOT_FOUND:
        kind, title = "not-found", "Not found"
        if detail == "Not Found":
            detail = f"There is nothing at {shorten(request.url.path)}: see /docs for the addresses."
    elif error.status_code == _HTTP_METHOD_NOT_ALLOWED:
        kind, title = "method-not-allowed", "Method not allowed"
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"Got {shorten(request.method)}, expected {allowed}: use that method or another address."
    return Problem(urn(kind), title, error.status_code, detail, request.url.path).response(error.headers)


def install_handlers(app: FastAPI) -> None:
    """Answer every known error of `app` as problem details; `http.install` covers the unknown ones.

    Not `ValidationError`: outside of request parsing it is a defect of ours, hence a 500. A raw route
    turns its own into `validation_problem`.
    """
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(PermanentError, _on_permanent)
    app.add_exception_handler(TransientError, _on_transient)
