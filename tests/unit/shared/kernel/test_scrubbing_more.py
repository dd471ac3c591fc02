"""Bank cards, plates, e-mail and accounts; hidden digits; what has to stay; the time that it takes."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.scrubbing import (
    ACCOUNT_MARK,
    BANK_CARD_MARK,
    EMAIL_MARK,
    IDENTITY_MARK,
    PHONE_MARK,
    PLATE_MARK,
    scrub,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("退款打到6222021234567890128就行", f"退款打到{BANK_CARD_MARK}就行"),
        ("卡号 6222 0212 3456 7890 128，农行", f"卡号 {BANK_CARD_MARK}，农行"),
        ("信用卡4111-1111-1111-1111被多扣", f"信用卡{BANK_CARD_MARK}被多扣"),
        ("６２２２０２１２３４５６７８９０１２８", BANK_CARD_MARK),
        ("门口的赣A·12345一直按喇叭", f"门口的{PLATE_MARK}一直按喇叭"),
        ("新能源车赣AD12345占了无障碍车位", f"新能源车{PLATE_MARK}占了无障碍车位"),
        ("货车 赣B12345D 堵门", f"货车 {PLATE_MARK} 堵门"),
        ("车牌是赣 a 1 2 3 4 5 的", f"车牌是{PLATE_MARK} 的"),
        ("港牌粤Z1234港的车主", f"港牌{PLATE_MARK}的车主"),
        ("发到zhang.san_88@163.com可以吗", f"发到{EMAIL_MARK}可以吗"),
        ("邮箱：ＺＨＡＮＧ＠ＱＱ．ＣＯＭ。", f"邮箱：{EMAIL_MARK}。"),
        ("加我微信 zhangsan_1988 细说", f"加我微信 {ACCOUNT_MARK} 细说"),
        ("微信号：zhangsan", f"微信号：{ACCOUNT_MARK}"),
        ("vx:lisi0791", f"vx:{ACCOUNT_MARK}"),
        ("QQ号12345678联系", f"{ACCOUNT_MARK}联系"),
        ("打+86 791 8621 2345没人接", f"打{PHONE_MARK}没人接"),
        ("座机０７９１－８６２１２３４５", f"座机{PHONE_MARK}"),
        ("老身份证 130503 670401 001", f"老身份证 {IDENTITY_MARK}"),
        ("13812345678、赣A12345、a@b.cn", f"{PHONE_MARK}、{PLATE_MARK}、{EMAIL_MARK}"),
    ],
)
def test_what_leads_to_a_person_is_taken_out(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026年11月26日9时30分到窗口，11:45才办完",
        "收了1,580.00元，比公示的多280元",
        "共补发2024.01至2025.12的低保12300元",
        "办件号360102202601050001234至今没有结果",
        "受理编号2026-0105-000123，请查",
        "（2025）赣0102民初12345号判决书",
        "赣府发〔2026〕12号文件，第15条第3款",
        "网上流水号MZ20260105000123456",
        "房产证号赣(2019)南昌市不动产权第0012345号",
        "养老院3号楼201室，6床",
        "拨打12345热线转了3次",
        "打400-810-1234没人接",
        "等了13.5 2024.01.05",
        "邮编330000，乘212路到八一广场站",
        "统一社会信用代码52360000MJ5012345X",
        "卡号6222021234567890127",
        "WeChat payment was refused",
        "关注微信公众号mzj2026领号",
        "新A级景区3处，云B座12层",
        "@所有人 请大家排队",
    ],
)
def test_years_amounts_and_case_numbers_stay(text: str) -> None:
    assert scrub(text) == text


STYLES = [
    "0123456789", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "٠١٢٣٤٥٦٧٨٩",
]  # fmt: skip
HIDDEN = ["", "\u200b", "\u200d\u2060", "\ufeff", "\u202e", "\u00ad"]


@given(
    st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True),
    st.lists(st.sampled_from(STYLES), min_size=11, max_size=11),
    st.lists(st.sampled_from(HIDDEN), min_size=11, max_size=11),
)
def test_neither_another_style_nor_unseen_characters_hide_a_number(
    number: str, styles: list[str], hidden: list[str]
) -> None:
    shown = "".join(style[int(digit)] + gap for digit, style, gap in zip(number, styles, hidden, strict=True))
    scrubbed = scrub(f"电话{shown}请回")
    assert scrubbed.startswith(f"电话{PHONE_MARK}")
    assert scrubbed.endswith("请回")
    assert not any(char.isdigit() for char in scrubbed)


@given(st.text("0123456789-·. @xX１２aA赣微信vqQ:：\u200b@.com６２４", max_size=60))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1 ",
        "6",
        "9-",
        "0086",
        "1\u200b",
        "@",
        "a@",
        "赣A",
        "赣A·",
        "赣A1 ",
        "微信 ",
        "微信a",
        "qq1",
        "2024-01-01 ",
        "(0791)",
        "a",
    ],
)
def test_a_hundred_thousand_characters_take_no_longer_than_their_number(piece: str) -> None:
    scrub(piece)  # the table of folded characters is made once
    text = (piece * 100_000)[:100_000]
    began = process_time()
    scrub(text)
    assert process_time() - began < 5.0  # quadratic, it would be minutes
