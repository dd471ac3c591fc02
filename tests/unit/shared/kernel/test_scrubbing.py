import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.kernel.identity_numbers import (
    check_digit,
    is_identity_number,
    is_phone,
    normal_identity_number,
    normal_phone,
)
from shared.kernel.scrubbing import IDENTITY_MARK, PHONE_MARK, scrub

WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
mobiles = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
birthdays = st.dates().map(lambda day: f"19{day.year % 100:02d}{day.month:02d}{day.day:02d}")
identities = st.builds(
    lambda area, birthday, order: (
        f"{area:06d}{birthday}{order:03d}" + check_digit(f"{area:06d}{birthday}{order:03d}")
    ),
    st.integers(110000, 659999),
    birthdays,
    st.integers(0, 999),
)
around = st.text("，。 很好请联系a", max_size=8)
gaps = st.lists(st.sampled_from(["", "-", " ", "－", ". "]), min_size=17, max_size=17)


# "1991-01-01 234" reads as a date with a number behind it, and stays.
_DATE_AND_MORE = re.compile(r"(?:19|20)\d\d([\-.])\d{1,2}\1\d{1,2}(?:[ .]|$)")
WIDE_HYPHEN = str.maketrans("－", "-")


def spread(number: str, separators: list[str]) -> str:
    return "".join(digit + gap for digit, gap in zip(number, [*separators, ""], strict=False)) + number[18:]


@given(
    around,
    mobiles,
    around,
    st.sampled_from(["", "+86", "86 ", "0086-", "+86 "]),
    st.sampled_from(["narrow", "wide"]),
)
def test_a_mobile_number_is_taken_out_and_the_rest_stays(
    before: str, number: str, after: str, country: str, width: str
) -> None:
    shown = country + (number.translate(WIDE) if width == "wide" else number)
    assert scrub(before + shown + after) == before + PHONE_MARK + after


@given(mobiles, gaps)
def test_separators_do_not_hide_a_mobile_number(number: str, separators: list[str]) -> None:
    shown = "".join(digit + gap for digit, gap in zip(number, [*separators[:10], ""], strict=True))
    assume(_DATE_AND_MORE.search(shown.translate(WIDE_HYPHEN)) is None)
    assert scrub(f"电话{shown}谢谢") == f"电话{PHONE_MARK}谢谢"


@given(around, identities, around, st.sampled_from(["narrow", "wide"]))
def test_an_identity_number_is_taken_out_and_the_rest_stays(
    before: str, number: str, after: str, width: str
) -> None:
    shown = number.translate(WIDE) if width == "wide" else number
    assert scrub(before + shown + after) == before + IDENTITY_MARK + after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("11010519491231002X", IDENTITY_MARK),
        ("11010519491231002x", IDENTITY_MARK),
        ("110105194912310021", "110105194912310021"),
        ("130503670401001", IDENTITY_MARK),
        ("办件号130503679901001", "办件号130503679901001"),
        ("座机 0791-86123456。", f"座机 {PHONE_MARK}。"),
        ("(0791)86123456", PHONE_MARK),
        ("等了 45 分钟，2026-01-31 09:30 才办完", "等了 45 分钟，2026-01-31 09:30 才办完"),
        ("编号 1381234567890123456789", "编号 1381234567890123456789"),
        ("1991-01-01-234", PHONE_MARK),
        ("1900-01-00-000", PHONE_MARK),
        ("1991-01-01 234", "1991-01-01 234"),
        ("13812345678 和 13912345678", f"{PHONE_MARK} 和 {PHONE_MARK}"),
    ],
)
def test_known_cases(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("身份证360102199003074514", f"身份证{IDENTITY_MARK}"),
        ("３６０１０２１９９００３０７４５１４", IDENTITY_MARK),
        ("360102 19900307 4514", IDENTITY_MARK),
        ("编号 360102299003074514", "编号 360102299003074514"),
        ("编号 360102199013074514", "编号 360102199013074514"),
    ],
)
def test_a_mistyped_identity_number_goes_where_that_is_asked_for(text: str, expected: str) -> None:
    assert scrub(text) == text
    assert scrub(text, mistyped=True) == expected


@given(st.text("0123456789-+ xX１２３8619电话", max_size=60))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@given(st.text())
def test_text_without_digits_comes_back_as_it_is(text: str) -> None:
    plain = "".join(each for each in text if not each.isdigit())
    assert scrub(plain) == plain


@given(identities)
def test_one_wrong_digit_breaks_the_check(number: str) -> None:
    wrong = str((int(number[0]) % 9) + 1)
    assert is_identity_number(number)
    assert not is_identity_number(wrong + number[1:]) or wrong == number[0]


def test_short_and_long_identity_numbers_of_one_person_become_one() -> None:
    assert normal_identity_number("130503670401001") == normal_identity_number("13050319670401001" + "6")
    assert normal_identity_number(" 11010519491231002x ") == "11010519491231002X"


@given(mobiles)
def test_all_spellings_of_a_mobile_become_one(number: str) -> None:
    spellings = [number, f"+86 {number}", f"0086{number}", f"{number[:3]}-{number[3:7]}-{number[7:]}"]
    assert {normal_phone(each) for each in spellings} == {number}
    assert {normal_phone(each.translate(WIDE)) for each in spellings} == {number}
    assert is_phone(number)
