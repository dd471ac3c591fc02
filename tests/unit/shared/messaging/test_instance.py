"""The name of a replica: kept from life to life, never borne twice at once."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.messaging.instance import FILE, Instance

TELL = "import sys, pathlib\nfrom shared.messaging.instance import Instance\n"
BEAR = f"{TELL}i = Instance(pathlib.Path(sys.argv[1])); print(i.name, flush=True); sys.stdin.read()"


def test_the_next_life_has_the_same_name(tmp_path: Path) -> None:
    first = Instance(tmp_path / "new")
    name = first.name
    first.close()
    again = Instance(tmp_path / "new")
    assert again.name == name
    assert Instance(tmp_path / "new").name != name, "somebody bears it"
    assert Instance(tmp_path / "other").name != name


def test_a_name_is_free_when_its_process_is_dead_and_not_before(tmp_path: Path) -> None:
    living = subprocess.Popen(
        [sys.executable, "-c", BEAR, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert living.stdout is not None
    name = living.stdout.readline().strip()
    try:
        assert Instance(tmp_path).name != name
    finally:
        living.kill()
        living.communicate()
    assert Instance(tmp_path).name == name


def test_a_copy_of_another_machines_directory_is_another_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Instance(tmp_path)
    first.close()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert Instance(tmp_path).name.startswith("elsewhere-")


def test_without_a_directory_every_life_has_a_name_of_its_own() -> None:
    assert Instance(None).name != Instance(None).name


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"nonsense"])
def test_a_file_that_holds_no_name_does_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Instance(tmp_path).name.startswith(socket.gethostname())


def test_a_directory_that_cannot_be_used_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Instance(tmp_path / "file").name != Instance(tmp_path / "file").name
