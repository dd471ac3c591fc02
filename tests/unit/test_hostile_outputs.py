"""One text with everything in it that could be obeyed: by no output that shows what somebody wrote."""

import csv
import json
import logging
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from io import BytesIO, StringIO
from typing import Any

import pytest
import structlog
from rich.console import Console

from deploy.local.commands.approvals import approvals_table
from deploy.local.commands.channels import channels_table
from deploy.local.commands.unmask import _tell
from services.notify.adapters import mail, robots, sms, webhook
from services.notify.adapters.console import ConsoleChannel
from services.notify.domain.channels import Language
from shared.kernel.regions import load_divisions
from shared.kernel.spreadsheets import csv_lines
from shared.kernel.unit_tables import is_plain_name, read_rows, units_of
from shared.observability.logging import configure_logging
from tests.unit.notify.support import alert

FORMULA = '=cmd|"/c calc"!A1'
HTML = "<script>alert(1)</script>"
HOSTILE = f"{FORMULA} {HTML}\r\nBcc: x@y.z\r\n\r\n\u202e[red]处[/]\u2028\x1b[2J\x9b2J"
OBEYED = set("\r\n\x1b\x9b\u202e\u2028")


def of_hostile_unit() -> Any:  # noqa: ANN401 - an alert of fields that change
    return alert(unit_name=HOSTILE, title=HOSTILE, figures={"endpoint": HOSTILE, "band": HOSTILE})


def test_a_mail_gets_no_header_no_line_and_no_turn_of_the_writing_by_a_name() -> None:
    plain, sent = (
        mail.message_of(one, sender="a@b.c", recipients=("d@e.f",))
        for one in (alert(figures={"endpoint": "x", "band": "y"}), of_hostile_unit())
    )
    message = message_from_bytes(sent.as_bytes(), policy=default)
    assert message.keys() == plain.keys()
    assert message.get_content_type() == "text/plain"
    body = message.get_content()
    assert HTML in body
    assert len(body.splitlines()) == len(plain.get_content().splitlines())
    assert not OBEYED & set(body) - set("\r\n")


def test_robots_and_text_messages_are_lines_without_markup() -> None:
    for vendor in robots.VENDORS.values():
        title, text = robots.message(of_hostile_unit(), Language.ZH, vendor, marked=False)
        assert not set(title + text) & (OBEYED - {"\n"} | set("<>@"))
        assert not any(line.startswith("Bcc") for line in text.splitlines())
    assert not set(sms.text_of(of_hostile_unit(), Language.ZH, 500)) & (OBEYED | set("<>@"))


def test_a_webhook_says_exactly_what_was_written_in_one_line() -> None:
    content = webhook.render(of_hostile_unit())
    assert json.loads(content)["data"]["unit_name"] == HOSTILE
    assert not {b"\r", b"\n", b"\x1b"} & {bytes((each,)) for each in content}


@pytest.fixture
def stream() -> Iterator[BytesIO]:
    """What is logged; the process's logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    written = BytesIO()
    configure_logging("notify", "INFO", stream=written)
    yield written
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_a_log_line_is_one_line_of_json_with_what_was_written(stream: BytesIO) -> None:
    await ConsoleChannel().deliver(of_hostile_unit())
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["title"] == HOSTILE
    assert b"\x1b" not in line


def test_tables_of_the_command_line_show_it_and_obey_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        "approval_id": "a", "kind": "exclusion", "stage": "pending", "reason": HOSTILE, "size": 1,
        "requested_by": HOSTILE, "decided_by": HOSTILE, "expires_at": "2026-11-26",
    }  # fmt: skip
    endpoint = {
        "address": HOSTILE, "target": HOSTILE, "state": HOSTILE, "all_alerts": True, "per_minute": None,
        "retry_for_s": 60,
    }  # fmt: skip
    for table in (approvals_table([asked]), channels_table([endpoint])):
        out = StringIO()
        Console(file=out, width=2000, force_terminal=True, color_system="truecolor").print(table)
        printed = out.getvalue()
        assert "[red]处[/]" in printed
        assert "<U+202E>" in printed
        assert "\x1b[2J" not in printed
        assert not OBEYED & set(printed) - set("\n\x1b")  # Rich's own bold headings
    _tell({"contact": {"name": HOSTILE}, "text": HOSTILE}, as_json=False)
    assert not OBEYED & set(capsys.readouterr().out) - {"\n"}


def test_a_cell_is_no_formula_and_stays_one_cell() -> None:
    (row,) = csv.reader(StringIO(csv_lines([[HOSTILE, "x"]]), newline=""))
    assert row == [f"'{HOSTILE}", "x"]


ROW = "unit_id,name,level,kind,division,city,county,parent_id,valid_from,valid_to\n"


@pytest.mark.parametrize(
    "name",
    [
        FORMULA,
        "＝1+1",
        HTML,
        "章贡区\u202e处",
        "章贡区\u200b处",
        "章贡区\u2028处",
        'a "b"',
        "@SUM(A1)",
        "a\x9b2J",
    ],
)
def test_the_registry_takes_no_name_that_could_do_anything_where_it_is_shown(name: str) -> None:
    cells = name.replace('"', '""')
    row = f'U900001,"{cells}",window,funeral,360702,3607,360702,U000048,2009-12-31,'
    rows, broken = read_rows(f"{ROW}{row}\n")
    _, faults = units_of(rows, ("funeral",), load_divisions())
    assert not is_plain_name(name)
    assert "name" in {fault.column for fault in faults} or broken, "what a line end tears apart is no row"


@pytest.mark.parametrize("name", ["赣州市章贡区殡仪馆", "民政局（城南·第2窗口）", "A-1 Office", "12345"])
def test_a_usual_name_is_taken(name: str) -> None:
    assert is_plain_name(name)
