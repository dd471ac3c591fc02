"""The supervisor with toy children: it keeps them running, gives up loudly, and leaves nothing behind."""

import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.embedded import NatsServer, free_ports
from deploy.local.errors import GaveUpError, LocalError, StopRequestedError
from deploy.local.restart import RestartPolicy
from deploy.local.supervisor import ProcessSpec, ServerSpec, Supervisor, Timing
from shared.observability.health import RENEWED
from tests.support.processes import wait_until_gone

pytestmark = pytest.mark.integration

TOY = Path(__file__).parents[2] / "support" / "toy_service.py"
QUICK = RestartPolicy(first_delay_s=0.05, max_delay_s=0.2, max_failures=4)


def toy(directory: Path, name: str, *arguments: str) -> ProcessSpec:
    (port,) = free_ports(1)
    return ProcessSpec(
        name=name,
        command=(sys.executable, str(TOY), str(port), *arguments),
        env={},
        log=directory / f"{name}.log",
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )


def python(directory: Path, name: str, source: str) -> ProcessSpec:
    return ProcessSpec(
        name=name, command=(sys.executable, "-c", source), env={}, log=directory / f"{name}.log"
    )


def as_spec(nats: NatsServer) -> ServerSpec:
    return ServerSpec("nats", nats, heal=True)


def new_nats(directory: Path) -> NatsServer:
    port, monitor_port = free_ports(2)
    return NatsServer(directory / "nats", port=port, monitor_port=monitor_port, log=directory / "nats.log")


@asynccontextmanager
async def stopped_at_the_end(supervisor: Supervisor) -> AsyncIterator[Supervisor]:
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def eventually(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is about other processes
            await asyncio.sleep(0.02)


async def test_servers_are_ready_before_the_provisioner_starts(tmp_path: Path) -> None:
    nats = new_nats(tmp_path)
    service = toy(tmp_path, "scoring")
    provision = python(
        tmp_path, "provision", f"import socket; socket.create_connection(('127.0.0.1', {nats.port}))"
    )
    supervisor = Supervisor(servers=[as_spec(nats)], provision=provision, services=[service])
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        assert set(supervisor.children) == {"nats", "scoring"}
        async with httpx.AsyncClient() as client:
            answer = await client.get(str(service.ready_url))
        assert answer.text == str(supervisor.children["scoring"].pid)


async def test_services_start_while_servers_get_ready(tmp_path: Path) -> None:
    service = toy(tmp_path, "scoring")

    class PatientNats(NatsServer):
        """Ready only after the service answers: with services started later, that is never."""

        def start(self, timeout_s: float = 120.0) -> None:
            super().start(timeout_s)
            deadline_s = time.monotonic() + 60
            while time.monotonic() < deadline_s:
                try:
                    assert httpx.get(str(service.ready_url), trust_env=False).is_success
                except httpx.TransportError:
                    time.sleep(0.05)
                else:
                    return
            raise LocalError("the service was not started")

    port, monitor_port = free_ports(2)
    nats = PatientNats(tmp_path / "nats", port=port, monitor_port=monitor_port, log=tmp_path / "nats.log")
    supervisor = Supervisor(servers=[as_spec(nats)], provision=None, services=[service])
    async with stopped_at_the_end(supervisor):
        await supervisor.start()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities stay as they are")
async def test_service_stands_back_once_all_are_ready_and_after_a_restart(tmp_path: Path) -> None:
    service = replace(toy(tmp_path, "archive"), nice=5)
    priorities: list[int] = []
    supervisor = Supervisor(servers=[], provision=None, services=[service], policy=QUICK)

    def note() -> None:
        pid = supervisor.children["archive"].pid
        assert pid is not None
        with suppress(ProcessLookupError):
            priorities.append(os.getpriority(os.PRIO_PROCESS, pid))

    supervisor.on_change = note
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        first_pid = supervisor.children["archive"].pid
        assert first_pid is not None
        assert priorities == [0]
        assert os.getpriority(os.PRIO_PROCESS, first_pid) == 5
        os.kill(first_pid, signal.SIGKILL)
        await eventually(lambda: supervisor.children["archive"].pid != first_pid)
        second_pid = supervisor.children["archive"].pid
        assert second_pid is not None
        await eventually(lambda: os.getpriority(os.PRIO_PROCESS, second_pid) == 5)


async def test_service_that_dies_is_started_again(tmp_path: Path) -> None:
    sentences: list[str] = []
    service = toy(tmp_path, "scoring")
    supervisor = Supervisor(
        servers=[], provision=None, services=[service], policy=QUICK, say=sentences.append
    )
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        first_pid = supervisor.children["scoring"].pid
        assert first_pid is not None
        os.kill(first_pid, signal.SIGKILL)
        await eventually(lambda: supervisor.children["scoring"].pid != first_pid)
        assert supervisor.children["scoring"].restarts == 1
        assert any("scoring ended with code -9" in sentence for sentence in sentences)


async def test_service_that_asks_to_be_started_anew_has_not_failed(tmp_path: Path) -> None:
    source = f"import sys, time; time.sleep(0.05); sys.exit({RENEWED})"
    supervisor = Supervisor(
        servers=[], provision=None, services=[python(tmp_path, "scoring", source)], policy=QUICK
    )
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        await eventually(lambda: supervisor.children["scoring"].restarts > 2 * QUICK.max_failures)


async def test_service_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    service = toy(tmp_path, "scoring", "--crash-after", "0")
    supervisor = Supervisor(servers=[], provision=None, services=[service], policy=QUICK)
    async with stopped_at_the_end(supervisor):
        with pytest.raises(GaveUpError, match=r"scoring ended with code 3, failure 4(?s:.*)about to crash"):
            await supervisor.start()
        assert supervisor.children["scoring"].restarts == 3


async def test_service_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    spec = python(tmp_path, "scoring", "import time; time.sleep(60)")
    (port,) = free_ports(1)
    silent = replace(spec, ready_url=f"http://127.0.0.1:{port}/readyz")
    supervisor = Supervisor(servers=[], provision=None, services=[silent], timing=Timing(ready_s=0.5))
    async with stopped_at_the_end(supervisor):
        with pytest.raises(GaveUpError, match=r"scoring was not ready and made no progress within 0\.5 s"):
            await supervisor.start()


class Readiness(http.server.BaseHTTPRequestHandler):
    """Answers for a service that sleeps, from our own process: what loading it takes is no part of this."""

    began_s: float
    changes: bool

    def do_GET(self) -> None:
        passed_s = time.monotonic() - self.began_s
        detail = f"position {int(passed_s * 10)}" if self.changes else f"try {int(passed_s * 10) % 2}"
        fold = {"status": "failed", "detail": detail, "latency_ms": passed_s}
        body = json.dumps({"checks": {"fold": fold}}).encode()
        self.send_response(200 if self.changes and passed_s > 3 else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def reading(directory: Path, *, changes: bool) -> Iterator[ProcessSpec]:
    """A service that is not ready, and shows how far it is, or the same two things in turn."""
    answers = type("Answers", (Readiness,), {"began_s": time.monotonic(), "changes": changes})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec = python(directory, "scoring", "import time; time.sleep(120)")
        yield replace(spec, ready_url=f"http://127.0.0.1:{server.server_port}/readyz")
        server.shutdown()


async def test_service_that_reads_on_is_waited_for_longer_than_the_limit(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with reading(tmp_path, changes=True) as spec:
        supervisor = Supervisor(servers=[], provision=None, services=[spec], timing=Timing(ready_s=2))
        async with stopped_at_the_end(supervisor):
            await supervisor.start()
    assert time.monotonic() - began_s > 3


async def test_service_whose_readiness_goes_to_and_fro_is_given_up(tmp_path: Path) -> None:
    with reading(tmp_path, changes=False) as spec:
        supervisor = Supervisor(servers=[], provision=None, services=[spec], timing=Timing(ready_s=2))
        async with stopped_at_the_end(supervisor), asyncio.timeout(60):
            with pytest.raises(GaveUpError, match=r"no progress within 2 s(?s:.*)try [01]"):
                await supervisor.start()


async def test_failed_provisioning_fails_the_start_and_stop_leaves_no_service_behind(tmp_path: Path) -> None:
    provision = python(tmp_path, "provision", "raise SystemExit('no such stream')")
    service = toy(tmp_path, "scoring")
    supervisor = Supervisor(servers=[], provision=provision, services=[service])
    async with stopped_at_the_end(supervisor):
        with pytest.raises(LocalError, match=r"provision ended with code 1(?s:.*)no such stream"):
            await supervisor.start()
        pid = supervisor.children["scoring"].pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_killed_broker_is_started_again(tmp_path: Path) -> None:
    nats = new_nats(tmp_path)
    supervisor = Supervisor(servers=[as_spec(nats)], provision=None, services=[], policy=QUICK)
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        first_pid = nats.pid
        assert first_pid is not None
        os.kill(first_pid, signal.SIGKILL)
        await eventually(lambda: supervisor.children["nats"].pid != first_pid)
        assert await asyncio.to_thread(nats.healthy)


async def test_broker_that_runs_but_is_not_healthy_is_started_again(tmp_path: Path) -> None:
    nats = new_nats(tmp_path)
    timing = Timing(health_interval_s=0.05, unhealthy_checks=2)
    supervisor = Supervisor(
        servers=[as_spec(nats)],
        provision=None,
        services=[],
        policy=QUICK,
        timing=timing,
    )
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        first_pid = nats.pid
        assert first_pid is not None
        os.kill(first_pid, signal.SIGSTOP)  # alive, but /healthz does not answer
        await eventually(lambda: supervisor.children["nats"].pid != first_pid)
        assert await asyncio.to_thread(nats.healthy)


async def test_stop_outlasts_services_that_ignore_it_within_ten_seconds(tmp_path: Path) -> None:
    services = [toy(tmp_path, "scoring", "--ignore-sigterm"), toy(tmp_path, "notify")]
    nats = new_nats(tmp_path)
    supervisor = Supervisor(servers=[as_spec(nats)], provision=None, services=services)
    await supervisor.start()
    children = [psutil.Process(child.pid) for child in supervisor.children.values()]
    assert len(children) == 3
    limits_s = supervisor.timing.drain_s + supervisor.timing.server_stop_s + 1
    assert limits_s < 10
    async with asyncio.timeout(2 * limits_s):  # the rest is a busy machine's; without a limit it is for ever
        await supervisor.stop()
    wait_until_gone(children, timeout_s=0)


async def test_stop_request_ends_a_start_that_is_under_way(tmp_path: Path) -> None:
    spec = python(tmp_path, "provision", "import time; time.sleep(60)")
    supervisor = Supervisor(servers=[as_spec(new_nats(tmp_path))], provision=spec, services=[])
    async with stopped_at_the_end(supervisor):
        starting = asyncio.create_task(supervisor.start())
        await eventually(lambda: "provision" in supervisor.children)
        children = [psutil.Process(child.pid) for child in supervisor.children.values()]
        supervisor.request_stop()
        with pytest.raises(StopRequestedError):
            await starting
    wait_until_gone(children, timeout_s=0)


async def test_stop_request_cancels_the_work_of_during(tmp_path: Path) -> None:
    supervisor = Supervisor(servers=[], provision=None, services=[toy(tmp_path, "scoring")])
    async with stopped_at_the_end(supervisor):
        await supervisor.start()
        assert await supervisor.during(asyncio.sleep(0, "done")) == "done"
        asyncio.get_running_loop().call_later(0.05, supervisor.request_stop)
        with pytest.raises(StopRequestedError):
            await supervisor.during(asyncio.sleep(60))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    port, monitor_port, mongo_port, service_port = free_ports(4)
    source = f"""
import asyncio, pathlib, sys
from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.supervisor import ProcessSpec, ServerSpec, Supervisor

async def main() -> None:
    home = pathlib.Path({str(tmp_path)!r})
    nats = NatsServer(home / "nats", port={port}, monitor_port={monitor_port}, log=home / "nats.log")
    mongo = MongoServer(home / "mongo", port={mongo_port}, log=home / "mongod.log")
    service = ProcessSpec(
        "scoring", (sys.executable, {str(TOY)!r}, "{service_port}", "--ignore-sigterm"), {{}},
        home / "scoring.log", ready_url="http://127.0.0.1:{service_port}/readyz",
    )
    supervisor = Supervisor(
        servers=[ServerSpec("nats", nats), ServerSpec("mongod", mongo)], provision=None, services=[service]
    )
    await supervisor.start()
    print("ready", flush=True)
    await supervisor.wait()

asyncio.run(main())
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TOY.parents[2])},
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "ready\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert {child.name() for child in children} >= {"nats-server", "mongod"}
    assert len(children) == 3
    parent.kill()
    parent.wait()
    wait_until_gone(children, timeout_s=30)
