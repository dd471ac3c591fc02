"""``pingyi vault`` and ``quarantine``: what they show of intake's answers."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.commands import quarantine, vault
from deploy.local.layout import Layout

COUNTED = "2026-11-28T04:07:58.396Z"
KEPT: dict[str, Any] = {
    "keys": ["kek-1", "kek-2"], "newest": "kek-2", "passed_at": COUNTED, "records": {"kek-2": 6887},
    "unopened": 0, "removable": ["kek-1"],
}  # fmt: skip


def shown(monkeypatch: pytest.MonkeyPatch, data: Path, module: Any, answer: object, *asked: str) -> str:  # noqa: ANN401 - a module
    monkeypatch.setattr(module, "call", lambda *_, **__: answer)
    monkeypatch.setattr(module, "find_platform", lambda *_: Layout(data))
    done = CliRunner().invoke(make_app(asked[0]), list(asked))
    assert done.exit_code == 0, done.output
    return done.output


def test_the_vaults_status_says_when_the_records_were_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = shown(monkeypatch, tmp_path, vault, KEPT, "vault", "status")
    assert [line.split()[1:] for line in told.splitlines()[:2]] == [
        ["kek-1", "0", "records,", "can", "go"],
        ["kek-2", "6887", "records,", "newest"],
    ]
    assert f"counted at {COUNTED}" in told


def test_the_vaults_status_gives_no_number_before_the_records_were_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uncounted = KEPT | {"passed_at": None, "records": None, "removable": []}
    told = shown(monkeypatch, tmp_path, vault, uncounted, "vault", "status")
    assert "? records" in told
    assert "counted at" not in told


@pytest.mark.parametrize("asked", [(), ("--clusters",)])
def test_that_no_rating_is_held_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    nothing = {"items": [], "total": 0, "next": None}
    told = shown(monkeypatch, tmp_path, quarantine, nothing, "quarantine", "list", *asked)
    assert "held ratings match" in told
