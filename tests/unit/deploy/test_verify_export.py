"""The stand-alone verifier, on exports that somebody changed with care, but without the key."""

import json
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deploy.audit import verify_export
from services.archive.domain import merkle, notes
from services.archive.domain.notes import Algorithm, SigningKey
from shared.testing.clock import NOON
from tests.support.audit_export import KEY, ORIGIN, SyntheticLog

COUNT = 700
"""Ratings: two full tiles, a part of a third, and seven checkpoints."""
SIZES = [100, 202, 304, 406, 508, 610, 712]
SAVED = SIZES[3]
AT = 150
NEWEST = "2026-03-02 04:00:00.147000+00:00"
"""When the entry before it in its stream was received."""
WITNESS = SigningKey("witness.example/1", Algorithm.COSIGNATURE_V1, bytes(range(1, 33)))

UNREADABLE = f"what the database has at index {AT} is an unreadable document (KeyError: 'time')"

Document = dict[str, Any]


@dataclass
class Export:
    """A copy of the export to tamper with; ``saved`` lies outside of it."""

    directory: Path
    saved: Path

    @property
    def entries(self) -> list[Document]:
        return [json.loads(line) for line in self._file.read_bytes().splitlines()]

    @entries.setter
    def entries(self, entries: list[Document]) -> None:
        lines = [json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in entries]
        self._file.write_bytes(b"".join(lines))

    @property
    def _file(self) -> Path:
        return self.directory / "entries/000000000.ndjson"

    def edit(self, index: int, change: Callable[[Document], object]) -> None:
        """Change an event with its leaf."""
        entries = self.entries
        event = json.loads(b64decode(entries[index]["envelope"]))
        change(event)
        replace_event(entries[index], event)
        self.entries = entries

    def retile(self) -> None:
        """Make the tiles of level 0 fit the entries again."""
        hashes = [merkle.leaf_hash(entry["leaf"].encode()) for entry in self.entries]
        for path in (self.directory / "tile/0").iterdir():
            first = int(path.name) * 256
            if len(hashes) >= first + 256:
                path.write_bytes(b"".join(hashes[first : first + 256]))
            else:
                path.unlink()

    def resign(self, key: SigningKey) -> None:
        """Sign the roots that the entries have now, at the old sizes."""
        hashes = [merkle.leaf_hash(entry["leaf"].encode()) for entry in self.entries]
        for path in (self.directory / "checkpoints").iterdir():
            size = int(path.name)
            if size <= len(hashes):
                said = notes.Checkpoint(ORIGIN, size, merkle.root(hashes[:size]))
                path.write_text(str(notes.sign(said, key, NOON)), encoding="utf-8")
                shutil.copy(path, self.directory / "checkpoint")

    def forget(self, size: int) -> None:
        """Leave out the checkpoints above ``size``."""
        for path in (self.directory / "checkpoints").iterdir():
            if int(path.name) > size:
                path.unlink()
        shutil.copy(self.directory / f"checkpoints/{size}", self.directory / "checkpoint")


def replace_event(entry: Document, event: Document) -> None:
    """Put ``event`` into ``entry``, with the leaf that belongs to it."""
    raw = json.dumps(event).encode()
    leaf = json.loads(entry["leaf"]) | {
        "data_hash": sha256(raw).hexdigest(),
        "received_at": event["receivedat"],
    }
    entry["leaf"] = verify_export.canonical(leaf | {"event_id": event["id"], "time": event["time"]})
    entry["envelope"] = b64encode(raw).decode()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("audit") / "export"
    assert SyntheticLog(directory, COUNT).write().sizes == SIZES
    return directory


@pytest.fixture
def export(original: Path, tmp_path: Path) -> Export:
    shutil.copytree(original, tmp_path / "export")
    saved = Path(shutil.copy(original / f"checkpoints/{SAVED}", tmp_path / "saved.txt"))
    return Export(tmp_path / "export", saved)


class Verify:
    """Runs the program as an auditor does."""

    def __init__(
        self, export: Export, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._export = export
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(
        self, *more: str, key: str | None = KEY.verifier.text, saved: bool = True
    ) -> tuple[int, list[str]]:
        arguments = ["verify_export.py", str(self._export.directory), *more]
        arguments += [] if key is None else ["--key", key]
        arguments += ["--checkpoint", str(self._export.saved)] if saved else []
        self._monkeypatch.setattr("sys.argv", arguments)
        code = verify_export.main()
        return code, self._capsys.readouterr().out.splitlines()


@pytest.fixture
def verify(export: Export, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verify:
    return Verify(export, capsys, monkeypatch)


def edit(export: Export) -> None:
    export.edit(AT, lambda event: event["data"].update(grade=1))
    export.retile()


def edit_without_tiles(export: Export) -> None:
    export.edit(AT, lambda event: event["data"].update(grade=1))


def edit_the_event_alone(export: Export) -> None:
    entries = export.entries
    raw = b64decode(entries[AT]["envelope"])
    entries[AT]["envelope"] = b64encode(raw.replace(b'"grade":5', b'"grade":1')).decode()
    export.entries = entries


def edit_the_leaf_alone(export: Export) -> None:
    entries = export.entries
    entries[AT]["leaf"] = entries[AT]["leaf"].replace('"channel":"qr"', '"channel":"app"')
    export.entries = entries


def delete(export: Export) -> None:
    export.entries = [entry for entry in export.entries if entry["index"] not in {AT, AT + 1}]


def delete_and_renumber(export: Export) -> None:
    entries = export.entries
    del entries[AT]
    export.entries = [entry | {"index": index} for index, entry in enumerate(entries)]
    export.retile()


def insert(export: Export) -> None:
    entries = export.entries
    made = dict(entries[AT])
    replace_event(
        made, json.loads(b64decode(made["envelope"])) | {"id": "01890000-0000-7000-8000-00000000abcd"}
    )
    entries.insert(AT, made)
    export.entries = [entry | {"index": index} for index, entry in enumerate(entries)]
    export.retile()


def reorder(export: Export) -> None:
    """Two neighbours of different streams: each stream is still in order."""
    entries = export.entries
    entries[101], entries[102] = entries[102] | {"index": 101}, entries[101] | {"index": 102}
    export.entries = entries
    export.retile()


def cut_the_tail(export: Export) -> None:
    export.entries = export.entries[:650]


def fork(export: Export) -> None:
    edit(export)
    export.resign(KEY)


def roll_back(export: Export) -> None:
    export.entries = export.entries[:304]
    export.retile()
    export.forget(304)


def sign_with_another_key(export: Export) -> None:
    export.resign(SigningKey(ORIGIN, Algorithm.ED25519, bytes(32)))


def date_back(export: Export) -> None:
    export.edit(AT, lambda event: event.update(receivedat="2026-03-01T04:00:00.000Z"))
    export.retile()
    export.resign(KEY)


def flip_a_bit_in_a_tile(export: Export) -> None:
    path = export.directory / "tile/0/1"
    tile = bytearray(path.read_bytes())
    tile[5 * 32 + 7] ^= 0x10
    path.write_bytes(tile)


def swap_what_two_leaves_hold(export: Export) -> None:
    entries = export.entries
    one, other = (json.loads(b64decode(entries[index]["envelope"])) for index in (AT, AT + 10))
    replace_event(entries[AT], other)
    replace_event(entries[AT + 10], one)
    export.entries = entries


def drop_a_checkpoint(export: Export) -> None:
    (export.directory / "checkpoints/304").unlink()


def change_a_checkpoint(export: Export) -> None:
    path = export.directory / "checkpoints/304"
    path.write_text(path.read_text().replace("\n304\n", "\n305\n"), encoding="utf-8")


def remove_a_tile(export: Export) -> None:
    (export.directory / "tile/0/0").unlink()


def repeat_an_entry(export: Export) -> None:
    entries = export.entries
    export.entries = [*entries[: AT + 1], entries[AT], *entries[AT + 1 :]]


def say_that_it_can_not_be_read(export: Export) -> None:
    entries = export.entries
    entries[AT] = {"index": AT, "problem": "an unreadable document (KeyError: 'time')"}
    export.entries = entries


def spoil_a_line(export: Export) -> None:
    entries = export.entries
    entries[AT]["envelope"] = "?"
    export.entries = entries


TAMPERS: dict[Callable[[Export], None], tuple[str, ...]] = {
    edit: (
        "checkpoints/202: signed for other entries: one from index 100 on changed",
        "{saved}: signed for other entries: one from index 0 on changed",
    ),
    edit_without_tiles: (f"index {AT}: not the entry that tile/0/0 was made of",),
    edit_the_event_alone: (f"index {AT}: the leaf is not that of its event: data_hash",),
    edit_the_leaf_alone: (
        f"index {AT}: the leaf is not that of its event: channel",
        f"index {AT}: not the entry that tile/0/0 was made of",
    ),
    delete: (f"index {AT} to {AT + 1}: missing",),
    delete_and_renumber: (f"stream FEEDBACK: 149 to 149 missing before index {AT}",),
    insert: (f"index {AT + 1}: FEEDBACK sequence 149 out of order; 150 was due",),
    reorder: ("index 101: ('FEEDBACK', 101) here; index 202 announced ('AUDIT', 2)",),
    cut_the_tail: ("checkpoints/712: of 712 entries, and 650 are here: cut or rolled back",),
    fork: ("{saved}: signed for other entries: one from index 0 on changed",),
    roll_back: ("{saved}: of 406 entries, and 304 are here: cut or rolled back",),
    sign_with_another_key: (
        f"checkpoints/304: can't be trusted: signed by {ORIGIN}+37b2c038, and not by the log's key",
        "index 406 to 711: in no checkpoint that can be trusted",
    ),
    date_back: (f"index {AT}: dated back: received at 2026-03-01 04:00:00+00:00, after one of {NEWEST}",),
    flip_a_bit_in_a_tile: ("index 261: not the entry that tile/0/1 was made of",),
    swap_what_two_leaves_hold: (
        f"index {AT}: not the entry that tile/0/0 was made of",
        f"index {AT + 10}: not the entry that tile/0/0 was made of",
    ),
    drop_a_checkpoint: ("checkpoints/304: missing; index 305 says that it was signed",),
    change_a_checkpoint: (f"checkpoints/304: can't be trusted: {ORIGIN} signed another text than this",),
    remove_a_tile: ("tile/0/0: missing",),
    repeat_an_entry: (
        f"entries/000000000.ndjson line {AT + 2}: not an entry (ValueError): index {AT} after {AT}",
    ),
    say_that_it_can_not_be_read: (
        f"entries/000000000.ndjson line {AT + 1}: not an entry (ValueError): {UNREADABLE}",
        f"index {AT}: missing",
    ),
    spoil_a_line: (f"index {AT}: missing",),
}


def test_an_untouched_export_is_in_order(verify: Verify) -> None:
    assert verify() == (0, [f"OK: 712 entries of 2 streams, 7 checkpoints; signed by {ORIGIN}"])


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_a_change_is_found_at_its_place(
    export: Export, verify: Verify, tamper: Callable[[Export], None]
) -> None:
    tamper(export)
    code, lines = verify()
    expected = [line.format(saved=export.saved) for line in TAMPERS[tamper]]
    assert [line for line in expected if line not in lines] == [], lines
    assert code == 1
    assert lines[-1].startswith(f"NOT OK, {len(lines) - 1} findings: ")
    assert len(lines) <= 16, "one change is not told all over the log"


def test_without_a_saved_checkpoint_a_log_that_was_rolled_back_looks_like_a_younger_one(
    export: Export, verify: Verify
) -> None:
    roll_back(export)
    code, (line,) = verify(saved=False)
    assert (code, line[:16]) == (0, "OK: 304 entries ")


def test_what_a_fork_says_of_its_own_past_gives_it_away_without_a_saved_checkpoint(
    export: Export, verify: Verify
) -> None:
    fork(export)
    assert "checkpoints/202: not what was published, which is in index 203" in verify(saved=False)[1]


def test_tiles_above_the_first_level_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify_export, "TILE", 4)
    SyntheticLog(tmp_path, 150, every=30, width=4).write()
    monkeypatch.setattr("sys.argv", ["verify_export.py", str(tmp_path), "--key", KEY.verifier.text])
    assert verify_export.main() == 0
    path = tmp_path / "tile/2/1"
    path.write_bytes(bytes(128))
    assert verify_export.main() == 1
    assert "tile/2/1: not made of the tiles below\n" in capsys.readouterr().out
    path.rename(tmp_path / "tile/2/2")
    assert verify_export.main() == 1
    said = capsys.readouterr().out
    assert "tile/2/1: missing\n" in said
    assert "tile/2/2: made of entries that are not in the export\n" in said


def test_witnesses_are_named_and_their_lines_checked(export: Export, verify: Verify) -> None:
    path = export.directory / "checkpoints/712"
    note = notes.Note.parse(path.read_text(encoding="utf-8"))
    path.write_text(str(note.adding(WITNESS.sign(note.body, NOON))), encoding="utf-8")
    code, lines = verify("--key", WITNESS.verifier.text)
    assert (code, lines[-1].partition("signed by ")[2]) == (0, f"{ORIGIN}, {WITNESS.name}")
    line = WITNESS.sign(note.body, NOON + timedelta(seconds=1))
    forged = notes.Signature(line.name, line.key_hash, bytes(8) + line.signature[8:])
    path.write_text(str(note.adding(forged)), encoding="utf-8")
    code, lines = verify("--key", WITNESS.verifier.text)
    assert f"checkpoints/712: can't be trusted: {WITNESS.name} signed another text than this" in lines
    assert verify()[0] == 0, "who does not know a witness does not care"


def test_an_event_that_came_twice_is_in_order_if_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = SyntheticLog(tmp_path, 30, repeated={7: 3}, malformed={9}, every=10)
    log.write()
    monkeypatch.setattr("sys.argv", ["verify_export.py", str(tmp_path), "--key", KEY.verifier.text])
    assert verify_export.main() == 0, capsys.readouterr().out
    export = Export(tmp_path, tmp_path)
    entries = export.entries
    assert '"duplicate_of":3' in entries[7]["leaf"]
    assert "envelope" not in entries[9]
    entries[7]["leaf"] = entries[7]["leaf"].replace('"duplicate_of":3', '"duplicate_of":4')
    export.entries = entries
    assert verify_export.main() == 1
    assert "index 7: not the same event as index 4\n" in capsys.readouterr().out


def test_the_key_of_the_export_itself_is_used_but_named(verify: Verify) -> None:
    code, lines = verify(key=None)
    assert code == 0
    assert lines[-2:] == [
        "The keys came from the export itself; compare them with what you know:",
        f"  {KEY.verifier.text}",
    ]


@pytest.mark.parametrize("key", ["nonsense", KEY.verifier.text[:-8], KEY.verifier.text.replace("/", "")])
def test_a_key_that_is_none_is_refused(verify: Verify, key: str) -> None:
    code, lines = verify(key=key)
    assert code == 2
    assert "can't be checked" in lines[0]


def test_the_file_stands_alone_and_is_short_enough_to_read(original: Path, tmp_path: Path) -> None:
    source = Path(verify_export.__file__)
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 300
    program = shutil.copy(source, tmp_path / "verify_export.py")
    done = subprocess.run(
        [sys.executable, "-I", program, original, "--key", KEY.verifier.text],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    allowed = {*sys.stdlib_module_names, "cryptography"}
    imports = [
        line.split()[1].split(".")[0]
        for line in source.read_text().splitlines()
        if line.startswith(("import ", "from "))
    ]
    assert set(imports) <= allowed


def test_nobody_can_choose_event_ids_that_are_taken_for_one_another(export: Export) -> None:
    runs = [
        verify_export.Verifier(export.directory, [verify_export.Key(KEY.verifier.text)], []) for _ in "12"
    ]
    for run in runs:
        run.run()
    (one, other) = (set(run.ids) - {0} for run in runs)
    assert len(one) == len(other) >= COUNT
    assert not one & other, "what an id is known by depends on a key of each run"
