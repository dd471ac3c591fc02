"""Composing characters: the same as the library does, in a time that grows with the length alone."""

import unicodedata
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.plain_text import composed

MARKS = "\u0301\u0323\u0315\u0344\u0345\u0f73\u0f71\u302a\u3099\ufe20\u05b0\u1dce\U000e0100"
texts = st.text(MARKS + "aeÅ각ᄀ好ﬁ \u0958", max_size=20) | st.text(max_size=20)
long_runs = st.text(MARKS, min_size=32, max_size=100)


@given(texts, long_runs | texts, texts)
def test_texts_are_composed_as_the_library_does(before: str, marks: str, after: str) -> None:
    text = before + marks + after
    assert composed(text) == unicodedata.normalize("NFC", text)


def test_a_long_run_of_any_mark_is_composed_as_the_library_does() -> None:
    marks = [char for char in map(chr, range(0x30000)) if unicodedata.combining(char)]
    assert len(marks) > 900
    for mark in marks:
        run = "a" + mark * 40 + "\u0323" * 40 + "\u0301" * 40
        assert composed(run) == unicodedata.normalize("NFC", run)


@pytest.mark.parametrize("marks", ["\u0301" * 10_000 + "\u0323" * 20_000, "\u0f73" * 20_000])
def test_marks_without_an_end_cost_their_length(marks: str) -> None:
    ours = min(seconds(composed, "a" + marks) for _ in range(3))
    # The library's work grows with the square: for all of them it takes sixteen times as long.
    assert ours < seconds(library, "a" + marks[::4])


def library(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def seconds(compose: Callable[[str], str], text: str) -> float:
    """Processor time."""
    began = process_time()
    compose(text)
    return process_time() - began
