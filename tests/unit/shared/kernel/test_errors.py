import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.errors import (
    VALUE_LIMIT,
    ConflictError,
    InvalidValueError,
    NotFoundError,
    PermanentError,
    PingyiError,
    TransientError,
    describe,
    shorten,
)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_message_names_value_expectation_and_remedy() -> None:
    message = describe(9, "a grade from 1 to 5", "send one of 1, 2, 3, 4, 5")
    assert message == "Got 9, expected a grade from 1 to 5: send one of 1, 2, 3, 4, 5."


def test_question_as_remedy_gets_no_full_stop() -> None:
    assert describe("u1", "a unit", "did you mean U000001?").endswith("did you mean U000001?")


HOSTILE: dict[str, object] = {
    "long text": "x" * 2_000_000,
    "long bytes": b"y" * 2_000_000,
    "unprintable number": 10**10_000,
    "broken repr": Unprintable(),
    "nested lists": [["a" * 1000] * 1000] * 1000,
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_value_is_shortened_to_the_bound_and_encodable(value: object) -> None:
    text = shorten(value)
    assert len(text) <= VALUE_LIMIT
    assert text.encode()
    assert json.loads(json.dumps(text)) == text


@given(st.recursive(st.none() | st.text() | st.integers() | st.binary() | st.floats(), st.lists))
def test_shortening_never_raises_and_never_exceeds_the_bound(value: object) -> None:
    assert len(shorten(value)) <= VALUE_LIMIT
    assert "\n" not in shorten(value)


def test_short_chinese_text_stays_readable() -> None:
    assert shorten("南昌县婚姻登记处") == "'南昌县婚姻登记处'"


def test_invalid_value_is_permanent_and_a_value_error_and_keeps_its_parts() -> None:
    error = InvalidValueError("x" * 500, "a short text", "shorten it", field="data.text")
    assert isinstance(error, PermanentError)
    assert isinstance(error, ValueError)
    assert (error.expected, error.remedy, error.field) == ("a short text", "shorten it", "data.text")
    assert len(error.value) <= VALUE_LIMIT
    assert str(error) == f"Got {error.value}, expected a short text: shorten it."


def test_each_permanent_error_knows_its_http_status() -> None:
    assert PermanentError.http_status == 422
    assert NotFoundError.http_status == 404
    assert ConflictError.http_status == 409


def test_transient_error_carries_when_to_retry() -> None:
    assert TransientError("broker away", 2.5).retry_after_s == 2.5
    assert TransientError("broker away").retry_after_s is None
    assert issubclass(TransientError, PingyiError)
    assert not issubclass(TransientError, PermanentError)
