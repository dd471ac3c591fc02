import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.intake.adapters.spool_file import SpoolFile, files_set_aside, spool_path
from services.intake.adapters.spool_lock import SpoolLock
from services.intake.adapters.spooled_messages import classifier
from services.intake.adapters.sqlite_spool import SqliteSpool
from services.intake.application.spooling import (
    Entry,
    Kept,
    SpoolDoubtError,
    SpoolFullError,
    SpoolUnavailableError,
)
from services.intake.domain.submission import Contact
from shared.testing.clock import FixedClock
from tests.unit.intake.port_suites import PSEUDONYMS, prepared, sealed

NOW = datetime(2026, 7, 1, tzinfo=UTC)
CLASSIFY = classifier(PSEUDONYMS)


def entry(ref: str, *, text: str | None = None, contact: Contact | None = None) -> Entry:
    message, record = sealed(prepared(ref), text, contact)
    kinship = CLASSIFY(message.payload)
    assert kinship is not None
    return Entry(message, kinship, record.payload if text or contact else None)


def new_spool(directory: Path, *, max_bytes: int = 1_000_000) -> SqliteSpool:
    return SqliteSpool(directory, PSEUDONYMS, FixedClock(NOW), max_bytes=max_bytes, max_queued=1000)


def as_a_crash_leaves_it(directory: Path) -> Path:
    content = {path.name: path.read_bytes() for path in directory.iterdir()}
    copy = directory / "crashed"
    copy.mkdir()
    for name, data in content.items():
        (copy / name).write_bytes(data)
    return copy


def on_disk(directory: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in directory.iterdir())


async def test_what_was_kept_comes_back_in_order_byte_for_byte_after_a_crash(tmp_path: Path) -> None:
    first = new_spool(tmp_path)
    await first.start()
    entries = [entry(f"r{n}", text="好", contact=Contact(phone="13812345678")) for n in range(30)]
    rows = await first.keep(entries[:10]) + await first.keep(entries[10:])
    assert rows == sorted(set(rows))
    crashed = as_a_crash_leaves_it(tmp_path)
    await first.stop()
    again = new_spool(crashed)
    await again.start()
    kept = await again.oldest(100)
    assert [(one.row, one.entry) for one in kept] == list(zip(rows, entries, strict=True))
    assert all(one.sound and one.spooled_at == NOW for one in kept)
    assert again.depth == 30
    assert again.find([prepared("r7").receipt])[prepared("r7").receipt].sequence == -rows[7]
    await again.done(rows[:29])
    assert (again.depth, [one.row for one in await again.oldest(5)]) == (1, rows[29:])
    await again.stop()


async def test_what_was_drained_or_erased_is_not_left_on_the_disk(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    await spool.start()
    first, second = entry("a", text="好"), entry("b", text="好")
    assert first.record is not None
    assert second.record is not None
    (row, _) = await spool.keep([first, second])

    assert on_disk(tmp_path, first.record)
    assert on_disk(tmp_path, second.record)
    assert await spool.erase_record(second.kinship.record_id or "")
    assert not await spool.erase_record("unknown")
    assert not on_disk(tmp_path, second.record)
    assert [one.sound for one in await spool.oldest(5)] == [True, True]
    await spool.done([row, row + 1])
    await spool.oldest(1)  # the thread has shrunk the file by then
    assert not on_disk(tmp_path, first.record)
    await spool.stop()


async def test_a_full_spool_takes_nothing_more_and_again_once_there_is_room(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, max_bytes=3000)
    await spool.start()
    rows = await spool.keep([entry("f1"), entry("f2")])
    with pytest.raises(SpoolFullError, match="at most 3000"):
        await spool.keep([entry("f3"), entry("f4")])
    assert 0 < spool.size <= 3000
    assert spool.trouble
    await spool.done(rows)
    assert not spool.trouble
    await spool.keep([entry("more")])
    await spool.stop()


async def test_a_full_or_failing_disk_promises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = new_spool(tmp_path)
    await spool.start()
    full, failed = sqlite3.OperationalError("full"), sqlite3.OperationalError("disk I/O error")
    full.sqlite_errorname, failed.sqlite_errorname = "SQLITE_FULL", "SQLITE_IOERR_FSYNC"

    def failing(error: Exception) -> None:
        def write(*_arguments: object) -> None:
            raise error

        monkeypatch.setattr(SpoolFile, "write", write)

    failing(full)
    with pytest.raises(SpoolFullError):
        await spool.keep([entry("a")])
    failing(failed)
    with pytest.raises(SpoolDoubtError):
        await spool.keep([entry("a")])
    assert spool.trouble
    monkeypatch.undo()
    monkeypatch.setattr("services.intake.adapters.spool_writer.DISK_RESERVE", 1 << 62)
    await spool.oldest(1)  # asks the thread, which opens the file again
    assert "its disk is full" in (spool.trouble or "")
    with pytest.raises(SpoolFullError, match="free bytes on the disk"):
        await spool.keep([entry("a")])
    assert spool.depth == 0
    monkeypatch.undo()
    assert not spool.trouble
    await spool.stop()


async def test_a_damaged_file_is_set_aside_and_a_damaged_row_is_told(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    await spool.start()
    (row,) = await spool.keep([entry("a")])
    await spool.stop()
    path = spool_path(tmp_path)
    content = path.read_bytes()
    payload = entry("a").message.payload
    place = content.index(payload[:40])
    path.write_bytes(content[: place + 20] + b"X" + content[place + 21 :])
    spool = new_spool(tmp_path)
    await spool.start()
    assert [(one.row, one.sound) for one in await spool.oldest(5)] == [(row, False)]
    await spool.set_aside(row, "damaged")
    assert (spool.depth, spool.set_aside_messages, await spool.oldest(5)) == (0, 1, [])
    await spool.stop()

    path.write_bytes(os.urandom(8192))
    spool = new_spool(tmp_path)
    await spool.start()
    assert (spool.trouble, spool.damaged_files, spool.depth) == (None, 1, 0)
    assert len(files_set_aside(tmp_path)) == 1
    await spool.keep([entry("b")])
    await spool.stop()


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not met():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.005)


async def test_a_read_that_fails_closes_the_spool_until_its_file_is_open_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.intake.adapters.spool_writer.REOPEN_S", 0.02)
    spool = new_spool(tmp_path)
    await spool.start()
    (row,) = await spool.keep([entry("a")])
    opened: list[Path] = []

    def counting(self: SpoolFile, path: Path, *, readonly: bool = False) -> None:
        opened.append(path)
        begin(self, path, readonly=readonly)

    def ratings(*_: object) -> list[Kept]:
        raise sqlite3.OperationalError("disk I/O error")

    begin = SpoolFile.__init__
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "ratings", ratings)
        patch.setattr(SpoolFile, "__init__", counting)
        for _ in range(20):
            with pytest.raises(SpoolUnavailableError, match="reading failed"):
                spool.find([prepared("a").receipt])
        with pytest.raises(SpoolUnavailableError, match="reading failed"):
            await spool.keep([entry("b")])
        await until(lambda: not spool.trouble)
        assert len(opened) == 2, "one to write and one to read, however many had asked"
        with pytest.raises(SpoolUnavailableError):
            spool.find([prepared("a").receipt])
    await until(lambda: not spool.trouble)
    assert spool.find([prepared("a").receipt])[prepared("a").receipt].sequence == -row
    await spool.keep([entry("b")])
    assert spool.depth == 2
    monkeypatch.undo()
    monkeypatch.setattr(SpoolFile, "ratings", ratings)
    with pytest.raises(SpoolUnavailableError):
        spool.find([prepared("a").receipt])
    await spool.stop()  # before the file is opened anew


async def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    one, other = new_spool(tmp_path), new_spool(tmp_path)
    await one.start()
    await other.start()
    assert "belongs to" in (other.trouble or "")
    with pytest.raises(SpoolUnavailableError):
        await other.keep([entry("a")])
    assert f"pid {os.getpid()}" in (SpoolLock(tmp_path).owner() or "")
    await one.stop()
    assert SpoolLock(tmp_path).owner() is None
    await other.oldest(1)
    await other.keep([entry("a")])
    await other.stop()


async def test_a_row_of_no_kind_is_not_sound_and_those_behind_it_are_read(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    await spool.start()
    first, second = await spool.keep([entry("a"), entry("b")])
    await spool.stop()
    with closing(sqlite3.connect(tmp_path / "spool.sqlite")) as file, file:
        file.execute("UPDATE entries SET kind = 'nonsense' WHERE row = ?", (first,))
    await spool.start()
    async with asyncio.timeout(20):
        assert [(kept.row, kept.sound) for kept in await spool.oldest(5)] == [(first, False), (second, True)]
    await spool.stop()


async def test_a_defect_in_the_spools_thread_is_told_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a defect")

    spool = new_spool(tmp_path)
    await spool.start()
    async with asyncio.timeout(20):
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "oldest", broken)
            patch.setattr(SpoolFile, "write", broken)
            with pytest.raises(KeyError, match="a defect"):
                await spool.oldest(1)
            with pytest.raises(KeyError, match="a defect"):
                await spool.keep([entry("a")])
        await spool.keep([entry("a")])
        assert len(await spool.oldest(2)) == 1
        await spool.stop()
