from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.lines import split_lines
from shared.kernel.errors import InvalidValueError

contents = st.binary(min_size=1).filter(
    lambda line: b"\n" not in line and line == line.strip(b" \t\r") and not line.startswith(b"\xef\xbb\xbf")
)


@given(
    st.lists(contents | st.sampled_from([b"", b"  ", b"\t"]), min_size=1), st.sampled_from([b"\n", b"\r\n"])
)
def test_every_line_keeps_its_content_and_the_number_an_editor_shows(lines: list[bytes], end: bytes) -> None:
    expected = [(number, line) for number, line in enumerate(lines, 1) if line.strip(b" \t")]
    body = end.join(lines)
    if not expected:
        with pytest.raises(InvalidValueError, match="at least one rating"):
            split_lines(body, 10_000)
        return
    assert [(line.number, line.data) for line in split_lines(body, 10_000)] == expected
    assert [(line.number, line.data) for line in split_lines(body + end, 10_000)] == expected
    assert [line.place for line in split_lines(body, 10_000)] == list(range(1, len(expected) + 1))


def test_a_line_separator_inside_of_a_string_does_not_cut_the_line() -> None:
    assert len(split_lines('{"text":"a\u2028b\x85c"}'.encode(), 10)) == 1


def test_too_many_lines_are_counted() -> None:
    with pytest.raises(InvalidValueError, match=r"12 lines.*at most 10"):
        split_lines(b"{}\n\n" * 12, 10)
    assert len(split_lines(b"{}\n\n" * 10, 10)) == 10


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(InvalidValueError, match="byte order mark"):
        split_lines(b"\xef\xbb\xbf{}", 10)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\n" * 16_000_000, "16000000 bytes without a rating"),
        (b" \r\n" * 5_000_000, "without a rating"),
        (b"{}\n" * 5_000_000, "100000 lines or more"),
    ],
    ids=["blank", "blanks", "lines"],
)
def test_millions_of_lines_are_refused_at_once(body: bytes, told: str) -> None:
    began = process_time()
    with pytest.raises(InvalidValueError, match=told):
        split_lines(body, 10_000)
    took_s = process_time() - began
    began = process_time()
    body[: len(body) // 4].split(b"\n")
    cutting_s = 4 * (process_time() - began)
    # It is a third of that; a look at each line, while nobody else had an answer, took three times it.
    assert took_s < 1.2 * cutting_s
