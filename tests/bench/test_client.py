"""The load generator against a server whose every answer is known."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.bench.client import Job
from tests.bench.processes import run_client

OK = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
SPLIT_AT = 30


class _Server:
    """Answers every third request with 503, and every answer in two parts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.keys: set[bytes] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                self.bodies.append(await reader.readexactly(int(fields[b"Content-Length"])))
                self.keys.add(fields[b"Idempotency-Key"])
                answer = REFUSED if len(self.bodies) % 3 == 0 else OK
                writer.write(answer[:SPLIT_AT])
                await writer.drain()
                await asyncio.sleep(0.001)
                writer.write(answer[SPLIT_AT:])
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[_Server, int]]:
    state = _Server()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    async with server:
        yield state, server.sockets[0].getsockname()[1]


async def test_every_answer_is_counted_with_its_status_and_every_request_has_its_own_key() -> None:
    async with _running() as (server, port):
        load = await run_client(Job(port, "/x", seed=1, connections=3, requests=30))
    assert load.statuses == {"202": 20, "503": 10}
    assert load.answered == len(server.bodies) == len(server.keys) == 30
    assert load.measured == 20, "what was sent away has no latency"
    assert load.refusal.endswith("busy")
    assert load.latency_ms["p50"] <= load.latency_ms["p99"] <= load.latency_ms["max"]
    assert all(json.loads(body)["grade"] in range(1, 6) for body in server.bodies)


async def test_an_open_loop_sends_what_is_due_whatever_the_server_does() -> None:
    async with _running() as (_, port):
        load = await run_client(Job(port, "/x", seed=1, connections=8, warm_s=0.1, seconds=1.0, rate=100.0))
    # A Poisson number with mean 100, the same in every run.
    assert 60 <= load.measured <= 140
    assert load.rate == pytest.approx(load.measured)
