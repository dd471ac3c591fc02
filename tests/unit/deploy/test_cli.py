"""The command line loads what it was asked for, and nothing that a start would have to wait for."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from deploy.local import cli
from deploy.local.cli import COMMANDS, INTERRUPTED, main, make_app, message_of

HEAVY = ("numpy", "scipy", "pymongo", "httpx", "nats", "faststream", "fastapi")
"""Together 0.8 s of processor time, before the first child could be started."""


def test_help_names_every_command_in_its_order() -> None:
    answer = CliRunner().invoke(make_app(), ["--help"])
    listed = [line.split()[1] for line in answer.output.splitlines() if line.startswith("│ ")]
    assert [name for name in listed if name in dict(COMMANDS)] == [name for name, _ in COMMANDS]


def test_a_command_that_is_there_alone_keeps_its_name() -> None:
    for name, _ in COMMANDS:
        assert CliRunner().invoke(make_app(name), [name, "--help"]).exit_code == 0


def test_unknown_command_is_refused_among_all() -> None:
    answer = CliRunner().invoke(make_app("rankigns"), ["rankigns"])
    assert answer.exit_code == 2
    assert "rankings" in answer.output


def test_starting_the_platform_loads_nothing_that_its_children_would_wait_for() -> None:
    source = "from deploy.local.cli import make_app; make_app('demo'); import sys; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()).isdisjoint(HEAVY)


def test_ctrl_c_while_a_command_is_loaded_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_place: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "resolve_name", interrupted)
    monkeypatch.setattr(sys, "argv", ["pingyi", "up"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == INTERRUPTED


@pytest.mark.parametrize(
    ("options", "written"), [((), b"? ok\n"), (("--json",), "✓ ok\n".encode())], ids=["person", "machine"]
)
def test_a_terminal_without_a_character_ends_no_command(options: tuple[str, ...], written: bytes) -> None:
    source = "from deploy.local import cli; cli.make_app = lambda _: lambda: print('✓ ok'); cli.main()"
    environment = {**os.environ, "PYTHONIOENCODING": "gbk"}
    answer = subprocess.run(
        [sys.executable, "-c", source, *options], capture_output=True, check=True, env=environment
    )
    assert answer.stdout == written


def test_what_the_system_refuses_is_said_with_the_path_and_what_to_do() -> None:
    refused = FileNotFoundError(2, "No such file or directory", "/proc/x")
    assert message_of(refused) == (
        "Got '/proc/x', expected a path that can be used (No such file or directory): "
        "correct it, or the permissions there."
    )
    assert message_of(OSError("no file in particular")) == "no file in particular"


def test_an_argument_of_other_bytes_is_named_and_the_encoding_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sent() -> None:
        "\udcff".encode()

    monkeypatch.setattr(cli, "make_app", lambda _name: sent)
    monkeypatch.setattr(sys, "argv", ["pingyi", "submit"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "Got '\\udcff', expected arguments in UTF-8" in capsys.readouterr().err
