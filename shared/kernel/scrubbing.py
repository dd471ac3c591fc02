"""Taking numbers and addresses of people out of free text before it is kept (DOMAIN: people's data).

Everything is looked for in a *folded copy* of the text: one ASCII character for each digit or letter of
another width or style, nothing for characters that nobody sees. Places in the copy lead back to the text, so
that what is taken out is what was written. Every pattern has bounds and no two ways to match the same text,
so the time grows with the length of the text alone.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Final

from shared.kernel.digit_runs import GAP, DigitRuns
from shared.kernel.plain_text import LOOKALIKES

PHONE_MARK: Final = "[手机号]"
IDENTITY_MARK: Final = "[身份证号]"
BANK_CARD_MARK: Final = "[银行卡号]"
PLATE_MARK: Final = "[车牌号]"
EMAIL_MARK: Final = "[邮箱]"
ACCOUNT_MARK: Final = "[社交账号]"
DOCUMENT_MARK: Final = "[证件号]"

# In the groups in which it is spoken, or digit by digit, anything but words may stand between.
_ANY_GAP = r"[^0-9A-Za-z\u3400-\u9fff]"
_MOBILE = re.compile(
    rf"(?<!\d)(?:(?:\+|00)?86{GAP})?0?(?:1{GAP}[3-9](?:{GAP}\d){{9}}(?!\d)"
    rf"|1[3-9]\d{_ANY_GAP}{{0,6}}\d{{4}}{_ANY_GAP}{{0,6}}\d{{4}}(?!\d)"
    rf"|1{_ANY_GAP}{{1,3}}[3-9](?:{_ANY_GAP}{{1,3}}\d){{9}}(?!{_ANY_GAP}{{0,3}}\d))",
    re.ASCII,
)
# After the country code the area's zero is left out.
_AREA = r"(?:10|2\d|[3-9]\d{2})"
_LANDLINE = re.compile(
    rf"(?<!\d)(?:\(0\d{{2,3}}\)|0\d{{2,3}}|(?:\+|00)86{GAP}\(?{_AREA}\)?)"
    r"(?:[\s\-/.,，、]{0,3}[2-9]\d{2,3}[\s\-]?\d{4}|[\s\-]{1,3}1\d{6,7})(?!\d)",
    re.ASCII,
)
# A number without its area is one where it is called so.
_LOCAL = re.compile(
    r"(?:电话|座机|固话|联系方式|[tT][eE][lL])(?:号码?)?[\s:是为.]{0,4}"
    r"(?P<taken>[2-9]\d{2,3}[\s\-]?\d{4})(?![\s\-]?\d)",
    re.ASCII,
)
_DAY = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_DOCUMENT = re.compile(
    r"(?:护照|通行证|回乡证|台胞证|军官证|士兵证|居住证|残疾证|残疾人证|社保卡|医保卡|驾驶证|学生证)"
    r"(?:号码?|编号)?[\s:是为]{0,4}(?P<taken>[A-Za-z]{0,2}\d{7,20}[A-Za-z]?)(?![A-Za-z0-9])",
    re.ASCII,
)
_PLATE_GAP = r"[\s\-·.]{0,2}"
_PLATE = re.compile(
    rf"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使]{_PLATE_GAP}[A-Za-z]"
    rf"(?:{_PLATE_GAP}[A-Za-z0-9]){{4,6}}[挂学警港澳领]?(?![A-Za-z0-9])"
)
_PLATE_BODY = re.compile(
    r"[A-Z](?:[A-HJ-NP-Z0-9]{5}|[A-HJ-NP-Z0-9]{4}[挂学警港澳领]|[A-HJK][A-HJ-NP-Z0-9]\d{4}|\d{5}[A-HJK])",
    re.ASCII,
)
_PLATE_DIGITS: Final = 3
"""An ordinary plate has at most two letters behind its place, so words like 新ABCDEF are none."""

_ACCOUNT = re.compile(
    r"(?:微\s?信号?|薇信|威信|[vV]信|加(?:我|个|下)?\s?(?:[微薇威vV]|[wW](?![A-Za-z0-9]))|(?<![A-Za-z])(?:[wW]e[cC]hat|[wW][xX]|[vV][xX])"
    r"|(?:抖音|快手|小红书|支付宝|微博|钉钉)账?号)"
    r"(?P<sure>[\s:]{0,3}(?::|是|为|号|加|id|ID)?[\s:]{0,3})"
    r"(?P<id>[A-Za-z][A-Za-z0-9_\-]{5,19})(?![A-Za-z0-9_\-])"
    r"|(?:(?<![A-Za-z])[qQ]{2}|扣扣|企鹅)号?[\s:]{0,3}(?:是|为)?[\s:]{0,3}[1-9](?:[\s\-]?\d){4,10}(?!\d)"
)
_MAIL_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-")
_MAIL_DOMAIN = re.compile(r"(?:[A-Za-z0-9\-]{1,63}\.){1,5}[A-Za-z]{2,24}", re.ASCII)
_LOCAL_MAX: Final = 64
_BLANKS: Final = 2
"""Blanks that may stand on either side of the at sign."""

# "13.5 2024.01.05": eleven digits in all, but a date that stands by itself is no part of a number. In
# "1991-01-01-234" it does not.
_DATED = re.compile(
    r"(?<!\d)(?<!\d[\-./])(?:19|20)\d{2}([\-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?![\-./]?\d)",
    re.ASCII,
)

_Find = Callable[[str], list[tuple[int, int]]]
"""Finds in a folded copy where something to take out stands."""
_Search = tuple[_Find, str]
"""And the mark for it."""
_PASSES: Final = 5
"""What is taken out may have hidden where another number begins or ends; bounded, so time stays linear."""

_HAN = "零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖"
_SPELT_OUT = str.maketrans(f"{_HAN}OoIl", "0012345678911234567890011")
_SPELT = re.compile(rf"(?:[0-9{_HAN}OoIl]{_ANY_GAP}{{0,6}}){{9}}", re.ASCII)
_HAN_RUN = re.compile(r"[\s\-.,，、]?".join([f"[{_HAN}]"] * 3))
_ANY_DIGIT = re.compile(r"\d|[\u2460-\u249b\u24ea\u2776-\u2793]")
_OTHER_SIGN = re.compile(r"[@＠信wWvVqQｗＷｖＶｑＱ]")
_WORD = re.compile(r"[A-Za-zＡ-Ｚａ-ｚ][A-Za-z0-9_\-Ａ-Ｚａ-ｚ０-９]{5}")


def scrub(text: str, *, mistyped: bool = False) -> str:
    """Return `text` with every number and address that leads to a person replaced by a mark.

    Taken out: mobile numbers and landlines with their area or called so, with or without +86; identity
    numbers of 18 (with their right check digit) and 15 digits; passports and other papers that are named;
    bank cards (known issuers, Luhn); number plates, those of new energy too; e-mail addresses; WeChat, QQ and
    other accounts that are named as such. Recognised in any width and style of digits, in Chinese ones and
    with letters that look like them, with up to three separators between, with any number of invisible
    characters.

    Idempotent; text without such numbers comes back as is. Time linear in the length of `text`.

    Args:
        text: whatever somebody wrote.
        mistyped: take identity numbers with a wrong check digit out too, for text that needs no order
            numbers.
    """
    for _ in range(_PASSES):
        if not _may_name_somebody(text):
            break
        before, text = text, _scrub_once(text, mistyped=mistyped)
        if text == before:
            break
    return text


def _scrub_once(text: str, *, mistyped: bool) -> str:
    runs = DigitRuns()
    numbers: tuple[_Search, ...] = (
        (partial(runs.identities, mistyped=mistyped, shorter=False), IDENTITY_MARK),
        (partial(runs.bank_cards, accept=_is_no_date, shorter=False), BANK_CARD_MARK),
        (partial(_matches, _MOBILE, _is_no_date), PHONE_MARK),
    )
    # Last, since what other numbers are made of may look like one of these by chance.
    shorter: tuple[_Search, ...] = (
        (partial(runs.identities, mistyped=mistyped, shorter=True), IDENTITY_MARK),
        (partial(runs.bank_cards, accept=_is_no_date, shorter=True), BANK_CARD_MARK),
    )
    folded = _fold(text)
    for find, mark in (*numbers, *_NAMED):
        text, folded = _replace(text, folded, find, mark)
    text, folded = _spelt_out(text, folded, numbers)
    for find, mark in (*_ADDRESSES, *shorter):
        text, folded = _replace(text, folded, find, mark)
    return _spelt_out(text, folded, shorter)[0]


def _may_name_somebody(text: str) -> bool:
    # Most comments hold nothing of the kind, and this is on the hot path.
    return (
        _OTHER_SIGN.search(text) is not None
        or len(_ANY_DIGIT.findall(text)) >= _PLATE_DIGITS
        or _HAN_RUN.search(text) is not None
        or _WORD.search(text) is not None
    )


# --- the folded copy --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Folded:
    """A plain copy of a text.

    Attributes:
        places: where each character of the copy stands in the text; None if nothing was left out.
    """

    text: str
    places: list[int] | None

    def spelt(self) -> "_Folded":
        """The same with digits for what stands for one: Chinese ones, and letters that look alike."""
        return _Folded(self.text.translate(_SPELT_OUT), self.places)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters from `start` up to `end` of the copy stand in the text."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


_UNSEEN = "\x00"
_DASHES = "‐‑‒–—―－﹣−～﹘"
_DOTS = "·•・‧．∙⋅。"
_FOLDED_RANGES = (
    range(0x80, 0x3400), range(0xA620, 0xAC00), range(0xF900, 0x10000), range(0x10000, 0x12000),
    range(0x16A00, 0x16B60), range(0x1BCA0, 0x1BCB0), range(0x1D100, 0x1D800), range(0x1E100, 0x1FC00),
    range(0xE0000, 0xE0200),
)  # fmt: skip
"""Where digits, letters of other styles and invisible characters are: all of Unicode would take 0.3 s."""
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"


@cache
def _folding() -> Mapping[int, str]:
    """For each character that is folded, what stands for it: one ASCII character, or `_UNSEEN`."""
    table: dict[int, str] = {}
    for code in chain.from_iterable(_FOLDED_RANGES):
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cf", "Mn", "Me") or char in _INVISIBLE:
            table[code] = _UNSEEN
        elif category == "Nd":
            table[code] = str(unicodedata.digit(char))
        elif category in ("No", "Nl", "Lu", "Ll", "So", "Sm", "Ps", "Pe", "Po", "Pc", "Zs"):
            plain = unicodedata.normalize("NFKC", char)
            if len(plain) == 1 and plain.isascii():
                table[code] = plain
    table |= {each: chr(plain) for each, plain in LOOKALIKES.items()} | dict.fromkeys(map(ord, "×✕✖"), "x")
    table |= {ord(char): "-" for char in _DASHES} | {ord(char): "." for char in _DOTS}
    return table


def _fold(text: str) -> _Folded:
    if text.isascii():
        return _Folded(text, None)
    copy = text.translate(_folding())
    if _UNSEEN not in copy:
        return _Folded(copy, None)
    places = [place for place, char in enumerate(copy) if char != _UNSEEN]
    return _Folded(copy.replace(_UNSEEN, ""), places)


def _spelt_out(text: str, folded: _Folded, searches: tuple[_Search, ...]) -> tuple[str, _Folded]:
    """`text` and its copy after `searches` where digits are words, or letters that look alike."""
    if _SPELT.search(folded.text) is None or folded.spelt().text == folded.text:
        return text, folded
    for find, mark in searches:
        text, folded = _replace(text, folded.spelt(), find, mark)
    return text, _fold(text)


def _replace(text: str, folded: _Folded, find: _Find, mark: str) -> tuple[str, _Folded]:
    """`text` and its copy with `mark` for everything that `find` finds in the copy."""
    spans = find(folded.text)
    if not spans:
        return text, folded
    text = _marked(text, folded, spans, mark)
    return text, _fold(text)


def _matches(pattern: re.Pattern[str], accept: Callable[[str], bool], copy: str) -> list[tuple[int, int]]:
    """Where `copy` matches `pattern` and what it says is accepted."""
    spans: list[tuple[int, int]] = []
    match = pattern.search(copy)
    while match is not None:
        group = match.lastgroup or 0
        taken = accept(match[group])
        if taken:
            spans.append(match.span(group))
        # What was refused may hold the beginning of another.
        match = pattern.search(copy, match.end() if taken else match.start() + 1)
    return spans


def _marked(text: str, folded: _Folded, spans: list[tuple[int, int]], mark: str) -> str:
    pieces: list[str] = []
    end = 0
    for span in spans:
        start, after = folded.span(*span)
        pieces += [text[end:start], mark]
        end = after
    return "".join((*pieces, text[end:]))


# --- what is recognised -----------------------------------------------------------------------------------


def _any(_written: str) -> bool:
    return True


def _is_no_date(written: str) -> bool:
    return _DATED.search(written) is None


def _is_no_day(written: str) -> bool:
    return _DAY.fullmatch(written) is None


def _is_plate(written: str) -> bool:
    body = re.sub(r"[\s\-·.]", "", written[1:]).upper()
    return _PLATE_BODY.fullmatch(body) is not None and sum(map(str.isdigit, body)) >= _PLATE_DIGITS


def _mail_in(copy: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    at, done = copy.find("@"), 0
    while at >= 0:
        near = max(done, at - _BLANKS)
        before = start = near + len(copy[near:at].rstrip())
        while start > done and before - start < _LOCAL_MAX and copy[start - 1] in _MAIL_LOCAL:
            start -= 1
        after = copy[at + 1 : at + 1 + _BLANKS]
        domain = _MAIL_DOMAIN.match(copy, at + 1 + len(after) - len(after.lstrip()))
        if start < before and domain is not None:
            done = domain.end()
            spans.append((start, done))
        at = copy.find("@", at + 1)
    return spans


def _accounts_in(copy: str) -> list[tuple[int, int]]:
    """Accounts behind the word for them; one of letters only needs more than a blank before it."""
    spans: list[tuple[int, int]] = []
    for match in _ACCOUNT.finditer(copy):
        account = match["id"]
        if account is None:
            spans.append(match.span())
        elif match["sure"].strip() or any(char.isdigit() or char in "_-" for char in account):
            spans.append(match.span("id"))
    return spans


_NAMED: Final[tuple[_Search, ...]] = (
    (partial(_matches, _LANDLINE, _any), PHONE_MARK),
    (partial(_matches, _LOCAL, _is_no_day), PHONE_MARK),
    (partial(_matches, _DOCUMENT, _is_no_day), DOCUMENT_MARK),
    (partial(_matches, _PLATE, _is_plate), PLATE_MARK),
)
"""What is known by its form alone, or by the word before it."""
_ADDRESSES: Final[tuple[_Search, ...]] = ((_mail_in, EMAIL_MARK), (_accounts_in, ACCOUNT_MARK))
