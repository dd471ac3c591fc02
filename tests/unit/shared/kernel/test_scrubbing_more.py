"""Bank cards, plates, e-mail and accounts; hidden digits; what has to stay; the time that it takes."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.scrubbing import (
    ACCOUNT_MARK,
    BANK_CARD_MARK,
    DOCUMENT_MARK,
    EMAIL_MARK,
    IDENTITY_MARK,
    PHONE_MARK,
    PLATE_MARK,
    scrub,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("身份证11010519491231002Ⅹ", f"身份证{IDENTITY_MARK}"),  # the Roman numeral of input methods
        ("11010519491231002ⅹ的材料", f"{IDENTITY_MARK}的材料"),
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
        ("一三八一二三四五六七八", PHONE_MARK),
        ("打幺三八,幺二三四,五六七八找我", f"打{PHONE_MARK}找我"),
        ("壹叁捌-壹贰叁肆-伍陆柒捌", PHONE_MARK),
        ("打13812345678一次，一次没接", f"打{PHONE_MARK}一次，一次没接"),
        ("l38l2345678和13O12345678", f"{PHONE_MARK}和{PHONE_MARK}"),
        ("一一零一零五一九四九一二三一零零二X", IDENTITY_MARK),
        ("11010519491231002×和11010519491231002Х", f"{IDENTITY_MARK}和{IDENTITY_MARK}"),
        ("138，1234，5678", PHONE_MARK),
        ("138 —— 1234 —— 5678", PHONE_MARK),
        ("1、3、8、1、2、3、4、5、6、7、8", PHONE_MARK),
        ("138*1234*5678或138:1234:5678", f"{PHONE_MARK}或{PHONE_MARK}"),
        ("外地打013812345678", f"外地打{PHONE_MARK}"),
        ("0531-1234567、0531 - 85551234、0531/85551234", "、".join([PHONE_MARK] * 3)),
        ("+86 (531) 8555 1234", PHONE_MARK),
        ("电话：85551234，座机8555-1234", f"电话：{PHONE_MARK}，座机{PHONE_MARK}"),
        ("车牌鲁А12345", f"车牌{PLATE_MARK}"),
        ("护照EA1234567丢了", f"护照{DOCUMENT_MARK}丢了"),
        ("残疾证号36010219900307451344", f"残疾证号{DOCUMENT_MARK}"),
        ("加我V zhangsan88", f"加我V {ACCOUNT_MARK}"),
        ("加微zhangsan88", f"加微{ACCOUNT_MARK}"),
        ("抖音号 zhangsan88", f"抖音号 {ACCOUNT_MARK}"),
        ("微 信：zhangsan", f"微 信：{ACCOUNT_MARK}"),
        ("扣扣1234 5678", ACCOUNT_MARK),
        ("zhangsan @ qq.com", EMAIL_MARK),
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
        "一二三四五六七八九十条建议都没人听",
        "第一百三十八条一二三四五款",
        "1、3、5、7、9号窗口，2、4、6、8、10号窗口没人",
        "评了5、5、4、5、5、4、3、5、5、4、5",
        "排在150号，1234人，等到5点",
        "电话20261126打的，没人接",
        "电话等了2000 3000秒",
        "居住证20260105办的",
        "增加windows10电脑和widget_more",
        "号码太长看不清，电话打不通，护照办得快",
        "olololololol LIOOIL oil0101010101",
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


@given(st.text("0123456789-·. @xX１２aA赣微信vqQ:：\u200b@.com６２４一三幺OlI，、×电话护照加(", max_size=60))
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
        "1、",
        "138 ",
        "13，",
        "一",
        "一三 ",
        "lO",
        "电话 ",
        "电话2000",
        "护照1",
        "加v",
        " @",
        "@ ",
    ],
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    scrub(piece)  # the table of folded characters is made once
    short, long = (min(timed(piece, length) for _ in range(3)) for length in (4_000, 16_000))
    assert long < 10 * short + 0.01  # linear, it is 4 times as much; quadratic, 16 times


def timed(piece: str, length: int) -> float:
    """Seconds of processor time for a text of ``length`` characters."""
    text = (piece * length)[:length]
    began = process_time()
    scrub(text)
    return process_time() - began
