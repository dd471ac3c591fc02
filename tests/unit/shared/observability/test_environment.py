"""What a container's operator reads when its environment is wrong."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import Field
from pydantic_settings import BaseSettings

from shared.observability.environment import MISCONFIGURED, read_settings

ROOT = Path(__file__).parents[4]


class Wanted(BaseSettings):
    http_port: int = Field(default=8001, le=65_535)
    smtp_url: str = Field(default="", pattern="^$|^smtps?://")
    log_level: str = "WARNING"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's logging and its last words as they were."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


def test_every_variable_that_is_wrong_is_named_with_what_was_expected_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("HTTP_PORT", "abc")
    monkeypatch.setenv("SMTP_URL", "post:geheim@mail")
    with pytest.raises(SystemExit) as ended:
        read_settings(Wanted, "intake")
    assert ended.value.code == MISCONFIGURED
    written = capfdbinary.readouterr().out
    port, mail = (json.loads(line) for line in written.splitlines())
    assert (port["service"], port["event"], port["variable"]) == ("intake", "setting_refused", "HTTP_PORT")
    assert port["value"] == "'abc'"
    assert "integer" in port["expected"]
    assert port["remedy"] == "correct the variable: send a whole number"
    assert (mail["variable"], mail["value"]) == ("SMTP_URL", "a string of 16 characters")
    assert b"geheim" not in written


def test_logging_has_the_level_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "9000")
    assert read_settings(Wanted, "intake").http_port == 9000
    assert logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize("service", ["intake", "scoring", "notify", "archive", "rectify"])
def test_a_service_that_is_started_wrongly_says_so_in_json_and_says_what_to_do(service: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HTTP_PORT": "web"}
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (MISCONFIGURED, b"")
    (line,) = (json.loads(each) for each in ended.stdout.splitlines())
    assert (line["service"], line["variable"], line["value"]) == (service, "HTTP_PORT", "'web'")


def test_a_missing_secret_is_said_in_one_line_that_begins_with_the_reason() -> None:
    environment = {"PATH": os.environ["PATH"], "ARCHIVE_SIGNING_KEY": "nowhere/archive.key"}
    ended = subprocess.run(
        [sys.executable, "-m", "services.archive"],
        cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, b"")
    line = json.loads(ended.stdout.splitlines()[-1])
    assert line["reason"].startswith("Got 'nowhere/archive.key', expected a readable file")
