"""Identity and bank-card numbers in runs of digits: the same as by trying every place and every length."""

import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.digit_runs import DigitRuns
from shared.kernel.identity_numbers import check_digit, is_identity_number, resembles_identity_number
from shared.kernel.scrubbing import BANK_CARD_MARK, IDENTITY_MARK, scrub

GAP = r"[\s\-·.()_/]{0,3}"
ISSUERS = re.compile(r"6[0289]\d{14,17}|4\d{15}|5[1-5]\d{14}|35\d{14}|955[89]\d{15}", re.ASCII)
PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66)}


def plain(written: str) -> str:
    return re.sub(r"[^0-9Xx]", "", written)


def tried_everywhere(
    copy: str, lengths: list[int], last: str, accept: Callable[[str], bool]
) -> list[tuple[int, int]]:
    """From left to right, the first length that is accepted."""
    patterns = [
        re.compile(rf"(?<!\d)\d(?:{GAP}\d){{{length - 2}}}{GAP}{last}(?!\d)", re.ASCII) for length in lengths
    ]
    spans, place = [], 0
    while place < len(copy):
        tried = (pattern.match(copy, place) for pattern in patterns)
        found = next((each for each in tried if each is not None and accept(each[0])), None)
        if found is not None:
            spans.append(found.span())
        place = place + 1 if found is None else found.end()
    return spans


def is_identity(written: str) -> bool:
    number = plain(written)
    return is_identity_number(number) and (
        len(number) == 18 or int(number[:2]) in PROVINCES | {71, 81, 82, 91}
    )


def is_card(written: str) -> bool:
    number = plain(written)
    if ISSUERS.fullmatch(number) is None:
        return False
    doubled = [int(each) * (2 if place % 2 else 1) for place, each in enumerate(reversed(number))]
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0


def with_luhn(number: str) -> str:
    return next(number + last for last in "0123456789" if is_card(number + last))


areas = st.sampled_from(["110105", "360102", "440300", "990000"])
births = st.sampled_from(["900307", "001231", "851332", "670401", "111111"])
longs = st.builds(
    lambda area, birth, order: f"{area}19{birth}{order:03d}" + check_digit(f"{area}19{birth}{order:03d}"),
    areas,
    births,
    st.integers(0, 999),
)
shorts = st.builds(lambda area, birth, order: f"{area}{birth}{order:03d}", areas, births, st.integers(0, 999))
cards = st.one_of(
    st.from_regex(r"6[0289][0-9]{13,16}", fullmatch=True),
    st.from_regex(r"(?:4[0-9]|5[1-5]|35)[0-9]{13}", fullmatch=True),
    st.from_regex(r"955[89][0-9]{14}", fullmatch=True),
).map(with_luhn)
digits = st.text("0123456789", max_size=4) | st.text("1", max_size=20)
numbers = longs | shorts | cards | digits
gaps = st.sampled_from(["", "", "", " ", "-", "  ", " - ", "    ", "，", "x", "X "])


@st.composite
def mixtures(draw: st.DrawFn) -> str:
    pieces = []
    for number in draw(st.lists(numbers, max_size=5)):
        every = draw(gaps | st.just(""))
        pieces += [every.join(number) if draw(st.booleans()) else number, draw(gaps)]
    return "".join(pieces)


@given(mixtures())
def test_identity_numbers_are_found_as_by_trying_every_place(copy: str) -> None:
    found = DigitRuns().identities(copy, mistyped=False, shorter=True)
    assert found == tried_everywhere(copy, [18, 15], "[0-9Xx]", is_identity)


@given(mixtures())
def test_mistyped_ones_are_found_as_by_trying_every_place(copy: str) -> None:
    def resembles(written: str) -> bool:
        number = plain(written)
        return is_identity(written) or (len(number) == 18 and resembles_identity_number(number))

    found = DigitRuns().identities(copy, mistyped=True, shorter=True)
    assert found == tried_everywhere(copy, [18, 15], "[0-9Xx]", resembles)


@given(mixtures())
def test_bank_cards_are_found_as_by_trying_every_place(copy: str) -> None:
    found = DigitRuns().bank_cards(copy, accept=lambda _: True, shorter=True)
    assert found == tried_everywhere(copy, [19, 18, 17, 16], r"\d", is_card)


@given(mixtures())
def test_who_has_the_last_word_may_refuse_every_card(copy: str) -> None:
    assert DigitRuns().bank_cards(copy, accept=lambda _: False, shorter=True) == []


@given(mixtures(), mixtures())
def test_what_is_remembered_of_one_text_is_not_said_of_another(copy: str, other: str) -> None:
    runs = DigitRuns()
    runs.identities(other, mistyped=False, shorter=True)
    for shorter in (False, True):
        found = runs.identities(copy, mistyped=False, shorter=shorter)
        assert found == DigitRuns().identities(copy, mistyped=False, shorter=shorter)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("老证号130503670401001-123", f"老证号{IDENTITY_MARK}-123"),
        ("130503670401001 360人排队", f"{IDENTITY_MARK} 360人排队"),
        ("卡4111111111111111 3次没刷上", f"卡{BANK_CARD_MARK} 3次没刷上"),
        ("卡4111 1111 1111 1111 12元", f"卡{BANK_CARD_MARK} 12元"),
        ("卡6222021234567894/7月", f"卡{BANK_CARD_MARK}/7月"),
    ],
)
def test_digits_behind_a_number_do_not_hide_it(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize("piece", ["1 ", "1.", "12 ", "6 ", "5 ", "1", "0086", "1 3 ", "4-", "1、", "一 "])
@pytest.mark.parametrize("length", [1000, 2000, 8000])
def test_a_comment_of_lone_digits_is_little_work_for_each_character(piece: str, length: int) -> None:
    assert calls_for((piece * length)[:length]) <= 25 * length  # it was 60, and each of them dearer


def calls_for(text: str) -> int:
    """How many functions are called for a text: the same on every machine, unlike seconds."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        scrub(text)
    finally:
        sys.setprofile(before)
    return calls
