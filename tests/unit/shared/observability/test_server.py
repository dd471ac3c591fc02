import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.bench.processes import peak_resident_mb, resident_mb

ROOT = Path(__file__).parents[4]
PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.logging import get_logger
from shared.observability.metrics import ServiceMetrics
from shared.observability import heads, server
from shared.observability.server import run_service

port, mode = int(sys.argv[1]), sys.argv[2]
health = Health()
heads.MOST_S = 0.5 if mode == "impatient" else heads.MOST_S
server.BROKEN_STOP_S = 1.0 if mode == "hangs" else server.BROKEN_STOP_S

async def work():
    if mode == "leaves holes":
        blocks = [bytearray(64 << 10) for _ in range(2000)]
        kept = blocks[::20]
        del blocks
    if mode == "renews":
        health.renew("another registry")
    await asyncio.sleep(0.2 if mode in ("dies", "hangs") else 1000)

@asynccontextmanager
async def lifespan(app):
    if mode == "broken":
        raise RuntimeError("no secrets")
    async with TaskSupervisor(health) as tasks:
        tasks.start("work", work())
        yield
    if mode == "hangs":
        await asyncio.sleep(1000)
    get_logger().info("drained")

app = FastAPI(lifespan=lifespan)
install(app, ServiceMetrics("intake"), health)

@app.get("/slow")
async def slow():
    async def answer():
        yield "begun"
        await asyncio.sleep(0.5)
        yield "done"
    return StreamingResponse(answer())

@app.post("/length")
async def length(request: Request) -> int:
    return len(await request.body())

sys.exit(run_service(app, service="intake", host="127.0.0.1", port=port))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


@contextmanager
def service(port: int, mode: str = "well") -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_alive(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the service did not start within 60 s")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_requests_and_exits_zero_with_json_logs_only(number: signal.Signals) -> None:
    port = free_port()
    with service(port) as process:
        wait_until_alive(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while b"begun" not in answer:
                answer += client.recv(65536)
            process.send_signal(number)
            answer += b"".join(iter(lambda: client.recv(65536), b""))
        output, _ = process.communicate(timeout=30)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"done" in answer
    assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"drained", "request"} <= {line["event"] for line in lines}
    assert {line["service"] for line in lines} == {"intake"}
    assert b"\r\nx-correlation-id: " in answer
    assert b"\r\nserver:" not in answer.lower()


def test_a_clean_stop_loses_no_line() -> None:
    port = free_port()
    with service(port) as process:
        wait_until_alive(port)
        with httpx.Client() as client:
            for _ in range(200):
                client.get(f"http://127.0.0.1:{port}/nowhere")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert events.count("request") == 200
    assert "drained" in events


def test_lines_are_written_soon_while_nothing_happens() -> None:
    port = free_port()
    with service(port) as process:
        wait_until_alive(port)
        httpx.get(f"http://127.0.0.1:{port}/nowhere")
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        told, until = b"", time.monotonic() + 30
        while b'"event":"request"' not in told and time.monotonic() < until:
            time.sleep(0.05)
            told += process.stdout.read() or b""
        assert b'"event":"request"' in told


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_a_service_at_rest_gives_back_what_lies_free() -> None:
    port = free_port()
    with service(port, "leaves holes") as process:
        wait_until_alive(port)
        peak, until = peak_resident_mb(process.pid), time.monotonic() + 60
        while resident_mb(process.pid) > peak - 100 and time.monotonic() < until:
            time.sleep(0.1)
        assert resident_mb(process.pid) < peak - 100


def test_a_dead_background_task_ends_the_process_in_order_with_an_error() -> None:
    with service(free_port(), "dies") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    lines = [json.loads(line) for line in output.splitlines()]
    (why,) = [line for line in lines if line["event"] == "process ends, only a restart helps"]
    assert (why["level"], why["reason"]) == ("critical", "background task work died: returned")
    assert lines[-1]["event"] != why["event"]
    assert "drained" in {line["event"] for line in lines}


def test_a_process_that_is_to_be_started_anew_ends_in_order_with_a_code_of_its_own() -> None:
    with service(free_port(), "renews") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    lines = [json.loads(line) for line in output.splitlines()]
    (why,) = [line for line in lines if line["event"] == "process ends, to be started anew"]
    assert (why["level"], why["reason"]) == ("warning", "another registry")
    assert "drained" in {line["event"] for line in lines}


def test_a_broken_process_ends_although_its_stop_hangs() -> None:
    with service(free_port(), "hangs") as process:
        process.communicate(timeout=60)
    assert process.returncode == 4


def test_a_failed_start_exits_with_three_and_says_why() -> None:
    with service(free_port(), "broken") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"no secrets" in output
    assert all(json.loads(line) for line in output.splitlines())


def test_a_taken_port_ends_the_process_with_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with service(taken.getsockname()[1]) as process:
            output, _ = process.communicate(timeout=60)
    assert process.returncode not in {0, None}
    assert b"address already in use" in output
