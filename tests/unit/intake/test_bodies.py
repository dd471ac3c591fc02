import json
from typing import Any

import pytest

from services.intake.application.errors import RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.entrypoints.bodies import parse_line

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
