"""The platform as processes: told apart by ``ps``, frugal, alone on its data, gone after Ctrl-C.

What is looked at is started as a person starts it, and is no copy as elsewhere (``tests.support.warm``).
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.layout import SERVICES
from deploy.local.resident import resident_bytes
from tests.support.load import Load, simulated
from tests.support.platform import (
    STOP_LIMIT_S,
    Platform,
    free_port_base,
    run_pingyi,
    running_platform,
    until,
)
from tests.support.processes import wait_until_gone

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FOUR = ("intake", "scoring", "notify", "archive")
FOUR_LIMIT_MB = 600
SERVICE_LIMIT_MB = 170
PARTS = 1 + len(SERVICES) + len(("nats", "mongod", "intake-screen"))
"""Processes of a platform, its supervisor included, and the one beside intake that screens."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """In place of the one that all other tests share."""
    with running_platform(tmp_path_factory.mktemp("cold") / "var", cold=True) as running:
        yield running


def test_ps_tells_every_part_apart(platform: Platform) -> None:
    pids = platform.pids()
    assert set(pids) == {*SERVICES, "nats", "mongod"}
    shown = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "-p", ",".join(map(str, pids.values()))],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    arguments = {int(pid): args for pid, args in (line.split(maxsplit=1) for line in shown.splitlines())}
    marks = {name: f"services.{name}" for name in SERVICES} | {"nats": "nats-server", "mongod": "mongod"}
    for name, pid in pids.items():
        told = [other for other, mark in marks.items() if mark in arguments[pid].split(" --")[0]]
        assert told == [name], arguments[pid]


async def test_four_services_stay_frugal_under_five_thousand_ratings(platform: Platform) -> None:
    load = Load(simulated(5_000, days_ago=20).lines)
    await load.run(platform.url("intake"), platform.proofs)
    assert len(load.promised) == 5_000
    pids = platform.pids()
    sizes = {name: resident_bytes(pids[name]) / 1024**2 for name in SERVICES}
    assert sum(sizes[name] for name in FOUR) <= FOUR_LIMIT_MB, sizes
    assert max(sizes.values()) <= SERVICE_LIMIT_MB, sizes


def test_second_platform_on_the_same_data_is_refused_and_the_first_runs_on(platform: Platform) -> None:
    data = platform.layout.data
    pids = platform.pids()
    refused = run_pingyi("up", "--data", str(data), "--port-base", str(free_port_base()), cold=True)
    assert refused.returncode == 1
    message = " ".join(refused.stderr.split())
    assert f"the data directory {data} is in use by pid {platform.supervisor.pid}" in message
    assert "pingyi down" in message
    assert "Traceback" not in refused.stderr
    assert platform.pids() == pids
    platform.await_ready()


async def test_ctrl_c_in_the_middle_of_work_is_quick_and_leaves_no_process(tmp_path: Path) -> None:
    with running_platform(tmp_path / "var", cold=True) as running:
        load = Load(simulated(200).lines)
        await load.run(running.url("intake"), running.proofs)
        assert len(load.promised) == 200
        tree = running.tree()
        assert len(tree) == 2 + len(running.pids()) == PARTS
        assert running.stop(signal.SIGINT) <= STOP_LIMIT_S
        assert not [process for process in tree if process.is_running()]
        assert not running.layout.platform_file.exists()


def test_only_the_chosen_service_runs_beside_the_servers(tmp_path: Path) -> None:
    with running_platform(tmp_path / "var", "--only", "intake") as running:
        assert set(running.pids()) == {"intake", "nats", "mongod"}
        until(lambda: running.is_ready("intake"), timeout_s=60, what="intake is ready")
        assert running.stop(signal.SIGTERM) <= STOP_LIMIT_S


def test_killed_supervisor_takes_everything_along_and_its_data_is_taken_up(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with pytest.raises(SupervisorKilledError), running_platform(data, cold=True) as first:  # noqa: PT012 - the block is the life of a platform
        receipt = first.pingyi_json("submit", "U000112", "5", "--client-ref", "before-the-crash")
        tree = first.tree()
        assert len(tree) == 2 + len(first.pids()) == PARTS
        first.supervisor.kill()
        first.supervisor.wait()
        wait_until_gone(tree, timeout_s=30)
        raise SupervisorKilledError
    assert (data / "platform.json").exists(), "a killed supervisor cannot clean up"
    with running_platform(data) as second:
        assert not [process for process in tree if psutil.pid_exists(process.pid) and process.is_running()]
        repeated = second.pingyi_json("submit", "U000112", "5", "--client-ref", "before-the-crash")
        assert repeated["event_id"] == receipt["event_id"]
        assert repeated["duplicate"]


class SupervisorKilledError(Exception):
    """Leaves the block of a platform that no longer runs."""
