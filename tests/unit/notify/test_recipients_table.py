"""Recipients as a table: the same book as the TOML file, each problem with its line and column."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.commands.recipients import recipients
from services.notify.adapters.recipients_csv import COLUMNS, parse_table
from services.notify.adapters.recipients_file import RecipientsError, parse_recipients, read_recipients
from tests.unit.notify.people import UNITS
from tests.unit.notify.support import PACK
from tests.unit.notify.test_recipients import GOOD as TOML

TABLE = """\
编号,岗位,渠道,免打扰开始,免打扰结束,仅工作日,限额,代岗人,外出,系统外,运维值班,责任人单位,监督区划,订阅区划,订阅规则,订阅级别
# 示例
duty,平台值班,console;email,,,,,,,,是,,360100,,,
officer,婚姻登记处责任人,email,20:00,8:00,是,10,duty,2026-11-20~2026-11-27,,,U000112,,,,

press,新闻科,webhook,,,,,,,是,,,,360000,rank_drop；band_change,warning
"""
MORE = """\
id,label,channels,officer_of,deputy_of,supervises,kinds,regions,severity
a,甲,email,U000112,,3601,,,
b,乙,email,,U000112,,,,
c,丙,email,,,360100,marriage,,
"""


def parse(text: str) -> object:
    return parse_table(text, "recipients.csv", UNITS, PACK.kinds)


def test_a_table_and_a_toml_file_that_say_the_same_give_the_same_book() -> None:
    assert parse(TABLE) == parse_recipients(TOML, "recipients.toml", UNITS, PACK.kinds)


def test_several_people_share_a_unit_or_a_region_whatever_way_its_code_is_written() -> None:
    book = parse_table(MORE, "recipients.csv", UNITS, PACK.kinds)
    assert book.chains == {"U000112": {"officer": "a", "deputy": "b"}}
    assert book.supervisors == {"3601": ("a", "c")}
    assert [each.recipient for each in book.subscriptions] == ["c"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("duty,平台", "Duty@x,平台", "line 3, id: Got 'Duty@x', expected lower-case letters"),
        (
            "press,新闻科",
            "duty,新闻科",
            r"line 6, id: Got 'duty', expected an id of its own \(line 3 has it\)",
        ),
        ("平台值班,console;email", "张三13812345678,email", "line 3, recipients.duty.label: Got 'a number"),
        ("责任人,email,20", "责任人,,20", "line 4, channels: Got '', expected names of channels"),
        ("20:00,8:00", "25:00,8:00", "line 4, quiet_from: Got '25:00', expected a time of day"),
        ("20:00,8:00", "20:00,", "line 4, quiet_to: Got '', expected a time of day"),
        ("8:00,是,10", "8:00,也许,10", "line 4, working_days: Got '也许', expected yes or no"),
        (",10,duty", ",0,duty", "line 4, quota: Got '0', expected a whole number from 1"),
        (",10,duty", ",10,nobody", "line 4, recipients.officer.cover: Got 'nobody', expected the id"),
        (",10,duty", ",10,officer", "line 4, recipients.officer.cover: Got 'officer'"),
        (",10,duty", ",10,press", "line 4, recipients.officer.cover: Got 'press', expected somebody of the"),
        ("2026-11-20~2026-11-27", "2026/11/20", "line 4, absences: Got '2026/11/20', expected days such as"),
        ("2026-11-20~2026-11-27", "2026-11-27~2026-11-20", "line 4, recipients.officer.absences"),
        ("2026-11-20~2026-11-27", "2026-13-20~2026-13-27", "line 4, absences: Got '2026-13-20~"),
        ("U000112", "U999999", "line 4, chains.U999999: Got 'U999999', expected a registered unit"),
        ("360100", "南昌", "line 3, supervisors.南昌.region: Got '南昌', expected a GB/T 2260"),
        ("是,,,,360000", "是,是,,,360000", "line 6, operators.press: Got 'press', expected somebody of"),
        ("rank_drop；band_change", "bad_review", "line 6, subscriptions.press.rules"),
        ("rank_drop；band_change", "", "line 6, subscriptions.press.rules"),
        ("rank_drop；band_change", "rank_dropp", "line 6, subscriptions.press.rules: Got 'rank_dropp'"),
        (",warning", ",loud", "line 6, severity: Got 'loud', expected info, warning or critical"),
        ("限额", "配额", "line 1: Got '配额', expected one of the columns id"),
        ("限额", "label", "line 1: Got 'label', expected each column once"),
        ("编号,", "x,", r"line 1: Got \['x', '岗位'"),
        ("duty,平台值班", 'duty,"平台', "expected CSV with balanced quotes"),
        (",warning", ",warning,more", "line 6: Got 'more', expected no more cells than columns"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line_value_expectation_and_remedy(
    old: str, new: str, problem: str
) -> None:
    assert old in TABLE
    with pytest.raises(RecipientsError, match=problem):
        parse(TABLE.replace(old, new, 1))


def test_two_officers_of_one_unit_are_refused_with_both_lines() -> None:
    with pytest.raises(RecipientsError, match=r"line 3, officer_of: .* \(line 2 names one\)"):
        parse(MORE.replace("b,乙,email,,U000112", "b,乙,email,U000112,"))


def test_all_rows_are_told_at_once() -> None:
    with pytest.raises(RecipientsError) as refused:
        parse(TABLE.replace(",10,duty", ",ten,duty").replace(",warning", ",loud"))
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spreadsheets_save_it_in_several_ways(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "recipients.CSV"
    path.write_bytes(TABLE.replace("\n", newline).encode(encoding))
    assert read_recipients(path, UNITS, PACK.kinds) == parse(TABLE)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for name in ("recipients.csv", "recipients.toml"):
        path = tmp_path / name
        path.write_bytes(b"\xff\xff\xff")
        with pytest.raises(RecipientsError, match="text in UTF-8"):
            read_recipients(path, UNITS, PACK.kinds)
    with pytest.raises(RecipientsError, match="a header of id, label"):
        parse("\n\n")


def test_the_command_checks_a_table_and_fails_on_any_problem(tmp_path: Path) -> None:
    path = tmp_path / "recipients.csv"
    path.write_text(TABLE, encoding="utf-8")
    good = CliRunner().invoke(recipients, ["validate", str(path)])
    assert (good.exit_code, good.output) == (0, "OK, 3 recipients\n")
    path.write_text(TABLE.replace(",10,duty", ",0,duty"), encoding="utf-8")
    bad = CliRunner().invoke(recipients, ["validate", str(path)])
    assert bad.exit_code == 1
    assert "- line 4, quota: Got '0'" in bad.output


def test_every_column_has_a_chinese_name_of_its_own() -> None:
    assert len(set(COLUMNS.values())) == len(COLUMNS)
