import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from shared.kernel.ids import is_uuid
from shared.observability.health import Health
from shared.observability.http import install, serve_directly
from shared.observability.metrics import ServiceMetrics
from shared.observability.tracing import current_correlation_id, parse_traceparent
from tests.unit.shared.observability.probe import ERRORS, Probe, problem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


# --- correlation and trace ---------------------------------------------------------------------------


async def test_a_valid_correlation_id_is_taken_over_and_returned(probe: Probe) -> None:
    async with probe.client() as client:
        response = await client.get("/v1/ids", headers={"X-Correlation-Id": "Case-7.a_B"})
    assert response.headers["x-correlation-id"] == response.json()["correlation_id"] == "Case-7.a_B"


@pytest.mark.parametrize(
    "sent",
    [
        "01890000-0000-7000-8000-000000000000",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "12345678901234567890123456789012",
        "12345",
        "kiosk-7-000042",
        "2026-01-31-a",
    ],
)
async def test_ids_in_hex_and_with_few_digits_are_taken_over(probe: Probe, sent: str) -> None:
    async with probe.client() as client:
        response = await client.get("/v1/ids", headers={"X-Correlation-Id": sent})
    assert response.headers["x-correlation-id"] == sent


@pytest.mark.parametrize(
    "sent",
    [
        "13812345678",
        "138-1234-5678",
        "86123456",
        "360102199003074514",
        "36010219900307451X",
        "id-36010219900307451X",
        "tel13812345678",
        "tel.138.1234.5678",
        "0791-86123456",
        "00000000000000000000013812345678",
        "FFFFFFFF-FFFF-FFFF-FFFF-F13812345678",
    ],
)
async def test_a_correlation_id_that_could_be_a_persons_number_is_replaced(probe: Probe, sent: str) -> None:
    async with probe.client() as client:
        response = await client.get("/v1/ids", headers={"X-Correlation-Id": sent})
    assert is_uuid(response.headers["x-correlation-id"])
    assert sent not in json.dumps([response.json(), probe.lines()])


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "中", "a;b", "<script>"])
async def test_any_other_correlation_id_is_replaced(probe: Probe, sent: str) -> None:
    async with probe.client() as client:
        response = await client.get("/v1/ids", headers=[(b"X-Correlation-Id", sent.encode())])
    assert is_uuid(response.headers["x-correlation-id"])
    assert response.json()["correlation_id"] == response.headers["x-correlation-id"]


async def test_a_trace_is_continued_or_started(probe: Probe) -> None:
    async with probe.client() as client:
        continued = (await client.get("/v1/ids", headers={"traceparent": TRACE})).json()["traceparent"]
        started = (await client.get("/v1/ids", headers={"traceparent": "rubbish"})).json()["traceparent"]
    assert continued.split("-")[1] == TRACE.split("-")[1]
    assert continued.split("-")[2] != TRACE.split("-")[2]
    assert parse_traceparent(started) is not None


async def test_ids_do_not_leak_out_of_the_request(probe: Probe) -> None:
    async with probe.client() as client:
        await client.get("/v1/ids")
    assert current_correlation_id() is None


# --- log and metrics ---------------------------------------------------------------------------------


async def test_each_request_has_one_line_and_counts_by_its_template(probe: Probe) -> None:
    async with probe.client() as client:
        await client.get("/v1/units/U000112", headers={"X-Correlation-Id": "c1"})
        await client.post("/v1/raw", content=b"{}")
        await client.get("/nowhere/1234")
    found = [(x["event"], x["method"], x["route"], x["status"], x["level"]) for x in probe.lines()]
    assert found == [
        ("request", "GET", "/v1/units/{unit_id}", 200, "info"),
        ("request", "POST", "/v1/raw", 202, "info"),
        ("request", "GET", "unmatched", 404, "info"),
    ]
    assert probe.lines()[0]["correlation_id"] == "c1"
    assert isinstance(probe.lines()[0]["ms"], float)
    assert probe.sample("http_requests_total", method="GET", route="/v1/units/{unit_id}", status="200") == 1
    assert probe.sample("http_request_duration_seconds_count", method="POST", route="/v1/raw") == 1


async def test_invented_methods_do_not_make_new_label_values(probe: Probe) -> None:
    async with probe.client() as client:
        await client.request("BREW", "/v1/ids")
    assert probe.sample("http_requests_total", method="other", route="/v1/ids", status="405") == 1


async def test_probes_are_logged_at_debug_only(probe: Probe) -> None:
    async with probe.client() as client:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
    assert [line["level"] for line in probe.lines()] == ["debug"] * 3


async def test_metrics_are_exposed_as_text(probe: Probe) -> None:
    async with probe.client() as client:
        await client.get("/v1/ids")
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'pingyi_intake_http_requests_total{method="GET",route="/v1/ids",status="200"} 1.0' in response.text


async def test_the_event_loops_lag_is_watched_while_the_app_lives() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        seen.extend(task.get_name() for task in asyncio.all_tasks())
        yield

    app = FastAPI(lifespan=lifespan)
    install(app, ServiceMetrics("intake"), Health())
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)  # type: ignore[arg-type]  # the least that ASGI needs
    assert "event-loop-lag" in seen
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# --- HEAD --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/units/U000112", 200),
        ("/v1/units/U999999", 404),
        ("/v1/limit?limit=0", 422),
        ("/v1/limit?limti=5", 422),
        ("/v1/away", 503),
        ("/v1/defect", 500),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/nowhere", 404),
        ("/v1/ratings", 405),
    ],
)
async def test_head_has_the_status_and_headers_of_get_and_no_body(
    probe: Probe, path: str, status: int
) -> None:
    async with probe.client() as client:
        whole, alone = await client.get(path), await client.head(path)
    assert alone.status_code == whole.status_code == status
    assert whole.content
    assert alone.content == b""
    varying = {"x-correlation-id", "content-length"} if path == "/metrics" else {"x-correlation-id"}
    assert {name: value for name, value in alone.headers.items() if name not in varying} == {
        name: value for name, value in whole.headers.items() if name not in varying
    }
    assert "content-length" in alone.headers
    assert [line["method"] for line in probe.lines() if line["event"] == "request"] == ["GET", "HEAD"]
    document = probe.app.openapi()
    assert not any("head" in methods for methods in document["paths"].values())


class Deaf:
    """A stream without an end that never asks whether its client is still there."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
            await asyncio.sleep(0)


class Silent:
    """A stream that waits for something to say until its client has left."""

    left = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True


async def test_head_of_a_stream_without_an_end_ends(probe: Probe) -> None:
    async def endless() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"more"
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    silent = Silent()
    probe.app.add_api_route("/v1/endless", endless)
    probe.app.router.routes += [Route("/v1/deaf", Deaf()), Route("/v1/silent", silent)]
    async with asyncio.timeout(60), probe.client() as client:
        for path in ("/v1/endless", "/v1/deaf", "/v1/silent"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
    assert silent.left
    assert [line["status"] for line in probe.lines()] == [200, 200, 200]


async def test_an_address_for_get_allows_head(probe: Probe) -> None:
    async with probe.client() as client:
        assert (await client.put("/v1/ids")).headers["allow"] == "GET, HEAD"


# --- health ------------------------------------------------------------------------------------------


async def test_livez_turns_503_when_only_a_restart_helps(probe: Probe) -> None:
    async with probe.client() as client:
        assert (await client.get("/livez")).json() == {"status": "alive"}
        probe.health.fatal("background task fold died: KeyError")
        response = await client.get("/livez")
    assert response.status_code == 503
    assert response.json() == {"status": "fatal", "reason": "background task fold died: KeyError"}


async def test_probes_may_ask_for_the_head_alone(probe: Probe) -> None:
    async with probe.client() as client:
        for path in ("/livez", "/readyz"):
            assert (await client.head(path)).status_code == 200
        probe.health.fatal("stuck")
        assert (await client.head("/livez")).status_code == 503
        assert "head" not in (await client.get("/openapi.json")).json()["paths"]["/livez"]


async def test_readyz_names_each_dependency(probe: Probe) -> None:
    async def fine() -> str | None:
        return "3 streams"

    async def broken() -> str | None:
        raise OSError("refused")

    probe.health.register("nats", fine)
    probe.health.register("mongodb", broken)
    async with probe.client() as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert (checks["nats"]["status"], checks["nats"]["detail"]) == ("ok", "3 streams")
    assert checks["mongodb"]["status"] == "failed"
    assert checks["mongodb"]["latency_ms"] >= 0


# --- routes that are served directly -----------------------------------------------------------------


async def hot(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer 202, or raise what the header X-Raise names."""
    wanted = dict(scope["headers"]).get(b"x-raise")
    if wanted is not None:
        raise ERRORS[f"/{wanted.decode()}"]
    await Response(current_correlation_id(), 202)(scope, _receive, send)


async def hot_in_the_app() -> str:
    """Stand for the same address in the app."""
    return "by the app"


@pytest.fixture(params=["app", "front"])
def direct(probe: Probe, request: pytest.FixtureRequest) -> Probe:
    """A probe with one address that is served directly, by the app and by what a server serves."""
    for method in ("GET", "POST"):
        probe.app.add_api_route("/v1/hot", hot_in_the_app, methods=[method], operation_id=f"hot_{method}")
    serve_directly(probe.app, {"/v1/hot": hot})
    probe.served = probe.app if request.param == "app" else probe.app.state.front
    return probe


async def test_a_direct_route_has_ids_a_line_and_counts_like_any_other(direct: Probe) -> None:
    async with direct.client() as client:
        response = await client.post("/v1/hot", headers={"X-Correlation-Id": "c7"})
    assert (response.status_code, response.text) == (202, "c7")
    assert response.headers["x-correlation-id"] == "c7"
    (line,) = direct.lines()
    assert (line["route"], line["status"], line["correlation_id"]) == ("/v1/hot", 202, "c7")
    assert direct.sample("http_requests_total", method="POST", route="/v1/hot", status="202") == 1


async def test_other_methods_and_addresses_go_the_usual_way(direct: Probe) -> None:
    async with direct.client() as client:
        assert (await client.get("/v1/hot")).json() == "by the app"
        assert (await client.put("/v1/hot")).status_code == 405
        assert (await client.post("/v1/hot/")).status_code == 404
        assert (await client.get("/v1/ids")).status_code == 200
    assert len(direct.lines()) == 4


@pytest.mark.parametrize("name", sorted(ERRORS))
async def test_errors_of_a_direct_route_are_answered_as_in_the_app(direct: Probe, name: str) -> None:
    async with direct.client() as client:
        ours = await client.post("/v1/hot", headers={"X-Raise": name[1:]})
        apps = await client.get(f"/v1{name}")
    assert ours.status_code == apps.status_code
    varying = {"instance", "correlation_id", "detail"}
    expected, found = problem(apps), problem(ours)
    assert {k: v for k, v in found.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }
    own = {"date", "content-length", "x-correlation-id"}
    assert {k: v for k, v in ours.headers.items() if k not in own} == {
        k: v for k, v in apps.headers.items() if k not in own
    }


async def test_unknown_parameters_of_a_direct_route_are_refused(direct: Probe) -> None:
    async with direct.client() as client:
        response = await client.post("/v1/hot?grade=1")
    assert response.status_code == 422


# --- the description ---------------------------------------------------------------------------------


async def test_the_description_names_the_problems_that_every_route_has(probe: Probe) -> None:
    async with probe.client() as client:
        document = (await client.get("/openapi.json")).json()
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    errors = [
        response["content"]
        for operation in operations
        if "operations" not in operation.get("tags", ())
        for status, response in operation["responses"].items()
        if status >= "400"
    ]
    assert errors
    assert {tuple(content) for content in errors} == {("application/problem+json",)}
    assert all("422" in each["responses"] for each in operations if "operations" not in each.get("tags", ()))
    assert all({"400", "415"} <= each["responses"].keys() for each in operations if "requestBody" in each)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["paths"]["/readyz"]["get"]["responses"].keys() == {"200", "503"}
    assert "text/plain" in document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
