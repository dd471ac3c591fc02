import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import quote, unquote

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.kernel.errors import ConflictError, InvalidValueError, PermanentError, TransientError
from shared.kernel.grades import Channel
from shared.kernel.ids import is_uuid
from shared.kernel.units import load_units
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.logging import configure_logging
from shared.observability.metrics import ServiceMetrics
from shared.observability.problem import Problem, ProblemError, urn, validation_problem
from shared.observability.tracing import current_correlation_id, current_traceparent, parse_traceparent

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


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
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
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


@pytest.fixture
def probe() -> Iterator[Probe]:
    found = Probe()
    configure_logging("intake", "DEBUG", stream=found.log)
    yield found
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h).__module__ != "shared.observability.logging"]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def problem(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "detail"} <= body.keys()
    assert body["correlation_id"] == response.headers["x-correlation-id"]
    assert isinstance(body, dict)
    return body


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


# --- problems ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/permanent", 422, "rejected"),
        ("/v1/invalid", 422, "rejected"),
        ("/v1/conflict", 409, "conflict"),
        ("/v1/units/U999999", 404, "not-found"),
        ("/v1/away", 503, "unavailable"),
        ("/v1/forbidden", 403, "http"),
        ("/v1/own", 413, "too-large"),
        ("/nowhere", 404, "not-found"),
    ],
)
async def test_every_error_is_a_problem(probe: Probe, path: str, status: int, kind: str) -> None:
    async with probe.client() as client:
        response = await client.get(path)
    assert response.status_code == status
    body = problem(response)
    assert body["type"] == urn(kind)
    assert body.get("instance") == (None if path == "/v1/own" else path)


async def test_headers_of_errors_are_kept(probe: Probe) -> None:
    async with probe.client() as client:
        assert (await client.get("/v1/forbidden")).headers["x-why"] == "scope"
        assert (await client.get("/v1/own")).headers["x-limit"] == "1"


async def test_a_kernel_error_names_field_value_expectation_and_remedy(probe: Probe) -> None:
    async with probe.client() as client:
        body = problem(await client.get("/v1/invalid"))
    assert body["errors"] == [
        {"field": "unit_id", "value": "'U9'", "expected": "a unit", "remedy": "correct it"}
    ]


async def test_what_is_away_says_when_to_come_back(probe: Probe) -> None:
    async with probe.client() as client:
        known, unknown = await client.get("/v1/away"), await client.get("/v1/away-unknown")
    assert (known.headers["retry-after"], unknown.headers["retry-after"]) == ("2", "5")
    assert problem(known)["detail"] == "The broker is away. Try again after 2 s."


async def test_a_write_that_failed_half_way_does_not_claim_that_nothing_happened(probe: Probe) -> None:
    probe.app.add_api_route("/v1/away", raising(ERRORS["/away"]), methods=["POST"])
    async with probe.client() as client:
        detail = str(problem(await client.post("/v1/away"))["detail"])
    assert "may or may not have been accepted" in detail
    assert "same Idempotency-Key (or client_ref)" in detail
    assert detail.endswith("again after 2 s.")


async def test_the_wrong_method_is_told_the_right_one(probe: Probe) -> None:
    async with probe.client() as client:
        response = await client.delete("/v1/ratings")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "expected POST" in str(problem(response)["detail"])


async def test_a_defect_is_a_500_that_tells_nothing_but_logs_everything(probe: Probe) -> None:
    async with probe.client() as client:
        response = await client.get("/v1/defect", headers={"X-Correlation-Id": "c9"})
    assert response.status_code == 500
    assert "secret" not in json.dumps(problem(response))
    assert "ZeroDivision" not in response.text
    error, request = probe.lines()
    assert "secret internals" in str(error["exception"])
    assert error["correlation_id"] == request["correlation_id"] == "c9"
    assert (request["status"], request["level"]) == (500, "error")


async def test_a_defect_in_the_middle_of_an_answer_is_logged(probe: Probe) -> None:
    async with probe.client() as client:
        await client.get("/v1/stream")
    assert "ZeroDivisionError" in str(probe.lines()[0]["exception"])
    assert [line["event"] for line in probe.lines()] == ["unexpected error", "request"]


async def errors_of(probe: Probe, body: object) -> list[dict[str, str | None]]:
    async with probe.client() as client:
        response = await client.post("/v1/ratings", json=body)
    assert response.status_code == 422
    found = problem(response)["errors"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("change", "field", "value", "expected", "remedy"),
    [
        ({"grade": 9}, "grade", "9", "less than or equal to 5", "within the range"),
        ({"grade": "bad"}, "grade", "'bad'", "valid integer", "whole number"),
        ({"channel": "fax"}, "channel", "'fax'", "'terminal', 'qr'", "one of the listed values"),
        (
            {"occurred_at": "2026-01-31T09:30:00"},
            "occurred_at",
            "'2026-01-31T09:30:00'",
            "timezone",
            "append the offset",
        ),
        ({"text": "x" * 5000}, "text", "a string of 5000 characters", "at most 20 characters", "shorten it"),
        ({"colour": 1}, "colour", "a value of type number", "no such field", "remove the field"),
        ({"even": 3}, "even", "3", "an even number", "add one"),
        ({"unit_id": 5}, "unit_id", "5", "a valid string", "in double quotes"),
    ],
)
async def test_a_wrong_field_is_named_with_value_expectation_and_remedy(
    probe: Probe, change: dict[str, object], field: str, value: str, expected: str, remedy: str
) -> None:
    (error,) = await errors_of(probe, {"unit_id": "U000112", "grade": 5, **change})
    assert error["field"] == field
    assert value in str(error["value"])
    assert len(str(error["value"])) <= 120
    assert expected in str(error["expected"])
    assert remedy in str(error["remedy"])


async def test_a_missing_field_does_not_repeat_the_rest_of_the_body(probe: Probe) -> None:
    (error,) = await errors_of(probe, {"unit_id": "U000112", "text": "私"})
    assert (error["field"], error["value"], error["remedy"]) == ("grade", None, "add the field")


async def test_all_wrong_fields_are_reported(probe: Probe) -> None:
    errors = await errors_of(probe, {"grade": 0, "x": 1})
    assert {error["field"] for error in errors} == {"unit_id", "grade", "x"}


async def test_a_wrong_query_parameter_is_named_as_such(probe: Probe) -> None:
    async with probe.client() as client:
        body = problem(await client.get("/v1/limit", params={"limit": "0"}))
    assert body["errors"][0]["field"] == "query.limit"  # type: ignore[index]  # JSON of unknown shape


@pytest.mark.parametrize(
    ("method", "path", "names", "known"),
    [
        ("GET", "/v1/limit?limit=5&unti_id=U000112", ["unti_id"], "one of limit"),
        ("GET", "/v1/limit?limit=5&a=1&b&a=2", ["a", "b"], "one of limit"),
        ("GET", "/v1/units/U000112?limit=5", ["limit"], "no parameters"),
        ("POST", "/v1/ratings?dry_run=true", ["dry_run"], "no parameters"),
        ("GET", "/v1/limit?limit=5&13812345678=1", ["<a name of 11 characters>"], "one of limit"),
    ],
)
async def test_an_unknown_query_parameter_is_refused_with_the_known_ones(
    probe: Probe, method: str, path: str, names: list[str], known: str
) -> None:
    async with probe.client() as client:
        response = await client.request(method, path)
    assert response.status_code == 422
    errors = problem(response)["errors"]
    assert isinstance(errors, list)
    assert [error["field"] for error in errors] == [f"query.{name}" for name in names]
    assert {error["expected"] for error in errors} == {known}
    assert all(error["remedy"] for error in errors)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/limit?limit=5", 200), ("/livez?t=1", 200), ("/metrics?name[]=x", 200), ("/nowhere?x=1", 404)],
)
async def test_known_parameters_and_those_of_probes_are_let_be(probe: Probe, path: str, status: int) -> None:
    async with probe.client() as client:
        assert (await client.get(path)).status_code == status


PERSONAL = ("13812345678", "１３８１２３４５６７８", "360102199003074514", "138-1234-5678", "tel:123456")


@pytest.mark.parametrize("number", PERSONAL)
async def test_a_number_of_a_person_is_never_repeated(probe: Probe, number: str) -> None:
    quoted = quote(number)
    async with probe.client() as client:
        answers = [
            await client.post("/v1/ratings", json={"unit_id": "U1", "grade": 5, **change})
            for change in (
                {"grade": number},
                {"channel": number},
                {"occurred_at": f"{number}x"},
                {"even": f"{number}x"},
                {"text": number * 3},
                {"unit_id": [number]},
                {number: 1},
                {"other": number},
            )
        ]
        answers += [
            await client.get(f"/v1/units/{quoted}"),
            await client.get(f"/v1/limit?limit={quoted}"),
            await client.get(f"/v1/limit?limit=5&{quoted}={quoted}"),
            await client.get(f"/nowhere/{quoted}"),
            await client.delete(f"/v1/units/{quoted}"),
            await client.post("/v1/ratings", content=number.encode()),
            await client.post(
                "/v1/ratings", content=number.encode(), headers=[(b"content-type", f"text/{number}".encode())]
            ),
        ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert number not in json.dumps(problem(answer), ensure_ascii=False)
        assert number not in unquote(answer.text)


async def test_a_body_of_many_wrong_fields_gets_a_short_answer(probe: Probe) -> None:
    async with probe.client() as client:
        response = await client.post("/v1/ratings", json={f"x{number}": 1 for number in range(5000)})
    body = problem(response)
    assert len(body["errors"]) == 20  # type: ignore[arg-type]  # JSON of unknown shape
    assert "(and 5001 more)" in str(body["detail"])


@pytest.mark.parametrize("number", [13812345678, 138123])
async def test_a_long_number_is_not_repeated_either(probe: Probe, number: int) -> None:
    for change in ({"grade": number}, {"unit_id": number}, {"text": number}, {"other": number}):
        (error,) = await errors_of(probe, {"unit_id": "U1", "grade": 5, **change})
        assert str(number) not in json.dumps(error)


@pytest.mark.parametrize(
    "change", [{"text": "处长王的意见" * 9}, {"unit_id": ["处长王"]}, {"memo": "处长王"}, {"grade": "处长王"}]
)
async def test_words_of_a_body_are_described_not_repeated(probe: Probe, change: dict[str, object]) -> None:
    (error,) = await errors_of(probe, {"unit_id": "U1", "grade": 5, **change})
    assert "处长王" not in json.dumps(error, ensure_ascii=False)
    assert " of " in str(error["value"])


async def test_ids_of_units_and_events_are_repeated(probe: Probe) -> None:
    event_id = "01890000-0000-7000-8000-000000000000"
    async with probe.client() as client:
        unit = problem(await client.get("/v1/units/U999999"))
        event = problem(await client.get(f"/nowhere/{event_id}"))
    assert unit["errors"][0]["value"] == "'U999999'"  # type: ignore[index]  # JSON of unknown shape
    assert "U999999" in str(unit["detail"])
    assert event["instance"] == f"/nowhere/{event_id}"


@pytest.mark.parametrize(
    ("sent", "found"),
    [("text/plain", "'text/plain'"), ("text/plain; charset=x", "'text/plain'"), (None, "nothing")],
)
async def test_a_body_of_another_type_is_told_the_right_one(
    probe: Probe, sent: str | None, found: str
) -> None:
    headers = {} if sent is None else {"content-type": sent}
    async with probe.client() as client:
        response = await client.post("/v1/ratings", content=b'{"text": "secret"}', headers=headers)
    assert response.status_code == 415
    assert problem(response)["errors"] == [
        {
            "field": "Content-Type",
            "value": found,
            "expected": "application/json",
            "remedy": "send the header Content-Type: application/json",
        }
    ]
    assert "secret" not in response.text


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"unit_id": "\xb0"}', b"[" * 100_000, b"{"])
async def test_an_unreadable_body_is_told_what_was_expected(probe: Probe, content: bytes) -> None:
    async with probe.client() as client:
        response = await client.post(
            "/v1/ratings", content=content, headers={"content-type": "application/json"}
        )
    assert response.status_code == 400
    errors = problem(response)["errors"]
    assert isinstance(errors, list)
    (error,) = errors
    assert (error["field"], error["value"]) == ("body", None)
    assert "valid JSON" in error["expected"]
    assert error["remedy"] == "send syntactically valid JSON in UTF-8"


async def test_a_wrong_address_or_method_is_an_error_with_all_its_parts(probe: Probe) -> None:
    async with probe.client() as client:
        address = problem(await client.get("/nowhere"))["errors"]
        method = problem(await client.delete("/v1/ratings"))["errors"]
    assert address == [
        {
            "field": "path",
            "value": "'/nowhere'",
            "expected": "an address of this service",
            "remedy": "see /docs for the addresses",
        }
    ]
    assert method == [
        {
            "field": "method",
            "value": "'DELETE'",
            "expected": "POST",
            "remedy": "use that method or another address",
        }
    ]


@pytest.mark.parametrize("content", [b"{", b"", b"[1", b'{"grade": }', b"\xff\xfe"])
async def test_broken_json_is_a_client_error(probe: Probe, content: bytes) -> None:
    async with probe.client() as client:
        response = await client.post(
            "/v1/ratings", content=content, headers={"content-type": "application/json"}
        )
    assert response.status_code in {400, 422}
    problem(response)


async def test_lone_surrogates_in_values_do_not_break_the_answer(probe: Probe) -> None:
    async with probe.client() as client:
        content = b'{"unit_id": "U1", "grade": 5, "channel": "\\ud800"}'
        response = await client.post(
            "/v1/ratings", content=content, headers={"content-type": "application/json"}
        )
    assert response.status_code == 422
    problem(response)


def test_a_raw_route_gets_the_same_problem_from_the_same_errors() -> None:
    errors = [{"type": "missing", "loc": ("grade",), "msg": "Field required", "input": {"text": "私"}}]
    found = validation_problem(errors, "/v1/raw")
    assert (found.status, found.errors[0].field, found.errors[0].value) == (422, "grade", None)
    assert "私" not in found.encode().decode()
