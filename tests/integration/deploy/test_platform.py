"""The platform as one process tree: started, found, refused twice, and stopped by a signal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy.local.embedded.ports import is_free
from deploy.local.layout import Layout
from deploy.local.platform_file import read_running
from tests.support import warm
from tests.support.processes import wait_until_gone

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
SERVERS_ONLY = """
import asyncio, pathlib, sys
from deploy.local.layout import Layout
from deploy.local.platform import running_platform

async def main():
    layout = Layout(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
    async with running_platform(layout, services=(), say=print) as supervisor:
        print("ready", flush=True)
        await supervisor.wait()

asyncio.run(main())
"""


def free_port_base() -> int:
    """A base whose ports are free; spread by process id, since workers look at the same time."""
    start = 20_000 + os.getpid() % 300 * 40
    candidates = range(start, 60_000, 40)
    return next(base for base in candidates if all(map(is_free, Layout(Path(), base).ports())))


def pingyi(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return warm.run([str(warm.PINGYI), *arguments], cwd=ROOT, timeout_s=60)


@contextmanager
def running_servers(layout: Layout) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", SERVERS_ONLY, str(layout.data), str(layout.port_base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_everything_in_order(tmp_path: Path, signum: signal.Signals) -> None:
    layout = Layout(tmp_path, free_port_base())
    with running_servers(layout) as platform:
        children = psutil.Process(platform.pid).children()
        assert {child.name() for child in children} == {"nats-server", "mongod"}
        platform.send_signal(signum)
        assert platform.wait(10) == 0
    wait_until_gone(children, timeout_s=0)
    assert not layout.platform_file.exists()
    assert all(map(is_free, layout.ports()))


def test_running_platform_is_found_refuses_a_second_one_and_obeys_down(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "first", free_port_base())
    with running_servers(layout) as platform:
        record = read_running(layout.platform_file)
        assert record is not None
        assert (record.pid, record.state) == (platform.pid, "ready")

        status = pingyi("status", "--data", str(layout.data), "--json")
        assert status.returncode == 0, status.stderr
        parts = json.loads(status.stdout)["parts"]
        assert [(part["name"], part["ready"]) for part in parts] == [("nats", True), ("mongod", True)]

        same_data = pingyi("up", "--data", str(layout.data))
        assert same_data.returncode == 1
        assert f"in use by pid {platform.pid}" in same_data.stderr

        other = str(tmp_path / "second")
        same_ports = pingyi("up", "--data", other, "--port-base", str(layout.port_base))
        assert same_ports.returncode == 1
        assert f"port {layout.nats_port} on 127.0.0.1, wanted for nats-server" in same_ports.stderr

        down = pingyi("down", "--data", str(layout.data), "--json")
        assert json.loads(down.stdout) == {"stopped_pid": platform.pid, "killed": False}
        assert platform.wait(1) == 0


def test_doctor_finds_nothing_to_complain_of_where_the_tests_run(tmp_path: Path) -> None:
    answer = pingyi("doctor", "--data", str(tmp_path), "--port-base", str(free_port_base()), "--json")
    findings = json.loads(answer.stdout)["checks"]
    assert answer.returncode == 0, answer.stdout
    assert {finding["check"] for finding in findings} >= {"python", "ports", "servers start", "clock"}
    assert all(finding["remedy"] for finding in findings if finding["level"] != "OK")
