"""The file of recipients: read strictly, all problems at once, read again when it changes."""

import os
from pathlib import Path

import pytest

from services.notify.adapters.recipients_file import (
    RecipientsError,
    RecipientsFile,
    parse_recipients,
    region_token,
)
from services.notify.domain.directory import Directory
from services.notify.domain.offices import Offices
from services.notify.metrics import NotifyMetrics
from tests.unit.notify.people import UNITS
from tests.unit.notify.support import PACK

GOOD = """
operators = ["duty"]

[[recipients]]
id = "duty"
label = "平台值班"
channels = ["console", "email"]

[[recipients]]
id = "officer"
label = "婚姻登记处责任人"
channels = ["email"]
quiet = { from = "20:00", to = "08:00" }
working_days = true
quota = 10
cover = "duty"
absences = [{ from = 2026-11-20, back = 2026-11-27 }]

[[recipients]]
id = "press"
label = "新闻科"
channels = ["webhook"]
outside = true

[[chains]]
unit = "U000112"
officer = "officer"

[[supervisors]]
region = "360100"
recipients = ["duty"]

[[subscriptions]]
recipient = "press"
regions = ["360000"]
rules = ["rank_drop", "band_change"]
severity = "warning"
"""


def parse(text: str) -> object:
    return parse_recipients(text, "recipients.toml", UNITS, PACK.kinds)


def test_a_good_file_gives_everybody_with_their_hours_and_covers() -> None:
    book = parse_recipients(GOOD, "recipients.toml", UNITS, PACK.kinds)
    officer = book.recipients["officer"]
    assert officer.quiet is not None
    assert officer.quiet.start.hour == 20
    assert (officer.working_days, officer.quota, officer.cover) == (True, 10, "duty")
    assert not officer.present(officer.absences[0].first)
    assert book.chains == {"U000112": {"officer": "officer"}}
    assert book.supervisors == {"3601": ("duty",)}
    assert book.subscriptions[0].regions == frozenset(), "the whole province is no filter"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('id = "duty"', 'id = "Duty@x"', "recipients.0.id"),
        ('id = "press"', 'id = "duty"', "an id of its own"),
        ('label = "平台值班"', 'label = "张三13812345678"', "addresses belong to the channels"),
        ('channels = ["email"]\nquiet', "channels = []\nquiet", "recipients.1.channels"),
        ('from = "20:00"', 'from = "25:00"', "recipients.1.quiet"),
        ("quota = 10", "quota = 0", "recipients.1.quota"),
        ("quota = 10", "quote = 10", "recipients.1.quote"),
        ('cover = "duty"', 'cover = "nobody"', "recipients.officer.cover"),
        ('cover = "duty"', 'cover = "officer"', "break the circle"),
        ('cover = "duty"', 'cover = "press"', "let outside people subscribe only"),
        ("back = 2026-11-27", "back = 2026-11-20", "recipients.officer.absences"),
        ('unit = "U000112"', 'unit = "U999999"', "a registered unit"),
        ('region = "360100"', 'region = "南昌"', "GB/T 2260"),
        ('operators = ["duty"]', 'operators = ["press"]', "let outside people subscribe only"),
        ('["rank_drop", "band_change"]', '["bad_review"]', "for somebody outside"),
        ('["rank_drop", "band_change"]', "[]", "for somebody outside"),
        ('["rank_drop", "band_change"]', '["rank_dropp"]', "correct the name"),
        ('severity = "warning"', 'kinds = ["bank"]', "correct the kind"),
        ('severity = "warning"', 'severity = "loud"', "subscriptions.0.severity"),
        ("[[chains]]", "[[chains", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipientsError, match=problem.replace("[", r"\[")):
        parse(GOOD.replace(old, new, 1))


def test_all_problems_are_told_at_once() -> None:
    wrong = GOOD.replace('unit = "U000112"', 'unit = "U9"').replace('cover = "duty"', 'cover = "nobody"')
    with pytest.raises(RecipientsError) as refused:
        parse(wrong)
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("code", "token"),
    [("360000", "all"), ("360100", "3601"), ("3601", "3601"), ("360102", "360102"), ("36010", None)],
)
def test_codes_become_tokens_of_subjects(code: str, token: str | None) -> None:
    assert region_token(code) == token


def test_a_changed_file_counts_and_a_broken_one_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    path, metrics = tmp_path / "recipients.toml", NotifyMetrics()
    path.write_text(GOOD, encoding="utf-8")
    file = RecipientsFile(path, UNITS, PACK.kinds, metrics)
    directory = Directory(file.read(), UNITS, Offices())
    path.write_text(GOOD.replace("quota = 10", "quota = 77"), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    file.refresh(directory)
    assert directory.book.recipients["officer"].quota == 77
    path.write_text("operators = 3", encoding="utf-8")
    file.refresh(directory)
    assert directory.book.recipients["officer"].quota == 77
    assert metrics.recipients_invalid._value.get() == 1  # noqa: SLF001 - the client has no reader
    path.unlink()
    file.refresh(directory)
    assert directory.book.recipients["officer"].quota == 77


def test_without_a_file_there_is_nobody_by_name() -> None:
    assert Directory(RecipientsFile(None, UNITS, {}, NotifyMetrics()).read(), UNITS, Offices()).empty
