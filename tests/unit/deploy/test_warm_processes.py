"""Processes that begin as copies behave like those that are executed: what tests of either rely on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import warm
from tests.support.processes import wait_until_gone

NO_PLATFORM = ("status", "--data", "nowhere")
NO_BROKER = {"NATS_URL": "nats://127.0.0.1:1", "HTTP_PORT": "0"}
NOTIFY = [sys.executable, "-m", "services.notify"]
PARENT = """
import os, subprocess, sys, time
from tests.support import warm
warm.wanted()
child = warm.start([sys.executable, "-m", "services.notify"], bound=True, stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return os.environ | NO_BROKER | {"SECRETS_DIR": str(tmp_path), "DATA_DIR": str(tmp_path)}


@pytest.fixture
def notify(tmp_path: Path, settings: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    log = (tmp_path / "log").open("wb")
    with log, warm.start(NOTIFY, env=settings, stdout=log, stderr=log, start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("arguments", [("--help",), NO_PLATFORM, ("rules", "check"), ("submit",)])
def test_a_command_says_and_returns_the_same(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = [
        warm.run([str(warm.PINGYI), *arguments], cwd=tmp_path, timeout_s=60, cold=cold)
        for cold in (False, True)
    ]
    assert done[0].args == done[1].args
    assert (done[0].returncode, done[0].stdout, done[0].stderr) == (
        done[1].returncode, done[1].stdout, done[1].stderr,
    )  # fmt: skip


def test_it_has_its_own_environment_and_directory(tmp_path: Path) -> None:
    environment = {**os.environ, "NATS_URL": "nats://127.0.0.1:1", "SCORING_URL": "http://127.0.0.1:1"}
    told = warm.run([str(warm.PINGYI), "rankings"], env=environment, cwd=tmp_path, timeout_s=60)
    assert (told.returncode, told.stdout) == (1, "")
    assert "http://127.0.0.1:1/v1/rankings" in told.stderr
    told = warm.run([str(warm.PINGYI), *NO_PLATFORM], cwd=tmp_path, timeout_s=60)
    assert f"data directory {tmp_path}/nowhere" in told.stderr


def test_it_is_a_child_with_a_session_of_its_own_and_ends_by_the_signal_it_gets(
    notify: "subprocess.Popen[bytes]",
) -> None:
    child = psutil.Process(notify.pid)
    assert child.ppid() == os.getpid()
    assert os.getsid(notify.pid) == notify.pid
    assert notify.poll() is None
    notify.send_signal(signal.SIGKILL)
    assert notify.wait(30) == -signal.SIGKILL


def test_one_that_is_bound_ends_with_its_parent(settings: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=warm.ROOT, env=settings
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.ppid() == parent.pid
        nursery = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait()
        wait_until_gone([child, *nursery], timeout_s=20)
