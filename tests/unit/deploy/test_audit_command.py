"""`pingyi audit verify` waits as long as it is told, and by itself longer than the archive works."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.commands import audit as command
from deploy.local.errors import LocalError
from services.archive.settings import Settings


class NobodyError(LocalError):
    """There is no archive."""


def waited(arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> float:
    """The patience that the command has with the archive."""
    asked: list[dict[str, Any]] = []

    def call(_method: str, _url: str, **options: Any) -> None:  # noqa: ANN401 - whatever `call` takes
        asked.append(options)
        raise NobodyError("nobody answers")

    monkeypatch.setattr(command, "call", call)
    monkeypatch.setenv("ARCHIVE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    found = CliRunner().invoke(command.audit, ["verify", "--data", str(tmp_path), *arguments])
    assert isinstance(found.exception, NobodyError), found.output
    return float(asked[0]["timeout_s"])


def test_by_itself_it_waits_until_the_archive_has_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert waited([], monkeypatch, tmp_path) > Settings.model_fields["verify_timeout_s"].default


def test_a_larger_log_is_waited_for_as_long_as_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert waited(["--timeout", "7200"], monkeypatch, tmp_path) == 7200
