"""``pingyi spool`` looks into the file itself, whoever runs or doesn't."""

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from deploy.local.cli import make_app
from tests.unit.intake.test_spool_file import entry, new_spool


def spooled(directory: Path, count: int) -> None:
    """Leave `count` ratings behind, the last one set aside."""

    async def fill() -> None:
        spool = new_spool(directory)
        await spool.start()
        rows = await spool.keep([entry(f"r{n}", text="很好") for n in range(count)])
        await spool.set_aside(rows[-1], "somebody must look")
        await spool.stop()

    asyncio.run(fill())


def test_show_tells_how_much_waits_and_what_a_person_must_look_at_but_no_content(tmp_path: Path) -> None:
    spooled(tmp_path / "intake" / "spool", 4)
    (tmp_path / "intake" / "spool" / "spool.sqlite.corrupt-20260701").touch()
    run, app = CliRunner(), make_app("spool")
    answer = run.invoke(app, ["spool", "show", "--data", str(tmp_path), "--json"])
    shown = json.loads(answer.output)
    assert (shown["messages"], shown["kinds"], shown["owner"]) == (3, {"rating": 3}, None)
    assert shown["oldest"] == "2026-07-01T00:00:00.000Z"
    assert [each["reason"] for each in shown["set_aside"]] == ["somebody must look"]
    assert shown["damaged_files"] == ["spool.sqlite.corrupt-20260701"]
    assert "U000200" not in answer.output
    words = run.invoke(app, ["spool", "show", str(tmp_path / "intake")]).output
    assert "3 messages" in words
    assert "owner: nobody" in words
    status = run.invoke(app, ["spool", "drain-status", str(tmp_path / "intake" / "spool")]).output
    assert "not draining" in status


def test_a_directory_without_a_spool_is_named(tmp_path: Path) -> None:
    answer = CliRunner().invoke(make_app("spool"), ["spool", "show", str(tmp_path)])
    assert answer.exit_code == 1
    assert tmp_path.name in str(answer.exception)  # a long path is shortened in the middle
