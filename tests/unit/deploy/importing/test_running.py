"""Whole imports on an intake in memory: resumed, repeated, corrected; nothing lost, nothing twice."""

import csv
import io
import json
from pathlib import Path

import httpx
import openpyxl
import pytest

from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.importing.columns import IMPORT_COLUMN, REASON_COLUMNS, ROW_COLUMN
from deploy.local.importing.encoding import fingerprint
from deploy.local.importing.intake_client import Issue, fault_of
from deploy.local.importing.running import Import, default_import_id, require_unchanged, run_import
from deploy.local.importing.sources import open_source
from deploy.local.importing.workspace import Progress, WorkspaceError, folder_of, open_workspace
from tests.unit.deploy.importing.fake_intake import FakeIntake
from tests.unit.deploy.importing.files import HEADER, NAME, CellValue, mapper, write_workbook


class KilledError(Exception):
    """Stands for the end of the process."""


async def run(file: Path, intake: FakeIntake, *, import_id: str = "imp-1", batch_rows: int = 10) -> Progress:
    """What `pingyi import FILE` does."""
    with open_source(file) as source:
        job_mapper = mapper(source.import_id or import_id)
        job_mapper.name_of, job_mapper.corrected = source.name_of, source.corrected
        job = Import(file, source, job_mapper, batch_rows)
        workspace = open_workspace(file, job.identity(None, ()))
        try:
            return await run_import(job, workspace, intake.client(patience_s=0.0))
        finally:
            workspace.close(finished=workspace.progress.done)


def results(file: Path, import_id: str = "imp-1") -> list[list[str]]:
    (folder,) = (
        each for each in file.with_name(file.name + ".import").iterdir() if each.name.startswith(import_id)
    )
    return list(csv.reader((folder / "results.csv").read_text().splitlines()))[1:]


def table(path: Path, rows: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A file of so many rows; those of `bad`, counted from 2 as a spreadsheet does, have no grade."""
    lines = [
        f"{NAME},{'' if number in bad else number % 5 + 1},2026/3/1,BJ{number},,\n"
        for number in range(2, rows + 2)
    ]
    path.write_text(HEADER + "".join(lines), encoding="utf-8-sig")
    return path


def reject_rows(done: Progress) -> list[dict[str, str]]:
    return rejects(Path(str(done.reject_file)))


def folder_beside(file: Path) -> Path:
    (folder,) = file.with_name(file.name + ".import").iterdir()
    return folder


def rejects_beside(file: Path) -> list[Path]:
    return sorted(file.parent.glob("*.rejects*"))


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def rejects(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


async def test_every_row_has_one_outcome_and_is_found_in_the_results(tmp_path: Path) -> None:
    intake = FakeIntake()
    file = table(tmp_path / "a.csv", 45, bad=(7, 30))
    done = await run(file, intake)
    assert (done.rows, done.accepted, done.rejected, done.batches) == (45, 43, 2, 5)
    assert len(intake.of("imp-1")) == 43
    told = results(file)
    assert sorted(int(row[0]) for row in told) == list(range(2, 47))
    assert {row[2] for row in told if row[1] == "accepted"} == set(intake.ratings)
    assert [row[0] for row in told if row[1] == "rejected"] == ["7", "30"]


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("answered", ["before", "after"])
async def test_killed_at_any_batch_the_same_command_goes_on(
    tmp_path: Path, killed_at: int, answered: str
) -> None:
    posts = iter(range(1, 100))

    def kill(_: httpx.Request) -> None:
        if next(posts) == killed_at:
            raise KilledError

    intake = FakeIntake()
    setattr(intake, answered, kill)
    file = table(tmp_path / "a.csv", 45, bad=(7, 30))
    with pytest.raises(KilledError):
        await run(file, intake)
    setattr(intake, answered, lambda _: None)
    done = await run(file, intake)
    assert (done.rows, done.accepted + done.duplicate, done.rejected) == (45, 43, 2)
    assert len(intake.ratings) == 43
    assert sorted(int(row[0]) for row in results(file)) == list(range(2, 47))
    assert done.reject_file is not None
    assert [row[ROW_COLUMN] for row in rejects(Path(done.reject_file))] == ["7", "30"]


def tear(folder: Path, torn: int) -> None:
    """Cut the journal's end off, and leave more in the other files than it tells of."""
    journal = folder / "journal.ndjson"
    journal.write_bytes(journal.read_bytes()[:-torn])
    for name in ("results.csv", "rejects.part"):
        with (folder / name).open("ab") as beyond:
            beyond.write(b'[7,["half a')


@pytest.mark.parametrize("torn", [1, 20, 200])
async def test_what_a_kill_left_half_written_is_cut_off(tmp_path: Path, torn: int) -> None:
    intake = FakeIntake()
    file = table(tmp_path / "a.csv", 45, bad=(7, 30))
    posts = iter(range(1, 100))

    def kill(_: httpx.Request) -> None:
        if next(posts) == 4:
            raise KilledError

    intake.before = kill
    with pytest.raises(KilledError):
        await run(file, intake)
    intake.before = lambda _: None
    tear(folder_beside(file), torn)
    done = await run(file, intake)
    assert (done.rows, len(intake.ratings)) == (45, 43)
    assert sorted(int(row[0]) for row in results(file)) == list(range(2, 47))
    assert [row[ROW_COLUMN] for row in reject_rows(done)] == ["7", "30"]


async def test_a_finished_import_is_not_sent_again(tmp_path: Path) -> None:
    intake = FakeIntake()
    file = table(tmp_path / "a.csv", 20, bad=(3,))
    first = await run(file, intake)
    sent = intake.requests
    assert await run(file, intake) == first
    assert intake.requests == sent
    assert [path.name for path in rejects_beside(file)] == ["a.rejects.csv"]


FORMULA = "=HYPERLINK(1)"
LONG = "000012345678901234"


def with_a_bad_row(directory: Path, kind: str) -> Path:
    """A file of one good row and one with the grade 9."""
    path = directory / f"a.{kind}"
    if kind == "xlsx":
        rows: list[list[CellValue]] = [
            [NAME, 5, None, "1", "'x", None],
            [NAME, 9, None, LONG, " " + FORMULA, None],
        ]
        return write_workbook(path, [["报表"], HEADER.strip().split(","), *rows])
    if kind == "csv":
        path.write_text(f"报表\n{HEADER}{NAME},5,,1,'x,\n{NAME},9,,{LONG},{FORMULA},\n", encoding="gbk")
        return path
    ratings = [
        {"单位": NAME, "评价": 5, "办件号": "1", "意见": "'x"},
        {"单位": NAME, "评价": 9, "办件号": LONG, "意见": FORMULA},
    ]
    path.write_text("\n\n".join(map(json.dumps, ratings)), encoding="utf-8")
    return path


def corrected(written: Path) -> Path:
    """The reject file with the grade 4, as a person would save it."""
    path = written.with_name(f"corrected{written.suffix}")
    if written.suffix == ".xlsx":
        book = openpyxl.load_workbook(written)
        sheet = book.active
        assert sheet is not None
        sheet["B2"].value = "4"
        assert (sheet["D2"].value, sheet["D2"].number_format) == (LONG, "@")
        book.save(path)
        return path
    raw = written.read_text(encoding="utf-8")
    path.write_text(
        raw.replace(f"{NAME},9,", f"{NAME},4,").replace('"评价": 9', '"评价": 4'), encoding="utf-8"
    )
    return path


def copy_of(path: Path) -> Path:
    copy = path.with_name(f"copy{path.suffix}")
    copy.write_bytes(path.read_bytes())
    return copy


def is_private(path: Path) -> bool:
    return path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx", "ndjson"])
async def test_a_corrected_reject_file_adds_what_was_missing_and_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    intake = FakeIntake()
    done = await run(with_a_bad_row(tmp_path, kind), intake)
    assert (done.accepted, done.rejected) == (1, 1)
    written = Path(str(done.reject_file))
    assert written.suffix == f".{kind}"
    assert is_private(written)

    again = await run(written, intake)
    assert (again.accepted, again.rejected) == (0, 1)
    assert again.reject_file == str(written.with_name(f"a.rejects-2.{kind}"))

    fixed = await run(corrected(written), intake)
    assert (fixed.rows, fixed.accepted, fixed.rejected) == (1, 1, 0)
    assert intake.of("imp-1") == sorted(intake.ratings)
    assert len(intake.ratings) == 2
    assert (await run(copy_of(corrected(written)), intake)).duplicate == 1
    assert len(intake.ratings) == 2


async def test_formulas_in_a_reject_file_stay_text_and_come_back_unchanged(tmp_path: Path) -> None:
    seen: list[bytes] = []
    intake = FakeIntake(after=lambda request: seen.append(request.content))
    texts = ["=1+1", "'=1", "+8613800138000", "@x", "-", "''+", "'quoted'", "plain"]
    file = write_csv(tmp_path / "a.csv", HEADER + "".join(f"{NAME},9,,,{text},\n" for text in texts))
    written = Path(str((await run(file, intake)).reject_file))
    told = [row["意见建议"] for row in rejects(written)]
    assert told == ["'=1+1", "''=1", "'+8613800138000", "'@x", "'-", "'''+", "'quoted'", "plain"]
    assert (await run(corrected(written), intake)).accepted == len(texts)
    assert [json.loads(line)["text"] for line in seen[-1].split(b"\n")] == texts


async def test_what_intake_refuses_is_told_in_the_words_of_the_file(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", f"{HEADER}{NAME},5,2030年1月1日,,,\n")
    (row,) = reject_rows(await run(file, FakeIntake()))
    assert row["拒收原因"].startswith(
        "「评价时间」为 '2030年1月1日'，应为不晚于现在、且该单位存续期间内的时间；"
    )
    assert row["Reason"] == "评价时间: got '2030年1月1日', expected a time up to now: correct it."
    assert (row[ROW_COLUMN], row[IMPORT_COLUMN]) == ("2", "imp-1")


def original(file: Path) -> str:
    return str(json.loads(file.read_text(encoding="utf-8"))["原文"])


async def test_an_object_that_says_two_things_is_refused_from_the_reject_file_too(tmp_path: Path) -> None:
    line = f'{{"单位": "{NAME}", "评价": 5, "评价": 1}}'
    file = tmp_path / "a.ndjson"
    file.write_text(line, encoding="utf-8")
    intake = FakeIntake()
    written = Path(str((await run(file, intake)).reject_file))
    assert original(written) == line
    assert (await run(written, intake)).accepted == 0
    assert not intake.ratings


@pytest.mark.parametrize(
    ("issue", "chinese"),
    [
        (Issue("text", None, "text without control characters other than tab"), "删去控制字符"),
        (Issue("contact.name", None, "text without control characters other than tab"), "删去控制字符"),
        (Issue("text", None, "at most 2000 characters"), "缩短意见"),
    ],
)
def test_what_intake_finds_in_a_text_is_told_in_chinese(issue: Issue, chinese: str) -> None:
    assert fault_of(issue).remedy_zh == chinese


async def test_a_new_row_in_a_reject_file_is_refused(tmp_path: Path) -> None:
    intake = FakeIntake()
    (row,) = reject_rows(await run(table(tmp_path / "a.csv", 3, bad=(2,)), intake))
    fixed = row | {"评价等级": "5"} | dict.fromkeys(REASON_COLUMNS, "")
    new = dict.fromkeys(row, "") | {"单位名称": NAME, "评价等级": "5"}
    foreign = fixed | {IMPORT_COLUMN: "imp-2"}
    lines = [",".join(row), *(",".join(each.values()) for each in (fixed, new, foreign))]
    done = await run(write_csv(tmp_path / "b.csv", "\n".join(lines)), intake)
    assert (done.accepted, done.rejected) == (1, 2)
    assert len(intake.ratings) == 3


async def test_a_reference_of_the_file_identifies_its_rating_wherever_it_comes_again(tmp_path: Path) -> None:
    intake = FakeIntake()
    first = write_csv(tmp_path / "a.csv", f"评价编号,单位,评价\nR1,{NAME},5\nR2,{NAME},4\n")
    second = write_csv(tmp_path / "b.csv", f"单位,评价编号,评价\n{NAME},R3,3\n{NAME},R2,4\n{NAME},R1,1\n")
    await run(first, intake)
    done = await run(second, intake, import_id="imp-2")
    assert (done.accepted, done.duplicate, done.conflict) == (1, 1, 1)
    assert len(intake.of("imp-1")) == 2
    assert len(intake.of("imp-2")) == 1
    (row,) = reject_rows(done)
    assert "此前已导入且内容不同" in row["拒收原因"]


async def test_an_overloaded_intake_is_waited_for() -> None:
    refusals = iter([503, 429, None, None])

    def refuse(_: httpx.Request) -> httpx.Response | None:
        status = next(refusals, None)
        return None if status is None else httpx.Response(status, headers={"Retry-After": "0"})

    intake = FakeIntake(before=refuse)
    said: list[str] = []
    answers = await intake.client(say=said.append).submit([b'{"channel": "web", "client_ref": "r"}'], "imp-1")
    assert [answer.status for answer in answers] == ["accepted"]
    assert said == ["503; 0 s", "429; 0 s"]


async def test_an_intake_that_stays_away_ends_the_import_with_the_way_on(tmp_path: Path) -> None:
    def away(request: httpx.Request) -> None:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(LocalError, match=r"ConnectError.*repeat the command, it goes on"):
        await run(table(tmp_path / "a.csv", 3), FakeIntake(before=away))
    refused = FakeIntake(before=lambda _: httpx.Response(415, json={"status": 415, "title": "no"}))
    with pytest.raises(ServiceRefusedError, match="415 no"):
        await run(table(tmp_path / "b.csv", 3), refused)


async def test_other_settings_for_the_same_import_are_refused(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 3)
    await run(file, FakeIntake())
    with pytest.raises(WorkspaceError, match=r"batch_rows=7.*batch_rows=10, as import imp-1 began"):
        await run(file, FakeIntake(), batch_rows=7)


async def test_a_changed_file_at_the_same_place_is_asked_about(tmp_path: Path) -> None:
    intake = FakeIntake()
    file = table(tmp_path / "a.csv", 20)
    await run(file, intake)
    table(file, 21)
    sha256 = fingerprint(file).sha256
    with pytest.raises(WorkspaceError, match=r"has changed.*--import-id imp-1"):
        require_unchanged(file, default_import_id(sha256, None), sha256, named=False)
    require_unchanged(file, "imp-1", sha256, named=True)
    done = await run(file, intake)
    assert (done.accepted, done.duplicate) == (1, 20)


async def test_two_commands_do_not_run_one_import_at_once(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 3)
    with open_source(file) as source:
        identity = Import(file, source, mapper(), 10).identity(None, ())
    workspace = open_workspace(file, identity)
    with pytest.raises(WorkspaceError, match="not running"):
        await run(file, FakeIntake())
    workspace.close(finished=False)
    assert (await run(file, FakeIntake())).accepted == 3


async def test_a_file_that_changes_under_the_import_is_not_called_finished(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 45)

    def change(_: httpx.Request) -> None:
        table(file, 44)

    intake = FakeIntake(after=change)
    with pytest.raises(WorkspaceError, match=r"changed while it was being imported.*--import-id imp-1"):
        await run(file, intake)


def test_the_same_bytes_are_the_same_import_and_each_sheet_its_own() -> None:
    assert default_import_id("a" * 64, None) == default_import_id("a" * 64, None)
    assert len({default_import_id(sha, sheet) for sha in ("a", "b") for sheet in (None, "一", "二")}) == 6


def test_a_journal_of_another_version_is_not_taken_up(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 3)
    with open_source(file) as source:
        identity = Import(file, source, mapper()).identity(None, ())
    folder = folder_of(file, identity)
    folder.mkdir(parents=True)
    (folder / "journal.ndjson").write_text('{"version": 99}\n')
    with pytest.raises(WorkspaceError, match="version 1"):
        open_workspace(file, identity)
    (folder / "journal.ndjson").write_text('{"version"')
    workspace = open_workspace(file, identity)
    workspace.close(finished=False)
    assert workspace.progress.batches == 0
    assert (folder / "journal.ndjson").stat().st_mode & 0o077 == 0
