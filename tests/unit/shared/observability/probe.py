"""An app on which everything can go wrong, and readers of what it answers."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import httpx
from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from shared.kernel.errors import ConflictError, InvalidValueError, PermanentError, TransientError
from shared.kernel.grades import Channel
from shared.kernel.units import load_units
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.metrics import ServiceMetrics
from shared.observability.problem import Problem, ProblemError, urn
from shared.observability.tracing import current_correlation_id, current_traceparent


def not_odd(value: int) -> int:
    if value % 2:
        raise InvalidValueError(value, "an even number", "add one")
    return value


class Rating(BaseModel):
    model_config = ConfigDict(extra="forbid")

    unit_id: str
    grade: Annotated[int, Field(ge=1, le=5)]
    channel: Channel = Channel.WEB
    occurred_at: AwareDatetime | None = None
    text: Annotated[str, Field(max_length=20)] = ""
    even: Annotated[int, AfterValidator(not_odd)] = 0


class Probe:
    """An app with everything that can go wrong, its metrics, health and log."""

    def __init__(self) -> None:
        self.log = io.BytesIO()
        self.metrics = ServiceMetrics("intake")
        self.health = Health()
        self.app = FastAPI()
        self.served: ASGIApp = self.app
        """What `client` calls."""
        install(self.app, self.metrics, self.health)
        router = APIRouter(prefix="/v1")
        for path, error in ERRORS.items():
            router.add_api_route(path, raising(error))
        router.add_api_route("/units/{unit_id}", unit)
        router.add_api_route("/ids", ids)
        router.add_api_route("/limit", limit)
        router.add_api_route("/stream", stream)
        router.add_api_route("/ratings", rate, methods=["POST"], status_code=202)
        self.app.include_router(router)
        self.app.router.routes.append(Route("/v1/raw", raw, methods=["POST"]))

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.served, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://intake")

    def lines(self) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in found if "logger" not in line]

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"pingyi_intake_{name}", labels)


ERRORS = {
    "/permanent": PermanentError("Got x, expected y: do z."),
    "/invalid": InvalidValueError("U9", "a unit", "correct it", field="unit_id"),
    "/conflict": ConflictError("The key was used for another body: use a new key."),
    "/away": TransientError("The broker is away.", 1.2),
    "/away-unknown": TransientError("The broker is away."),
    "/forbidden": HTTPException(403, "Not for you", {"X-Why": "scope"}),
    "/own": ProblemError(Problem(urn("too-large"), "Too large", 413, "Send less."), {"X-Limit": "1"}),
    "/defect": ZeroDivisionError("secret internals"),
}


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def endpoint() -> None:
        raise error

    return endpoint


async def unit(unit_id: str) -> str:
    return load_units().get(unit_id).name


async def ids() -> dict[str, str | None]:
    return {"correlation_id": current_correlation_id(), "traceparent": current_traceparent()}


async def limit(limit: Annotated[int, Field(ge=1, le=100)]) -> int:
    return limit


async def stream() -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    return StreamingResponse(chunks())


async def rate(rating: Rating) -> str:
    return rating.unit_id


async def raw(request: Request) -> Response:
    await request.body()
    return Response(status_code=202)


def problem(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "detail"} <= body.keys()
    assert body["correlation_id"] == response.headers["x-correlation-id"]
    assert isinstance(body, dict)
    return body


async def errors_of(probe: Probe, body: object) -> list[dict[str, str | None]]:
    async with probe.client() as client:
        response = await client.post("/v1/ratings", json=body)
    assert response.status_code == 422
    found = problem(response)["errors"]
    assert isinstance(found, list)
    return found
