"""Every error is a problem detail that helps its reader and repeats nothing of a citizen."""

import json
from typing import Annotated
from urllib.parse import quote, unquote

import pytest
from fastapi import Query

from shared.observability.problem import urn, validation_problem
from tests.unit.shared.observability.probe import ERRORS, Probe, errors_of, problem, raising

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


@pytest.mark.parametrize(
    ("method", "path", "remedy"),
    [
        ("POST", "/v1/ratings/", "leave out the slash at the end, or see /docs for the addresses"),
        ("GET", "/v1/ids/", "leave out the slash at the end, or see /docs for the addresses"),
        ("GET", "/v1/ids//x", "see /docs for the addresses"),
        ("GET", "/", "see /docs for the addresses"),
    ],
)
async def test_an_address_with_a_slash_too_many_is_not_found_and_redirects_nowhere(
    probe: Probe, method: str, path: str, remedy: str
) -> None:
    async with probe.client() as client:
        response = await client.request(method, path)
    assert (response.status_code, response.headers.get("location")) == (404, None)
    assert problem(response)["errors"][0]["remedy"] == remedy  # type: ignore[index]  # JSON of unknown shape
    assert problem(response)["detail"] == f"There is nothing at '{path}': {remedy}."


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
        ({"unit_id": None}, "unit_id", "null", "a valid string", "in double quotes"),
        ({"unit_id": False}, "unit_id", "false", "a valid string", "in double quotes"),
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
    ("limit", "value", "expected"),
    [
        ("0", "'0'", "greater than or equal to 1"),
        ("101", "'101'", "less than or equal to 100"),
        ("13812345678", "a number of 11 digits, not repeated here", "less than or equal to 100"),
        ("-100000", "a number of 6 digits, not repeated here", "greater than or equal to 1"),
    ],
)
async def test_a_value_out_of_range_is_told_in_the_sentence_too(
    probe: Probe, limit: str, value: str, expected: str
) -> None:
    async with probe.client() as client:
        body = problem(await client.get("/v1/limit", params={"limit": limit}))
    assert body["errors"][0]["value"] == value  # type: ignore[index]  # JSON of unknown shape
    sentence = f"query.limit: Got {value}, expected {expected}: choose a value within the range."
    assert body["detail"] == sentence


async def test_the_sentence_says_only_the_size_of_what_is_withheld_and_nothing_of_what_is_missing(
    probe: Probe,
) -> None:
    async with probe.client() as client:
        long = problem(
            await client.post("/v1/ratings", json={"unit_id": "U1", "grade": 5, "text": "字" * 21})
        )
        missing = problem(await client.post("/v1/ratings", json={"unit_id": "U1"}))
        number = problem(await client.post("/v1/ratings", json={"unit_id": "U1", "grade": 13812345678}))
    assert str(long["detail"]).startswith("text: Got a string of 21 characters, expected ")
    assert missing["detail"] == "grade: expected this field, which is required: add the field."
    assert str(number["detail"]).startswith("grade: Got a number of 11 digits, not repeated here, expected ")


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
    ("query", "value", "times"),
    [
        ("limit=5&limit=6", "'5', '6'", 2),
        ("limit=5&limit=5", "'5', '5'", 2),
        ("limit=5&limit=", "'5', a string of 0 characters", 2),
        ("limit=5&lim%69t=%E6%9D%8E", "'5', a string of 1 characters", 2),
        ("limit=1&limit=2&limit=3&limit=4&limit=5", "'1', '2', '3', '4'", 5),
        ("limit=13812345678&limit=2", "a string of 16 characters with many digits, not repeated here", 2),
    ],
)
async def test_a_parameter_that_comes_twice_is_refused_with_its_values(
    probe: Probe, query: str, value: str, times: int
) -> None:
    async with probe.client() as client:
        body = problem(await client.get(f"/v1/limit?{query}"))
    assert body["status"] == 422
    expected = f"one value, not {times}"
    assert body["errors"] == [
        {"field": "query.limit", "value": value, "expected": expected, "remedy": "give it once"}
    ]
    assert body["detail"] == f"query.limit: Got {value}, expected {expected}: give it once."


async def test_a_list_of_a_query_may_come_several_times(probe: Probe) -> None:
    async def listed(
        unit: Annotated[list[str], Query()], kind: Annotated[tuple[str, ...] | None, Query()] = None
    ) -> list[object]:
        return [unit, kind]

    probe.app.add_api_route("/v1/listed", listed)
    async with probe.client() as client:
        assert (await client.get("/v1/listed?unit=a&kind=c&unit=b&kind=d")).json() == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/limit?limit=5", 200),
        ("/livez?t=1&t=2", 200),
        ("/livez?t=1", 200),
        ("/metrics?name[]=x", 200),
        ("/nowhere?x=1", 404),
    ],
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
