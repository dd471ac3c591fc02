import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.intake.application.errors import RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.entrypoints.bodies import describe_errors, parse_feedback, parse_line
from services.intake.entrypoints.quarantine_bodies import DecisionsBody
from services.intake.entrypoints.revision_bodies import ReleaseBody
from services.intake.entrypoints.staff_routes import ActingBody
from services.intake.entrypoints.supervision_bodies import (
    CampaignBody,
    IncidentBody,
    VerificationBody,
    VisitBody,
)
from shared.observability.problem import field_errors

RATING: dict[str, Any] = {"unit_id": "U000200", "grade": 5}


def issues_of(body: str | bytes) -> tuple[Issue, ...]:
    """What `parse_line` finds wrong."""
    with pytest.raises(RejectedError) as caught:
        parse_line(body if isinstance(body, bytes) else body.encode())
    return caught.value.issues


@pytest.mark.parametrize("field", ["transaction_id", "client_ref", "device_id"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("   ", "isn't blank"),
        ("\u3000\u200b", "isn't blank"),
        ("\u0000", "isn't blank"),
        ("a\u0000b", "without control characters"),
        ("a\nb", "without control characters"),
    ],
)
def test_a_reference_that_is_blank_or_holds_control_characters_is_refused(
    field: str, value: str, expected: str
) -> None:
    (issue,) = issues_of(json.dumps(RATING | {field: value}))
    assert issue.field == field
    assert issue.value == f"{len(value)} characters"
    assert expected in issue.expected
    assert issue.remedy


@pytest.mark.parametrize("value", ["办件 2026-07", "a\u3000b", " x ", "\U0001f600"])
def test_a_reference_may_be_any_visible_text(value: str) -> None:
    assert parse_line(json.dumps(RATING | {"transaction_id": value}).encode()).transaction_id == value


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"unit_id":"U000200","grade":5,"grade":1}', "grade"),
        ('{"unit_id":"U000200","grade":1,"grade" : 1}', "grade"),
        ('{"unit_id":"U000200","grade":5,"\\u0067rade":1}', "grade"),
        ('{"unit_id":"U000200","grade":[[1]],"grade":1}', "grade"),
        ('{"unit_id":"U000200","grade":%s,"grade":1}' % ("9" * 4000), "grade"),
        ('{"unit_id":"U000200","grade":5,"text":"a:b","text":"c"}', "text"),
        ('{"unit_id":"U000200","grade":5,"contact":{"phone":"13800138000","phone":"1"}}', "contact.phone"),
        ('{"unit_id":"U000200","grade":5,"dimensions":{"image":1},"dimensions":null}', "dimensions"),
        (
            '{"unit_id":"U000200","grade":5,"occurred_at":"2026-07-01T00:00:00Z","occurred_at":null}',
            "occurred_at",
        ),
    ],
)
def test_a_member_that_is_there_twice_is_named_without_its_values(body: str, field: str) -> None:
    (issue,) = issues_of(body)
    assert (issue.field, issue.value) == (field, "the name more than once")
    assert issue.expected == "each name once in an object"
    assert issue.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"text": 'a: "grade": 1, {"grade": 2}', "occurred_at": "2026-07-01T00:00:00+08:00"},
        {"contact": {"name": "grade"}, "dimensions": {"image": 1, "conduct": None}},
        {"text": None, "contact": None, "dimensions": None},
    ],
)
def test_members_that_only_look_alike_are_no_repeat(change: dict[str, Any]) -> None:
    assert parse_line(json.dumps(RATING | change).encode()).grade == 5


@pytest.mark.parametrize(
    ("line", "place"),
    [(b'{"unit_id', "column 9"), (b"{broken", "column 2"), (b"\xff", "column 1"), (b"[1,", "column 3")],
)
def test_broken_json_in_a_line_is_told_with_its_size_and_the_place(line: bytes, place: str) -> None:
    (issue,) = issues_of(line)
    assert (issue.field, issue.value) == ("body", f"{len(line)} bytes")
    assert issue.expected.startswith("valid JSON (")
    assert place in issue.expected
    assert "line 1" not in issue.expected


@pytest.mark.parametrize(("written", "shown"), [(b"null", "null"), (b"true", "true"), (b"4.5", "4.5")])
def test_a_value_is_shown_as_json_writes_it(written: bytes, shown: str) -> None:
    (issue,) = issues_of(b'{"unit_id":"U000200","grade":' + written + b"}")
    assert (issue.field, issue.value) == ("grade", shown)


@pytest.mark.parametrize(("written", "kind"), [(b"null", "null"), (b"true", "boolean"), (b"7", "number")])
def test_the_type_of_a_value_that_is_not_repeated_is_named_as_json_names_it(
    written: bytes, kind: str
) -> None:
    (issue,) = issues_of(b'{"unit_id":"U000200","grade":5,"colour":' + written + b"}")
    assert issue.value == f"a value of type {kind}"


def test_a_field_that_is_missing_is_nothing() -> None:
    (issue,) = issues_of(b'{"unit_id":"U000200"}')
    assert (issue.field, issue.value) == ("grade", "nothing")


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-20T10:00:00Z",
        "2026-11-20T10:00:00+08:00",
        "2026-11-20T10\\u003a00\\u003a00Z",
        "2026-11-20T10\\u003a00:00Z",
    ],
)
def test_a_repeat_is_found_beside_any_spelling_of_a_time(time: str) -> None:
    once = f'{{"unit_id": "U000112", "grade": 1, "occurred_at": "{time}"}}'
    assert parse_feedback(once.encode()).grade == 1
    for repeat in ('"grade": 5', '"grade": 5, "unit_id": "U000112"', f'"occurred_at": "{time}"'):
        with pytest.raises(RejectedError, match="more than once"):
            parse_feedback(f"{once[:-1]}, {repeat}}}".encode())


@pytest.mark.parametrize(
    "name", ["13812345678", "1-3-8-1234-5678", "36010219900101123x", "clerk-13812345678"]
)
@pytest.mark.parametrize("body", [ReleaseBody, DecisionsBody, ActingBody])
def test_who_decides_is_never_a_persons_number(body: type[BaseModel], name: str) -> None:
    """It goes into an event that nobody can take back."""
    bodies: dict[type[BaseModel], dict[str, object]] = {
        ReleaseBody: {"reason": "found_genuine"},
        DecisionsBody: {"move": "release", "reason": "found_genuine", "event_ids": ["x"]},
        ActingBody: {},
    }
    rest = bodies[body]
    for fine in ("city-3607-reviewer", "0197a3c2-7b8e-7c5d-9d3e-1f2a3b4c5d6e", "office.12"):
        body.model_validate(rest | {"decided_by": fine})
    with pytest.raises(ValidationError) as refused:
        body.model_validate(rest | {"decided_by": name})
    (issue,) = describe_errors(refused.value)
    assert issue["loc"] == ("decided_by",)
    assert name not in str(issue)


OPENED: dict[str, Any] = {
    "decided_by": "province", "campaign_id": "visits-2026", "title": "百千万走访 2026",
    "teams": 1, "cadres": 1, "targets": [{"county": "360721", "households": 1}],
    "mobilise_from": "2026-01-01", "run_from": "2026-02-01", "consolidate_from": "2026-03-01",
    "ends": "2026-04-01",
}  # fmt: skip
VISITED: dict[str, Any] = {
    "county": "360721", "team": "team-12", "whom": "h1", "visited_at": "2026-02-02T09:00:00+08:00",
    "feedback_id": "a4dc2367-12e5-81bb-ab85-33f91c25c77d",
}  # fmt: skip
INCIDENT: dict[str, Any] = {
    "decided_by": "province", "unit_id": "U000112", "occurred_at": "2026-02-02T09:00:00+08:00",
    "kind": "crime", "severity": "major", "evidence": ["doc/2026-07-01:12"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "given", "field", "value"),
    [
        (CampaignBody, OPENED, "campaign_id", "visits-13812345678"),
        (CampaignBody, OPENED, "title", "走访 联系人１３８ 1234 5678"),
        (VisitBody, VISITED, "team", "36010219900101123-4"),
        (VisitBody, VISITED, "team", "13812345678"),
        (VisitBody, VISITED, "feedback_id", "13812345678"),
        (VisitBody, VISITED, "feedback_id", VISITED["feedback_id"].upper()),
        (IncidentBody, INCIDENT, "evidence", ["doc-1", "tel:138-1234-5678"]),
        (VerificationBody, {"decided_by": "a", "verification": "verified"}, "evidence", ["13812345678"]),
    ],
)
def test_nothing_of_supervision_takes_a_persons_number_into_an_event(
    body: type[BaseModel], given: dict[str, Any], field: str, value: object
) -> None:
    body.model_validate(given)
    with pytest.raises(ValidationError) as refused:
        body.model_validate(given | {field: value})
    issues = describe_errors(refused.value)
    assert {issue["loc"][0] for issue in issues} == {field}
    (problem,) = field_errors(issues)
    assert "person's number" in problem.expected or field == "feedback_id"
    assert not any(piece in str((issues, problem)) for piece in ("1234", "A4DC"))
