"""What every service's HTTP side has: health, metrics, correlation, one log line per request, problems.

`install` is all that a service calls, and `serve_directly` where a route is hot. Everything around a request
is plain ASGI and counts on the hot path: intake serves thousands of requests per second on one core.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import perf_counter, time_ns
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import FastAPI, Response
from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute, iter_route_contexts
from prometheus_client import Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kernel.ids import RANDOM_BYTES, uuid7
from shared.observability.docs_page import install_docs
from shared.observability.head_only import HEAD, HeadSentError, as_get, without_body
from shared.observability.health import Health
from shared.observability.logging import get_logger, write_routine
from shared.observability.metrics import ServiceMetrics, watch_loop_lag
from shared.observability.openapi import describe_problems
from shared.observability.problem import (
    MEDIA_TYPE,
    ErrorResponder,
    Problem,
    error_responder,
    install_handlers,
    internal_problem,
    repeated_parameters_problem,
    unknown_parameters_problem,
)
from shared.observability.request_metrics import RequestMetrics
from shared.observability.tracing import RandomBytes, RequestContext, child_of, enter, is_padded_number, leave

CORRELATION_HEADER: Final = "X-Correlation-Id"
UNMATCHED: Final = "unmatched"
"""Route label of requests that no route took; their paths have no bound."""

QUIET_ROUTES: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Logged at debug only: probes come every few seconds."""

CLIENT_LEFT: Final = 499
"""Status in logs and metrics of a request that ended before any answer, as nginx counts it."""

MOST_UNKNOWN: Final = 20
"""Unknown parameters that an answer names."""

_CORRELATION: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEX_ID: Final = re.compile(
    rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)
_DIGITS_OF_A_PERSON: Final = re.compile(rb"(?:[._-]*[0-9]){6,}[._-]*[Xx]?|.*(?:[0-9][._-]?){10}[0-9].*")
"""Digits alone, or as many in a row as a telephone number has: ids go into logs and events for good."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR: Final = 500
_UNFIT: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "It is not; the body says why.", "content": {"application/json": {"schema": {}}}}
}

_log = get_logger()


def _now_ms() -> int:
    return time_ns() // 1_000_000


def _is_correlation_id(value: bytes) -> bool:
    if _HEX_ID.fullmatch(value) is not None:
        return not is_padded_number(value.decode("ascii").lower())
    return _CORRELATION.fullmatch(value) is not None and _DIGITS_OF_A_PERSON.fullmatch(value) is None


class _Templates:
    """Finds the template of the matched route, e.g. ``/v1/units/{unit_id}``: bounded, unlike paths."""

    def __init__(self) -> None:
        self._raw: dict[object, str] = {}

    def __call__(self, scope: Scope) -> str:
        path = getattr(scope.get("route"), "path", None)
        if isinstance(path, str) and path:
            return path
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return UNMATCHED
        # FastAPI's router names the route only of its own endpoints; a plain Starlette route, as on
        # intake's hot path, leaves just the function.
        found = self._raw.get(endpoint)
        if found is None:
            routes = scope["app"].routes if "app" in scope else ()
            paths = (r.path for r in routes if isinstance(r, Route) and r.endpoint is endpoint)
            found = self._raw[endpoint] = next(paths, getattr(endpoint, "__name__", UNMATCHED))
        return found


class _KnownParameters:
    """Finds query parameters that an address doesn't declare, or of which it takes one and several came.

    Ignoring them is dangerous where they choose what to show: a mistyped filter of the audit log would answer
    with everything, and of two filters one would not count. Probes and metrics are let be, since scrapers add
    parameters of their own. What is declared is read from the routes: the first request would wait for the
    OpenAPI document, ten times as long.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[re.Pattern[str], dict[str, dict[str, bool]]]] | None = None

    def __call__(self, scope: Scope) -> Problem | None:
        if self._routes is None:
            self._routes = [
                (compile_path(path)[0], by_method)
                for path, by_method in declared_parameters(scope["app"]).items()
                if path not in QUIET_ROUTES
            ]
        for pattern, by_method in self._routes:
            known = by_method.get(scope["method"])
            if known is not None and pattern.match(scope["path"]) is not None:
                given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
                values: dict[str, list[str]] = {}
                for name, value in given:
                    values.setdefault(name, []).append(value)
                unknown = [name for name in values if name not in known]
                if unknown:
                    return unknown_parameters_problem(unknown[:MOST_UNKNOWN], sorted(known), scope["path"])
                repeated = {name: each for name, each in values.items() if len(each) > 1 and not known[name]}
                return repeated_parameters_problem(repeated, scope["path"]) if repeated else None
        return None


def declared_parameters(app: FastAPI) -> dict[str, dict[str, dict[str, bool]]]:
    """The query parameters of each documented operation of `app`, by path, method and name.

    The value says whether it is a list, so that it may come several times.
    """
    found: dict[str, dict[str, dict[str, bool]]] = {}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and context.include_in_schema:
            fields = [
                each for each in get_flat_params(context.dependant) if isinstance(each.field_info, Query)
            ]
            names = {each.alias: field_annotation_is_sequence(each.field_info.annotation) for each in fields}
            found.setdefault(str(context.path_format), {}).update(dict.fromkeys(context.methods or (), names))
    return found


class Requests:
    """Correlation, trace, metrics and the canonical log line around each request; 500 for the unforeseen."""

    def __init__(
        self,
        metrics: ServiceMetrics,
        *,
        random: RandomBytes = os.urandom,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        """Add the metrics of requests to `metrics`."""
        self._observe = RequestMetrics(metrics).observe
        self._template = _Templates()
        self._unknown_parameters = _KnownParameters()
        self._random = random
        self._now_ms = now_ms

    def _context(self, scope: Scope) -> tuple[RequestContext, bytes]:
        correlation = b""
        traceparent: str | None = None
        for name, value in scope["headers"]:
            if name == b"x-correlation-id":
                correlation = value if _is_correlation_id(value) else b""
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
        if not correlation:
            correlation = uuid7(self._now_ms(), self._random(RANDOM_BYTES)).encode()
        trace = child_of(traceparent, self._random)
        return RequestContext(correlation.decode("ascii"), trace.header()), correlation

    async def handle(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, route: str | None = None
    ) -> None:
        """Let `app` answer one request; without `route`, its template is what the app's router matched."""
        started = perf_counter()
        context, correlation = self._context(scope)
        status = 0

        # A copy: the server itself has to know that no body follows.
        wanted = as_get(scope) if scope["method"] == HEAD else scope

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-correlation-id", correlation)]
            await send(message)

        sending = send_with_id if wanted is scope else without_body(send_with_id)
        token = enter(context)
        try:
            # Hardly any request of the hot path has a query, so this costs it one look.
            wrong = self._unknown_parameters(wanted) if scope["query_string"] else None
            await (app if wrong is None else wrong.response())(wanted, receive, sending)
        except HeadSentError:
            pass
        except Exception:
            _log.exception("unexpected error", route=route or self._template(wanted))
            if status:
                raise  # the answer is under way: the server must cut the connection
            await _send_internal(wanted, sending)
        finally:
            seconds = perf_counter() - started
            self._finish(scope["method"], route or self._template(wanted), status or CLIENT_LEFT, seconds)
            leave(token)

    def _finish(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in _METHODS else "other"
        self._observe(method, route, status, seconds)
        level = logging.INFO if status < _SERVER_ERROR else logging.ERROR
        if route in QUIET_ROUTES:
            level = logging.DEBUG
        write_routine(
            level, "request", method=method, route=route, status=status, ms=round(seconds * 1000, 2)
        )


class RequestMiddleware:
    """Hands every request to `Requests`, and keeps the event-loop lag gauge while the app lives."""

    def __init__(self, app: ASGIApp, requests: Requests, lag: Gauge) -> None:
        self._app = app
        self._requests = requests
        self._lag = lag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the app's lifespan."""
        if scope["type"] == "http":
            await self._requests.handle(self._app, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(watch_loop_lag(self._lag), name="event-loop-lag")
        try:
            await self._app(scope, receive, send)
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


class _DirectRoutes:
    """Serves the hot routes of `app` before whatever serves everything else."""

    def __init__(
        self,
        app: FastAPI,
        others: ASGIApp,
        endpoints: Mapping[str, ASGIApp],
        respond: ErrorResponder,
    ) -> None:
        self._app = app
        self._others = others
        self._requests: Requests = app.state.requests
        self._endpoints = {path: self._answering(endpoint) for path, endpoint in endpoints.items()}
        self._respond = respond

    def _answering(self, endpoint: ASGIApp) -> ASGIApp:
        """Do for `endpoint` what Starlette's ExceptionMiddleware does: answer the foreseen errors."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await endpoint(scope, receive, send)
            except Exception as error:
                response = await self._respond(Request(scope, receive), error)
                if response is None:
                    raise
                await response(scope, receive, send)

        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            endpoint = self._endpoints.get(path)
            if endpoint is not None:
                scope["app"] = self._app
                await self._requests.handle(endpoint, scope, receive, send, path)
                return
        await self._others(scope, receive, send)


async def _send_internal(scope: Scope, send: Send) -> None:
    body = internal_problem(scope["path"]).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": _SERVER_ERROR, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def install(app: FastAPI, metrics: ServiceMetrics, health: Health) -> None:
    """Give `app` ``/livez``, ``/readyz``, ``/metrics``, ``/docs``, the request middleware, problem details.

    Call it once, before the app starts.

    Args:
        app: the service's app.
        metrics: the service's metrics; requests and the event loop's lag are added to them.
        health: the service's health.
    """

    async def livez() -> Response:
        """Tell whether the process is sound: 503 means that only a restart helps."""
        reason = health.fatal_reason
        if reason is None:
            return JSONResponse({"status": "alive"})
        return JSONResponse({"status": "fatal", "reason": reason}, 503)

    async def readyz() -> Response:
        """Tell whether to send requests here, with the state of each dependency by name."""
        report = await health.readiness()
        return JSONResponse(report.as_json(), 200 if report.ready else 503)

    async def expose() -> Response:
        """Expose the metrics in Prometheus's text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    tags = ["operations"]
    for path, probe, summary in (
        ("/livez", livez, "Is the process alive?"),
        ("/readyz", readyz, "Can it do its work?"),
    ):
        app.add_api_route(path, probe, tags=list(tags), summary=summary, responses=_UNFIT)
    app.add_api_route(
        "/metrics",
        expose,
        tags=list(tags),
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
    )
    # A redirect of a rating would be followed by few clients, and to where the header Host says.
    app.router.redirect_slashes = False
    install_docs(app)
    install_handlers(app)
    describe_problems(app)
    app.state.health = health  # for `server.run_service`
    app.state.requests = requests = Requests(metrics)  # for `serve_directly`
    lag = metrics.gauge("event_loop_lag", "seconds", "Greatest recent delay of the event loop.")
    app.add_middleware(RequestMiddleware, requests=requests, lag=lag)


def serve_directly(app: FastAPI, endpoints: Mapping[str, ASGIApp]) -> None:
    """Let POST requests to these paths reach their endpoints without the app's middlewares and router.

    Those take a tenth of a hot request and decide nothing about it. What they would do is done here too:
    ids, metrics, log line, unknown parameters, and the answers of the app's error handlers. The routes stay
    in the app, for its description and for other methods. Call it once, when the app is complete.

    `app.state.front` is what a server should serve: it passes by FastAPI's own call too, which looks for
    telemetry settings at each request. Whoever calls the app itself reaches the same endpoints.

    Args:
        app: the service's app, `install`ed, with all its routes and middlewares.
        endpoints: plain ASGI by path, without parameters in it.
    """
    respond = error_responder(app)
    app.middleware_stack = _DirectRoutes(app, app.build_middleware_stack(), endpoints, respond)
    app.state.front = _DirectRoutes(app, app, endpoints, respond)
