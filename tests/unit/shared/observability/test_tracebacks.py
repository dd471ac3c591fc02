"""What a traceback tells, and what it must not."""

import json
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from shared.kernel.errors import InvalidValueError
from shared.observability.tracebacks import safe_message, safe_traceback


class Body(BaseModel):
    grade: int


def traceback_of(fail: Callable[[], object]) -> str:
    try:
        fail()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        return safe_traceback((type(error), error, error.__traceback__))
    pytest.fail("it did not raise")


WORDS = "欧阳建国 13912345678"


@pytest.mark.parametrize(
    "fail",
    [
        lambda: int(WORDS),
        lambda: dict[str, str]()[WORDS],
        lambda: WORDS.encode("ascii"),
        lambda: Body.model_validate({"grade": WORDS}),
        lambda: json.loads(f'{{"text": {WORDS}'),
        lambda: [].remove(WORDS),  # type: ignore[arg-type]  # the point is that it fails
        lambda: open(f"/none/{WORDS}"),  # noqa: SIM115, PTH123 - it fails
    ],
)
def test_no_library_repeats_a_citizens_words(fail: Callable[[], object]) -> None:
    text = traceback_of(fail)
    assert "欧阳" not in text
    assert "13912345678" not in text
    assert 'File "' in text


def test_the_place_the_type_and_our_own_words_are_told() -> None:
    def fail() -> None:
        try:
            int("x")
        except ValueError as error:
            raise InvalidValueError(9, "a grade from 1 to 5", "send one", field="grade") from error

    text = traceback_of(fail)
    assert "ValueError: invalid literal for int() with base 10: '…'" in text
    assert "direct cause of" in text
    assert text.endswith(
        "shared.kernel.errors.InvalidValueError: Got 9, expected a grade from 1 to 5: send one."
    )
    assert "in fail" in text


def test_every_member_of_a_group_is_told_and_a_circle_ends() -> None:
    def fail() -> None:
        one, two = RuntimeError("one"), RuntimeError("two")
        one.__context__ = two
        two.__context__ = one
        raise ExceptionGroup("several", [one, two])

    text = traceback_of(fail)
    assert "RuntimeError: one" in text
    assert "RuntimeError: two" in text


def test_a_long_message_is_cut() -> None:
    assert len(safe_message("x " * 10_000)) < 600
