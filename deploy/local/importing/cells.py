"""Reading single cells as offices fill them in: grades in words, dates of many forms, full-width digits.

Every function takes the text of one cell that is not blank and returns its value, or a `Fault`. Those that
read words are cached, because the same words stand in a column a million times; long texts are no words.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache, wraps
from typing import Final, TypeVar

from deploy.local.importing.faults import Fault
from shared.kernel.clock import SHANGHAI
from shared.kernel.grades import Channel, Grade, Source

CACHED: Final = 65_536
MAX_WORD: Final = 64
"""Characters of the longest text that is looked at as a grade, a time, a channel or a source."""
MAX_REFERENCE: Final = 128
"""Characters of a reference, as intake takes them."""

_EXCEL_ZERO: Final = datetime(1899, 12, 30, tzinfo=SHANGHAI)
_SERIALS: Final = range(36_526, 73_051)
"""Excel's serial days from 2000 to 2099; other numbers are no dates."""
_SERIAL: Final = re.compile(r"\d{5}(?:\.\d+)?", re.ASCII)
_COMPACT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?", re.ASCII)
_MOMENT: Final = re.compile(
    r"(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
    r"(?:[T\s]*(?P<half>上午|下午|晚上)?\s*(?P<hour>\d{1,2})[:时点](?P<minute>\d{1,2})?"
    r"(?:[:分](?P<second>\d{1,2})?(?:\.\d+)?)?秒?\s*(?P<noon>[AP]M)?\s*(?P<zone>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_CLOCK: Final = re.compile(r"(?:上午|下午|晚上)?\s*\d{1,2}[:时点].{0,12}", re.ASCII)
_SCIENTIFIC: Final = re.compile(r"[+-]?\d(?:\.\d+)?E[+]?\d{1,3}", re.ASCII | re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_HALF_DAY: Final = 12

_TIME: Final = Fault(
    "日期或时间，如 2026-03-01 或 2026年3月1日 9:30",
    "按年、月、日的顺序填写，年份用四位",
    "a date or a time such as 2026-03-01 or 2026-03-01 09:30",
    "write year, month and day in this order, the year with four digits",
)
_GRADE: Final = Fault(
    "五个等级之一：5 非常满意、4 满意、3 基本满意、2 不满意、1 非常不满意",
    "填写所评等级；没有评的不能代填",
    "one of the five grades: 5 very satisfied … 1 very dissatisfied",
    "fill in the grade that was given; never one that nobody gave",
)
_SUB_GRADE: Final = Fault(
    "1 至 5 的等级", "填写所评等级，没有评的留空",
    "a grade from 1 to 5", "fill in the grade that was given, or leave the cell empty",
)  # fmt: skip
_DIGITS_LOST: Final = Fault(
    "完整的号码",
    "该号码被 Excel 改成了科学计数法，数字已丢失：把该列设为“文本”格式后重新填写",
    "the whole number",
    "Excel has lost digits of it (scientific notation): format the column as text, fill it in anew",
)
_UNREADABLE: Final = Fault(
    f"1 至 {MAX_REFERENCE} 个可见字符",
    "删去换行等控制字符，或缩短",
    f"1 to {MAX_REFERENCE} visible characters",
    "remove line ends and other control characters, or shorten it",
)
_GRADES: Final[Mapping[str, int]] = {
    **{str(grade.value): grade.value for grade in Grade},
    **{grade.label: grade.value for grade in Grade},
    "很满意": 5, "十分满意": 5, "比较满意": 4, "很不满意": 1, "十分不满意": 1,
    **{f"{grade.value}分": grade.value for grade in Grade},
    **{f"{grade.value}星": grade.value for grade in Grade},
    **{"★" * grade.value + "☆" * (5 - grade.value): grade.value for grade in Grade},
    **{"★" * grade.value: grade.value for grade in Grade},
}  # fmt: skip
_GRADE_NUMBER: Final = re.compile(r"([1-5])(?:\.0+)?", re.ASCII)
_CHANNELS: Final[Mapping[str, Channel]] = {
    **{channel.value: channel for channel in Channel},
    **{channel.label: channel for channel in Channel},
    "评价器": Channel.TERMINAL, "窗口": Channel.TERMINAL, "二维码": Channel.QR, "扫码": Channel.QR,
    "网站": Channel.WEB, "APP": Channel.APP, "短信": Channel.SMS, "电话": Channel.HOTLINE,
    "热线": Channel.HOTLINE, "12345": Channel.HOTLINE, "纸质": Channel.PAPER, "问卷": Channel.PAPER,
    "评价表": Channel.PAPER, "座谈": Channel.FORUM, "入户走访": Channel.VISIT, "投诉": Channel.COMPLAINT_DESK,
    "导入": Channel.IMPORT,
}  # fmt: skip
_SOURCES: Final[Mapping[str, Source]] = {
    **{source.value: source for source in Source},
    **{source.label: source for source in Source},
    "抽查": Source.SPOT_CHECK, "群众": Source.PUBLIC, "公众": Source.PUBLIC, "社会": Source.SOCIAL,
}  # fmt: skip


def normal(text: str) -> str:
    """The text in half-width form, without blanks at its ends and characters that nobody sees."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip()


def key(text: str) -> str:
    """One spelling for comparing words: as `normal`, without any blanks, upper case."""
    return "".join(normal(text).split()).upper()


V = TypeVar("V")


def _of_words(parse: Callable[[str], V]) -> Callable[[str], V]:
    """`parse`, cached; texts that are too long to be words are cut first, which no word survives.

    Without the cut a hostile file could fill the cache with megabytes, or keep a pattern busy for hours.
    """
    cached = lru_cache(CACHED)(parse)

    @wraps(parse)
    def read(text: str) -> V:
        return cached(text if len(text) <= MAX_WORD else text[:MAX_WORD] + "…")

    return read


@_of_words
def grade(text: str) -> int | Fault:
    """The overall grade; only what clearly is one of the five: "一般" is not."""
    return _grade(text, _GRADE)


@_of_words
def sub_grade(text: str) -> int | Fault:
    """A sub-grade."""
    return _grade(text, _SUB_GRADE)


def _grade(text: str, fault: Fault) -> int | Fault:
    word = key(text)
    number = _GRADE_NUMBER.fullmatch(word)
    if number is not None:
        return int(number[1])
    return _GRADES.get(word, fault)


@_of_words
def channel(text: str) -> Channel | Fault:
    """The channel, by its Chinese or English word."""
    word = key(text)
    found = _CHANNELS.get(word) or _CHANNELS.get(word.lower())
    return found or Fault(
        "评价渠道之一：" + "、".join(each.label for each in Channel),
        "改为其中之一，或删去该列并用 --channel 指定",
        "one of the channels " + ", ".join(Channel),
        "use one of them, or remove the column and name the channel with --channel",
    )


@_of_words
def source(text: str) -> Source | Fault:
    """The source of the appraisal, by its Chinese or English word."""
    word = key(text)
    found = _SOURCES.get(word) or _SOURCES.get(word.lower())
    return found or Fault(
        "评议来源之一：" + "、".join(each.label for each in Source),
        "改为其中之一，或留空",
        "one of the sources " + ", ".join(Source),
        "use one of them, or leave the cell empty",
    )


@_of_words
def moment(text: str) -> str | Fault:
    """When it happened, in RFC 3339 with China's offset unless the cell states another.

    A day alone is its first moment: the day counts, and a repeat must give the same time.
    """
    plain = normal(text)
    if _SERIAL.fullmatch(plain):
        return _from_serial(float(plain))
    compact = _COMPACT.fullmatch(plain)
    if compact is not None:
        return _instant([int(part or 0) for part in compact.groups()], "+08:00")
    found = _MOMENT.fullmatch(plain)
    if found is None:
        return _TIME
    hour = int(found["hour"] or 0)
    afternoon = found["half"] in {"下午", "晚上"} or (found["noon"] or "").upper() == "PM"
    if afternoon and hour < _HALF_DAY:
        hour += _HALF_DAY
    elif hour == _HALF_DAY and (found["noon"] or "").upper() == "AM":
        hour = 0
    parts = [int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    parts[3] = hour
    zone = (found["zone"] or "+08:00").upper()
    if zone != "Z" and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return _instant(parts, zone)


def _from_serial(serial: float) -> str | Fault:
    if int(serial) not in _SERIALS:
        return _TIME
    # To the second: the fraction of a day is a binary number and never quite the time that was typed.
    return (_EXCEL_ZERO + timedelta(seconds=round(serial * 86_400))).isoformat()


def _instant(parts: list[int], zone: str) -> str | Fault:
    year, month, day, hour, minute, second = parts
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return _TIME
    return text


def joined_moment(date: str, time: str) -> str:
    """One text for `moment` from a column of dates and one of times; either may be blank.

    A time that holds a date of its own is taken by itself.
    """
    if not time:
        return date
    return f"{date} {time}" if date and _CLOCK.fullmatch(normal(time)) else time


def reference(text: str) -> str | Fault:
    """A number or code that must be whole: of a transaction, of the file's own rows."""
    plain = normal(text)
    if _SCIENTIFIC.fullmatch(plain):
        return _DIGITS_LOST
    if not plain or len(plain) > MAX_REFERENCE or not plain.isprintable():
        return _UNREADABLE
    return plain


def personal_number(text: str) -> str | Fault:
    """A phone or identity number; whether it can exist is intake's to judge."""
    plain = normal(text)
    return _DIGITS_LOST if _SCIENTIFIC.fullmatch(plain) else plain


def comment(text: str) -> str | Fault:
    """A comment, or a name: as it was written, without blanks at its ends."""
    return text.strip()
