"""What every route that writes shares: the request's key and provenance, and its answers."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from random import Random
from typing import Any, Final

from starlette.types import Send

from services.intake.application.errors import IndexNotReadyError, RejectedError
from services.intake.application.hold_messages import OWN_KEYS
from services.intake.application.prepared import KEY_HEADER
from services.intake.application.quotas import OverQuotaError
from services.intake.application.spooling import SpoolDoubtError, SpoolUnavailableError
from services.intake.domain.measures import Size
from shared.events import Provenance
from shared.kernel.errors import InvalidValueError, TransientError
from shared.messaging.group_commit import PublishOverloadedError
from shared.messaging.publisher import NothingSentError
from shared.observability.problem import FieldError, Problem, ProblemError, urn
from shared.observability.tracing import current_context

JSON_TYPES: Final = ("application/json",)
MAX_KEY: Final = 255
RETRY_AFTER_S: Final = 15.0
"""Least pause before a retry; as much again is added at random, or all clients would come back at once."""
OVERLOAD_RETRY_AFTER_S: Final = 2.0

_NOTHING_SENT: Final = (
    NothingSentError, PublishOverloadedError, IndexNotReadyError, SpoolUnavailableError,
)  # fmt: skip
"""Errors that are raised before anything went to the broker or the spool."""

_KEY: Final = re.compile(rb"[\x20-\x7e]{1,%d}" % MAX_KEY)


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The documented errors of a route; `describe_problems` adds what they look like, once for all routes."""
    return {status.value: {"description": status.phrase} for status in statuses}


def key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The request's own key, None if it has none.

    Raises:
        InvalidValueError: it is empty, too long, or no printable ASCII.
    """
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise InvalidValueError(
            Size(f"{len(key)} characters"),
            f"1 to {MAX_KEY} printable ASCII characters",
            "use a UUID, for example",
            field=KEY_HEADER,
        )
    return key.decode("ascii")


def staff_key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of a request about ratings that are there; raises like `key_of`.

    Raises:
        InvalidValueError: it is one of screening's, for which the decision would pass.
    """
    key = key_of(headers)
    if key in OWN_KEYS:
        raise InvalidValueError(
            key, "a key that screening does not use", "use a UUID, for example", field=KEY_HEADER
        )
    return key


def provenance() -> Provenance:
    """Where the events of the current request come from."""
    context = current_context()
    return Provenance(context.correlation_id or "", None, context.traceparent)


def rejection(error: RejectedError, instance: str, title: str | None = None) -> ProblemError:
    """The answer to a request that can't be accepted, field by field."""
    found = tuple(
        FieldError(issue.field, issue.value, issue.expected, issue.remedy) for issue in error.issues
    )
    return ProblemError(
        Problem(urn("validation"), title or error.title, error.http_status, str(error), instance, found)
    )


def nothing_was_sent(error: TransientError) -> bool:
    """Whether it is sure that nothing of the request was accepted."""
    return isinstance(error, _NOTHING_SENT) and not isinstance(error, SpoolDoubtError)


def unavailable(error: TransientError, again: str, instance: str, random: Random) -> ProblemError:
    """The 503 of a request that is not known to be accepted.

    Args:
        error: what keeps the broker from taking it.
        again: what to do, with ``{seconds}`` where the pause belongs.
        instance: path of the request.
        random: spreads the clients that come back.
    """
    least = OVERLOAD_RETRY_AFTER_S if isinstance(error, PublishOverloadedError) else RETRY_AFTER_S
    seconds = math.ceil(least + random.uniform(0, least))
    detail = f"{error} {again.format(seconds=seconds)}"
    problem = Problem(urn("unavailable"), "Temporarily unavailable", 503, detail, instance)
    return ProblemError(problem, {"Retry-After": str(seconds)})


def over_quota(error: OverQuotaError, instance: str) -> ProblemError:
    """The 429 of a rating of which too many come from the same place."""
    answer = rejection(error, instance)
    problem = replace(answer.problem, type=urn("over-quota"))
    return ProblemError(problem, {"Retry-After": str(math.ceil(error.retry_after_s))})


async def send_json(send: Send, status: int, body: bytes) -> None:
    """Answer with JSON."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
