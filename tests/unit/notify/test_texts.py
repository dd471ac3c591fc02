import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.adapters.answer_parser import Answer
from services.notify.adapters.outbound import Outbound
from services.notify.adapters.robots import VENDORS, RobotChannel, encoded, message
from services.notify.adapters.sms import text_of
from services.notify.domain.channels import Language
from services.notify.domain.duty import Recipient
from services.notify.domain.fitting import fitted
from services.notify.domain.follow_ups import digest_of
from services.notify.domain.texts import cut, markdown, one_line, plain, render
from shared.kernel.ids import derived_id
from tests.unit.notify.support import NOW, PACK, SetClock, alert

TEXT = st.text(max_size=120)
NASTY = '<@all> @所有人 <at user_id="all">x</at> https://evil.example [点我](http://e) **急**\r\nBcc: x@y.z'


@given(st.text(alphabet="甲é👨‍👩‍👧e\u0301a\ufe0f👍🏽", max_size=60), st.integers(0, 120))
def test_a_text_is_cut_by_bytes_and_never_inside_a_character(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    if short != text:
        kept = short.removesuffix("…")
        assert text.startswith(kept)
        following = text[len(kept) : len(kept) + 1]
        if kept:
            assert unicodedata.category(following) not in {"Mn", "Me", "Mc"}
            assert following != "\u200d"
            assert not kept.endswith("\u200d")


def test_what_fits_is_left_alone_and_what_does_not_ends_in_an_ellipsis() -> None:
    assert cut("差评", 6) == "差评"
    assert cut("差评差评", 9) == "差评…"
    assert cut("差评", 5) == "…"
    assert cut("差评", 2) == ""


@pytest.mark.parametrize("escape", [plain, markdown])
def test_a_name_mentions_nobody_and_links_nowhere(escape: object) -> None:
    assert callable(escape)
    harmless = escape(NASTY)
    assert not set(harmless) & set("<>@\r\n")
    assert "://" not in harmless
    if escape is markdown:
        assert not set(harmless) & set("*_`[]()#~|!\\")


@given(title=TEXT, body=TEXT, name=TEXT)
def test_no_text_of_an_alert_gets_markup_or_a_mention_into_a_robots_message(
    title: str, body: str, name: str
) -> None:
    nasty = alert(title=title + NASTY, body=body + NASTY, unit_name=name + NASTY, figures={"x": NASTY})
    for (_kind, form), vendor in VENDORS.items():
        _, text = message(nasty, Language.ZH, vendor, marked=form == "markdown")
        assert not set(text) & set("<>@")
        if form == "markdown":
            assert text.count("*") == 4, "only our own markup, around the title"


@pytest.mark.parametrize(("key", "limit"), [(("wecom", "text"), 2048), (("wecom", "markdown"), 4096)])
def test_wecom_gets_at_most_the_bytes_that_it_documents(key: tuple[str, str], limit: int) -> None:
    long = alert(body="请责任人尽快核实。" * 220)
    _, text = message(long, Language.ZH, VENDORS[key], marked=False)
    assert limit - 4 < len(text.encode()) <= limit
    assert "…\n" in text, "the body is cut"
    assert text.endswith(f"预警编号:{long.alert_id}"), "and what to look it up by is not"


HELD = [
    alert(number, title=f"南昌市东湖区第{number}婚姻登记服务中心一楼综合窗口收到差评") for number in range(70)
]
WHO = Recipient("officer", "窗口负责人", ("wecom",))


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_digest_says_how_many_alerts_are_not_named_and_keeps_its_number(
    form: str, language: Language
) -> None:
    digest = digest_of(WHO, HELD, 70, 1, PACK.routing, NOW)
    vendor = VENDORS["wecom", form]
    _, text = message(digest, language, vendor, marked=form == "markdown")
    assert len(text.encode()) <= vendor.text_bytes
    lines = [line.rstrip() for line in text.splitlines()]
    named = [line for line in lines if line.startswith("· ")]
    assert 5 < len(named) < 50
    assert all(line.endswith("收到差评") for line in named), "whole lines only"
    assert any(re.search(rf"(另有|And ){70 - len(named)}(条| more)", line) for line in lines)
    assert lines[-1].endswith(digest.alert_id)
    assert "70" in lines[0]


def test_a_digest_that_fits_is_left_alone() -> None:
    digest = digest_of(WHO, HELD[:3], 3, 1, PACK.routing, NOW)
    _, text = message(digest, Language.ZH, VENDORS["wecom", "text"], marked=False)
    assert text.count("· ") == 3
    assert "另有" not in text


@given(title=TEXT, body=TEXT, count=st.integers(0, 60), limit=st.integers(0, 3000))
def test_whatever_is_cut_a_message_is_within_its_bytes_and_ends_in_the_number(
    title: str, body: str, count: int, limit: int
) -> None:
    number = alert().alert_id
    found = alert(title=title, body=body * 9, evidence=tuple(f"event-{each}" for each in range(count)))
    text = fitted(render(found), limit)
    assert len(text.encode()) <= limit
    assert text.endswith(number) or limit < 60


def test_a_request_stays_within_the_vendors_bytes_even_where_json_needs_more_than_the_text() -> None:
    _, text = message(alert(body='"' * 2000), Language.ZH, VENDORS["dingtalk", "text"], marked=False)
    assert len(encoded({"text": text})) <= 20_000


class Taken:
    """An outbound that keeps what it is to send."""

    def __init__(self) -> None:
        self.content = b""

    async def post(self, _url: str, content: bytes, _headers: Mapping[str, str]) -> Answer:
        self.content = content
        return Answer(200, b'{"errcode":0}')


async def test_a_request_whose_json_is_too_long_is_cut_in_the_body_and_keeps_the_number() -> None:
    taken = Taken()
    vendor = replace(VENDORS["wecom", "text"], text_bytes=6000, body_bytes=4000)
    channel = RobotChannel(
        "wecom", "https://x.example", vendor, secret=None, language=Language.ZH, marked=False,
        outbound=cast("Outbound", taken), clock=SetClock(),
    )  # fmt: skip
    await channel.deliver(alert(body='"' * 2500))
    assert len(taken.content) <= 4000
    assert json.loads(taken.content)["text"]["content"].endswith(alert().alert_id)


def test_there_are_templates_in_chinese_and_english() -> None:
    chinese, english = render(alert()), render(alert(), Language.EN)
    assert chinese.title == "[警告] 东湖区婚姻登记处收到差评"
    assert english.title == "[warning] Bad review: 东湖区婚姻登记处"
    assert english.lines[0].startswith("A review of grade 1 came in.")
    assert "Time: 2026-11-20 10:30" in english.lines
    assert "Threshold: 1,2" in english.lines


def test_a_rule_without_an_english_template_shows_its_own_text() -> None:
    text = render(alert(rule="retired"), Language.EN)
    assert text.title == "[warning] retired: 东湖区婚姻登记处"
    assert text.lines[0] == alert().body


def test_a_name_with_braces_is_no_template() -> None:
    text = render(alert(unit_name="{grade.__class__} {0}"), Language.EN)
    assert "{grade.__class__} {0}" in text.title


@given(st.text())
def test_one_line_has_no_control_character(text: str) -> None:
    line = one_line(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for char in line)


def test_an_sms_is_short_and_keeps_the_number_of_the_alert() -> None:
    text = text_of(alert(body="长" * 2000), Language.ZH, 70)
    assert len(text) == 70
    assert text.endswith(f"… #{derived_id('test-alert', '1')[:8]}")
