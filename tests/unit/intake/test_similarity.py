"""Nearly the same texts are found by hashes that say nothing about them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.similarity import MinHashSketcher
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.similarity import BANDS, SIGNATURE, split_bands
from shared.kernel.plain_text import comparable, plain

MINE = Pseudonyms("k1", b"1" * 32)
TEXT = "工作人员很耐心，材料一次说清，不用跑第二趟，窗口整洁有序，下次还来。"
OTHER = "等了一个多小时才轮到，问什么都说不知道，最后还让我去别的科室重新排队。"


def bands(text: str, *, unit: str = "U1", keys: Pseudonyms = MINE) -> set[str]:
    joined = keys.bands(unit, MinHashSketcher().signature(text, 12))
    return {f"{number}.{band}" for number, band in enumerate(split_bands(joined))}


@pytest.mark.parametrize(
    "copy",
    [
        TEXT,
        TEXT.replace("，", "!! "),
        TEXT.replace("材料", "材\u200b料\u2060"),
        "\u202e" + TEXT,
        TEXT.replace("工", "⼯"),
    ],
)
def test_disguises_change_nothing(copy: str) -> None:
    assert bands(copy) == bands(TEXT)


def test_homoglyphs_and_other_digits_are_read_as_what_they_look_like() -> None:
    assert comparable("Ѕ А М Е ａｂ 12３٤⑤") == comparable("SAME ab 12345")


def test_a_text_with_a_few_words_changed_shares_bands_and_another_one_none() -> None:
    chance = Random(5)
    alike = 0
    for _ in range(50):
        place = chance.randrange(len(TEXT))
        alike += bool(bands(TEXT) & bands(TEXT[:place] + chance.choice("真好的了") + TEXT[place:]))
    assert alike == 50
    assert not bands(TEXT) & bands(OTHER)


def test_bands_tell_nothing_across_units_and_keys() -> None:
    assert len(bands(TEXT)) == BANDS
    assert not bands(TEXT) & bands(TEXT, unit="U2")
    assert not bands(TEXT) & bands(TEXT, keys=Pseudonyms("k1", b"2" * 32))


@pytest.mark.parametrize("text", ["很好", "！！！", "满意，谢谢！", "a\u200b" * 11])
def test_short_texts_are_compared_with_nothing(text: str) -> None:
    assert MinHashSketcher().signature(text, 12) is None
    assert MINE.bands("U1", None) is None
    assert split_bands(None) == ()


@given(st.text(max_size=200))
def test_any_text_has_a_signature_or_none(text: str) -> None:
    signature = MinHashSketcher().signature(text, 4)
    assert signature is None or len(signature) == SIGNATURE


@given(st.text(max_size=100), st.integers(0, 100), st.integers(0, 100))
def test_every_part_of_the_plain_copy_leads_back_to_its_place(text: str, start: int, length: int) -> None:
    copy = plain(text)
    start = min(start, len(copy.text))
    end = min(start + length, len(copy.text))
    first, last = copy.original_span(start, end)
    assert 0 <= first <= last <= len(text)
    assert copy.places is None or list(copy.places) == sorted(copy.places)


def test_a_phone_number_in_disguise_is_found_in_the_copy_and_cut_out_of_the_original() -> None:
    text = "打1\u200b3８⁠00138٠00吧"
    copy = plain(text)
    at = copy.text.index("13800138000")
    first, last = copy.original_span(at, at + 11)
    assert text[:first] + "[电话]" + text[last:] == "打[电话]吧"
