"""``pingyi import`` against a real intake on a real broker: imported, killed, corrected, undone."""

import asyncio
import csv
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.embedded import NatsServer
from deploy.local.feedback import feedback_batches
from deploy.local.importing.undoing import SUBMITTED
from shared.events import Envelope, FeedbackExcluded, parse_envelope
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from tests.integration.intake.conftest import Intake, eventually, raw_messages, submitted
from tests.integration.intake.test_process import process
from tests.support import warm
from tests.support.access import as_channel, secrets_directory

pytestmark = pytest.mark.integration

NAMES = [unit.name for unit in load_units().by_level(Level.WINDOW)[:20]]
HEAD = "单位名称,评价等级,评价日期,意见建议,联系电话\n"


@dataclass(frozen=True)
class Desk:
    """Where the command finds intake and the broker."""

    environment: dict[str, str]
    data: Path

    async def pingyi(self, *arguments: str | Path) -> tuple[int, str]:
        """Exit code and output of ``pingyi import``."""
        words = [*map(str, arguments), "--data", str(self.data)]
        done = await asyncio.to_thread(
            CliRunner().invoke, make_app("import"), ["import", *words], env=self.environment
        )
        return done.exit_code, done.output + (str(done.exception) if done.exit_code else "")

    async def answer(self, *arguments: str | Path) -> dict[str, Any]:
        """The answer of ``pingyi import --json``."""
        _, out = await self.pingyi(*arguments, "--json")
        found: dict[str, Any] = json.loads(out[: out.rindex("}") + 1])
        return found


def desk(url: str, server: NatsServer, directory: Path) -> Desk:
    addresses = {"INTAKE_URL": url.rstrip("/"), "NATS_URL": server.url}
    # The command takes its proofs from the platform's secrets.
    (directory / "secrets").mkdir(exist_ok=True)
    for name in ("issuer.key", "keys"):
        if not (directory / "secrets" / name).exists():
            (directory / "secrets" / name).symlink_to(secrets_directory() / name)
    return Desk(addresses, directory)


def write(path: Path, rows: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A file in GBK; rows of `bad`, counted from 2, name no unit that there is."""
    lines = [HEAD]
    for number in range(2, rows + 2):
        unit = "某某窗口" if number in bad else NAMES[number % 20]
        grade, phone = "满意" if number % 3 else "不满意", "" if number % 7 else "１３８００１３８０００"
        lines.append(f"{unit},{grade},2026/3/1,{'' if number % 10 else '人很多'},{phone}\n")
    path.write_text("".join(lines), encoding="gbk")
    return path


def results_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))[1:]


async def test_an_import_is_corrected_completed_and_undone_by_two_people(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, tmp_path) as (_, client):
        at = desk(str(client.base_url), nats_server, tmp_path)
        other = {"unit_id": "U000200", "grade": 5, "channel": "paper", "client_ref": "other"}
        await client.post("/v1/feedback", json=other)
        file = write(tmp_path / "三月.csv", 60, bad=(5, 40))
        code, out = await at.pingyi(file, "--channel", "paper", "--import-id", "2026-03")
        assert (code, "共 60 行 = 受理 58 + 重复 0 + 冲突 0 + 拒收 2" in out) == (1, True), out
        rejects = tmp_path / "三月.rejects.csv"
        rows = list(csv.DictReader(rejects.read_text(encoding="utf-8-sig").splitlines()))
        assert [row["原行号"] for row in rows] == ["5", "40"]
        assert all("某某窗口" in row["拒收原因"] and "full name" in row["Reason"] for row in rows)

        rejects.write_bytes(rejects.read_bytes().replace("某某窗口".encode(), NAMES[0].encode()))
        fixed = await at.answer(rejects)
        assert (fixed["import_id"], fixed["accepted"], fixed["rejected"]) == ("2026-03", 2, 0)
        copy = tmp_path / "again.csv"
        copy.write_bytes(file.read_bytes())
        again = await at.answer(copy, "--channel", "paper", "--import-id", "2026-03")
        assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, 58, 2)
        events = await submitted(broker)
        assert len(events) == 61
        assert {event.importid for event in events[1:]} == {"2026-03"}
        assert {event.data.channel.value for event in events[1:]} == {"paper"}
        assert events[0].importid is None

        code, out = await at.pingyi("--undo", "2026-03", "--by", "county-clerk")
        assert (code, "60 条评价" in out) == (0, True), out
        code, out = await at.pingyi("--undo", "2026-03", "--approve", "--by", "county-clerk")
        assert (code, "another person" in out) == (1, True), out
        for _ in range(2):
            code, out = await at.pingyi("--undo", "2026-03", "--approve", "--by", "city-reviewer")
            assert (code, "已剔除 60" in out) == (0, True), out
        code, out = await at.pingyi(file, "--channel", "paper", "--import-id", "2026-03")
        assert (code, "undone by county-clerk and city-reviewer" in out) == (1, True), out

    excluded = [
        parse_envelope(Envelope[FeedbackExcluded], data)
        for subject, data in await raw_messages(broker)
        if subject.startswith("feedback.v1.excluded.")
    ]
    assert len(excluded) == 60
    assert {event.data.target_id for event in excluded} == {event.id for event in events[1:]}
    assert {(e.data.reason.value, e.data.decided_by, e.data.requested_by) for e in excluded} == {
        ("wrong_import", "city-reviewer", "county-clerk")
    }


async def test_an_import_that_was_killed_goes_on_and_adds_each_row_once(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    file = write(tmp_path / "大.csv", 11_000, bad=(3, 6_000))
    async with process(nats_server, tmp_path) as (_, client):
        at = desk(str(client.base_url), nats_server, tmp_path)
        child = warm.Awaited(
            [str(warm.PINGYI), "import", str(file), "--data", str(tmp_path)],
            env=os.environ | at.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        async def first_batch_is_in() -> bool:
            return any(
                journal.read_bytes().count(b"\n") > 1
                for journal in (tmp_path / "大.csv.import").glob("*/journal.ndjson")
            )

        await eventually(first_batch_is_in, 60)
        child.send_signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        done = await at.answer(file)
    assert (done["rows"], done["accepted"] + done["duplicate"], done["rejected"]) == (11_000, 10_998, 2)
    ids = [
        json.loads(message.data)["id"]
        async for batch in feedback_batches(broker, (SUBMITTED,))
        for message in batch
    ]
    assert len(ids) == len(set(ids)) == 10_998
    told = results_of(Path(done["results"]))
    assert sorted(int(row[0]) for row in told) == list(range(2, 11_002))
    assert {row[2] for row in told if row[1] != "rejected"} == set(ids)


async def test_a_file_of_the_offices_own_words_is_checked_and_then_imported(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    file, names = tmp_path / "own.csv", tmp_path / "names.csv"
    names.write_text("东湖婚登,U000112\n", encoding="utf-8-sig")
    file.write_text("经办,打分,备注\n东湖婚登,5,x\n东湖殡葬,4,\n", encoding="utf-8")
    columns = ("--column", "经办=unit", "--column", "打分=grade", "--column", "备注=")
    async with process(nats_server, tmp_path) as (_, client):
        at = desk(str(client.base_url), nats_server, tmp_path)
        code, out = await at.pingyi(file)
        assert (code, "经办、打分、备注" in out) == (1, True), out
        checked = ("--unit-names", names, *columns, "--check")
        code, out = await at.pingyi(file, *checked)
        assert (code, "可以导入 1 行，不能导入 1 行" in out, "第 3 行：「经办」" in out) == (1, True, True), (
            out
        )
        assert await submitted(broker) == []
        names.write_text("东湖婚登,U000112\n东湖殡葬,U000113\n", encoding="gbk")
        code, out = await at.pingyi(file, *checked[:-1])
        assert (code, "受理 2" in out, "不导入的列：备注" in out) == (0, True, True), out
        names.write_text("东湖婚登,U9\n", encoding="utf-8")
        code, out = await at.pingyi(file, *checked)
        assert (code, "'U9', expected the id of a registered unit for 东湖婚登" in out) == (1, True), out
        for arguments in ((), (file, "--undo", "imp-1"), (file, "--approve"), ("--undo", "imp-1")):
            code, _ = await at.pingyi(*arguments)
            assert code == 2
    assert [event.data.unit_id for event in await submitted(broker)] == ["U000112", "U000113"]


async def test_an_import_id_of_another_form_is_refused(intake: Intake) -> None:
    line = '{"unit_id": "U000200", "grade": 5, "client_ref": "r"}'
    refused = await intake.submit_lines(line, **{"X-Import-Id": "a b"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "X-Import-Id"
    assert (await intake.submit_lines(line, **{"X-Import-Id": "2026-03.a_b"})).status_code == 200


async def test_only_a_credential_for_imports_may_say_that_a_batch_is_one(intake: Intake) -> None:
    """Else any terminal could have its transactions believed, and stuff past the quota of devices."""
    line = '{"unit_id": "U000200", "grade": 5, "channel": "web", "client_ref": "w", "transaction_id": "T9"}'
    header = {"X-Import-Id": "imp-1"}
    refused = await intake.submit_lines(line, **as_channel("web"), **header)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:pingyi:problem:foreign-import")
    assert "for web, expected one with the channel import" in refused.json()["detail"]
    without = await intake.submit_lines(line, **as_channel("web"))
    assert (without.status_code, without.json()["accepted"]) == (200, 1)
    own = line.replace('"web"', '"import"').replace('"w"', '"i"')
    imported = await intake.submit_lines(own, **as_channel("import"), **header)
    assert (imported.status_code, imported.json()["accepted"]) == (200, 1)
