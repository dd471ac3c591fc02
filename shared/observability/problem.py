"""Errors over HTTP, in one place: RFC 9457 problem details for everything that goes wrong.

Each problem of a client names the field, the value (shortened), what was expected and the remedy; see
`withholding` for the values and names that are described instead.
Whatever we did not foresee becomes a 500 that tells nothing about the inside; the log has the details
under the same correlation id.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.kernel.errors import InvalidValueError, PermanentError, PingyiError, TransientError, shorten
from shared.observability.tracing import current_correlation_id
from shared.observability.withholding import (
    Withheld,
    described,
    holds_number,
    media_type_or_described,
    safe_name,
    safe_path,
    safe_text,
    safe_value,
    token_or_described,
)

MEDIA_TYPE: Final = "application/problem+json"
DEFAULT_RETRY_AFTER_S: Final = 5.0
ERRORS_SHOWN: Final = 20
"""A body can be made of thousands of unknown fields; the answer must not be."""
VALUES_SHOWN: Final = 4
"""Values that an answer repeats of a parameter that came several times."""
UNPARSABLE: Final = "There was an error parsing the body"
"""FastAPI's words for a body that fails in another way than by JSON's grammar, such as its encoding."""
_HTTP_NOT_FOUND: Final = 404
_HTTP_METHOD_NOT_ALLOWED: Final = 405
_HTTP_BAD_REQUEST: Final = 400
_READING: Final = frozenset({"GET", "HEAD"})
_PARAMETERS: Final = frozenset({"query", "path", "header", "cookie"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request; `value` is shortened, None where nothing came."""

    field: str
    value: str | None
    expected: str
    remedy: str

    def presentable(self) -> "FieldError":
        """Return it without names and values that hold a number of a person."""
        value = None if self.value is None else safe_value(self.value)
        return replace(self, field=safe_name(self.field), value=value)


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
        """Return the members that have a value, the correlation id of the current request included.

        Whoever made the problem, numbers of people do not get out: not in errors, nor in the detail that
        words one of them, nor in the path.
        """
        detail, errors = self.detail, []
        for error in self.errors:
            safe = error.presentable()
            errors.append(safe)
            if error.value and safe.value:
                detail = detail.replace(error.value, safe.value)
            detail = detail.replace(error.field, safe.field)
        body: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": detail,
        }
        if self.instance is not None:
            body["instance"] = safe_path(self.instance)
        correlation_id = current_correlation_id()
        if correlation_id is not None:
            body["correlation_id"] = correlation_id
        if errors:
            body["errors"] = [asdict(error) for error in errors]
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
    "union_tag_invalid": "use one of the listed values",
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


_WORDED: Final = frozenset({"value_error", "assertion_error"})
"""Their message is that of any Python exception, which may quote the value."""
_RANGES: Final = frozenset({"greater_than_equal", "less_than_equal", "greater_than", "less_than"})
_TYPED: Final = frozenset({"enum", "literal_error"}) | _WORDED
_TYPED_SUFFIXES: Final = ("_parsing", "_from_float", "timezone_aware", "_past", "_future")


def _shown(kind: str, place: Sequence[str], value: object) -> object:
    """What may be shown of a value: of strings only short words where a parameter or its type allows no text.

    Values that a service has replaced by their size beforehand stay as they are.
    """
    if kind == "extra_forbidden":
        return Withheld(f"a value of type {_json_type(value)}") if _is_scalar(value) else described(value)
    typed = kind in _TYPED or kind.endswith(_TYPED_SUFFIXES)
    if value is None or isinstance(value, bool):
        return Withheld(json.dumps(value))  # as the client wrote it
    if typed or (place and place[0] in _PARAMETERS):
        return token_or_described(value)
    return described(value)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    return "boolean" if isinstance(value, bool) else "number"


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
    value = None if kind == "missing" else shorten(_shown(kind, place, error.get("input")))
    if kind in _RANGES and value is not None and holds_number(value):
        value = f"a number of {sum(map(str.isdecimal, value))} digits, not repeated here"
    field = ".".join(safe_name(part) for part in place) or "body"
    if isinstance(cause, InvalidValueError):
        return FieldError(field, value, cause.expected, cause.remedy)
    message = str(error["msg"])
    if kind in _WORDED:
        message = safe_text(message)
    if kind == "json_invalid":
        message = f"valid JSON ({cause})" if isinstance(cause, str) else "valid JSON"
        # FastAPI's own error has an empty object in the place of the body.
        value = None if error.get("input") == {} else shorten(described(error.get("input")))
    elif kind == "union_tag_invalid":
        message = f"one of {error['ctx']['expected_tags']} as {error['ctx']['discriminator']}"
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
    return FieldError(field, value, message, _REMEDIES.get(kind, "correct the value"))


def validation_problem(errors: Sequence[Mapping[str, Any]], instance: str | None = None) -> Problem:
    """Return the problem of a request that doesn't fit its model: 400 for broken JSON, else 422."""
    broken = any(error["type"] == "json_invalid" for error in errors)
    found = field_errors(errors[:ERRORS_SHOWN])
    first = found[0] if found else None
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = "The request is invalid."
    if first:
        got = "" if first.value is None else f"Got {first.value}, "
        detail = f"{first.field}: {got}expected {first.expected}: {first.remedy}{more}."
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
    kind = {404: "not-found", 409: "conflict", 413: "too-large"}.get(error.http_status, "rejected")
    if isinstance(error, InvalidValueError):
        errors = (FieldError(error.field or "request", error.value, error.expected, error.remedy),)
        return Problem(urn(kind), error.title, error.http_status, str(error), instance, errors)
    return Problem(urn(kind), error.title, error.http_status, safe_text(str(error)), instance)


def internal_problem(instance: str | None = None) -> Problem:
    """Return the 500 for what was not foreseen."""
    return Problem(
        urn("internal"),
        "Internal error",
        500,
        "Something failed on our side: try again later and, if it persists, report the correlation id.",
        instance,
    )


def unknown_parameters_problem(unknown: Sequence[str], known: Sequence[str], instance: str) -> Problem:
    """Return the 422 of query parameters that the address doesn't declare; the answer names those it does."""
    listed = f"one of {', '.join(known)}" if known else "no parameters"
    remedy = "correct or remove it; see /docs"
    errors = tuple(FieldError(f"query.{safe_name(name)}", None, listed, remedy) for name in unknown)
    detail = f"There is no parameter {safe_name(unknown[0])} here, expected {listed}: {remedy}."
    return Problem(urn("validation"), "The request is not valid", 422, detail, instance, errors)


def repeated_parameters_problem(repeated: Mapping[str, Sequence[str]], instance: str) -> Problem:
    """Return the 422 of query parameters, by name, that came several times where one value is taken."""
    remedy = "give it once"
    errors = tuple(
        FieldError(
            f"query.{name}",
            shorten(Withheld(", ".join(shorten(token_or_described(each)) for each in values[:VALUES_SHOWN]))),
            f"one value, not {len(values)}",
            remedy,
        )
        for name, values in repeated.items()
    )
    first = errors[0]
    detail = f"{first.field}: Got {first.value}, expected {first.expected}: {remedy}."
    return Problem(urn("validation"), "The request is not valid", 422, detail, instance, errors)


def malformed_problem(instance: str | None = None) -> Problem:
    """Return the 400 of a body that is no JSON, not even text in UTF-8, or nested beyond any use."""
    error = FieldError("body", None, "valid JSON in UTF-8", _REMEDIES["json_invalid"])
    detail = f"body: expected {error.expected}: {error.remedy}."
    return Problem(
        urn("malformed"), "The body is not valid JSON", _HTTP_BAD_REQUEST, detail, instance, (error,)
    )


def media_type_problem(found: str | None, expected: str, instance: str | None = None) -> Problem:
    """Return the 415 of a body of the media type `found`, None if the header is missing."""
    shown = "nothing" if found is None else shorten(media_type_or_described(found))
    error = FieldError("Content-Type", shown, expected, f"send the header Content-Type: {expected}")
    detail = f"Got {shown}, expected {expected}: {error.remedy}."
    return Problem(urn("media-type"), "The media type is not supported", 415, detail, instance, (error,))


async def _on_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover - registered for it
        raise error
    errors = error.errors()
    # FastAPI hands a body of another type than JSON on as bytes, and finds that bytes are no object.
    if any(tuple(each["loc"]) == ("body",) and isinstance(each.get("input"), bytes) for each in errors):
        found = request.headers.get("content-type")
        return media_type_problem(found, "application/json", request.url.path).response()
    return validation_problem(errors, request.url.path).response()


async def _on_permanent(request: Request, error: Exception) -> Response:
    if not isinstance(error, PermanentError):  # pragma: no cover - registered for it
        raise error
    return permanent_problem(error, request.url.path).response()


async def _on_transient(request: Request, error: Exception) -> Response:
    after = error.retry_after_s if isinstance(error, TransientError) else None
    seconds = max(1, math.ceil(DEFAULT_RETRY_AFTER_S if after is None else after))
    again = (
        f"Try again after {seconds} s."
        if request.method in _READING
        else (
            "It may or may not have been accepted: send the same request, with the same Idempotency-Key "
            f"(or client_ref), again after {seconds} s."
        )
    )
    problem = Problem(
        urn("unavailable"), "Temporarily unavailable", 503, f"{error} {again}", request.url.path
    )
    return problem.response({"Retry-After": str(seconds)})


async def _on_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):  # pragma: no cover - registered for it
        raise error
    return error.problem.response(error.headers)


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover - registered for it
        raise error
    path = request.url.path
    if error.status_code == _HTTP_NOT_FOUND and error.detail == "Not Found":
        problem = _no_route(path)
    elif error.status_code == _HTTP_METHOD_NOT_ALLOWED:
        problem = _wrong_method(request.method, (error.headers or {}).get("Allow", "another method"), path)
    elif error.status_code == _HTTP_BAD_REQUEST and error.detail == UNPARSABLE:
        problem = malformed_problem(path)
    else:
        found = error.status_code != _HTTP_NOT_FOUND
        kind, title = ("http", f"HTTP {error.status_code}") if found else ("not-found", "Not found")
        problem = Problem(urn(kind), title, error.status_code, safe_text(str(error.detail)), path)
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return problem.response(headers)


def _no_route(path: str) -> Problem:
    shown = shorten(path)
    slashed = path.endswith("/") and path != "/"
    remedy = f"{'leave out the slash at the end, or ' if slashed else ''}see /docs for the addresses"
    error = FieldError("path", shown, "an address of this service", remedy)
    detail = f"There is nothing at {shown}: {remedy}."
    return Problem(urn("not-found"), "Not found", _HTTP_NOT_FOUND, detail, path, (error,))


def _wrong_method(method: str, allowed: str, path: str) -> Problem:
    shown = shorten(method)
    error = FieldError("method", shown, allowed, "use that method or another address")
    detail = f"Got {shown}, expected {allowed}: {error.remedy}."
    return Problem(
        urn("method-not-allowed"), "Method not allowed", _HTTP_METHOD_NOT_ALLOWED, detail, path, (error,)
    )


ErrorResponder = Callable[[Request, Exception], Awaitable[Response | None]]
"""Gives the answer to an error that an endpoint raised; None if no handler is there for its kind."""


def error_responder(app: FastAPI) -> ErrorResponder:
    """Return what answers with `app`'s error handlers, the nearest class first, as Starlette does."""

    async def respond(request: Request, error: Exception) -> Response | None:
        for kind in type(error).__mro__:
            handler = app.exception_handlers.get(kind)
            if handler is not None:
                answer = handler(request, error)
                return answer if isinstance(answer, Response) else await answer
        return None

    return respond


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
