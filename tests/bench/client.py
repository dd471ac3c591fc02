"""The load generator: one process, bare sockets on uvloop, the same for both sides of every pair.

``python -m tests.bench.client`` reads a :class:`Job` from its standard input and writes a :class:`Load` to
its standard output. Requests are built before the clock starts; an answer costs it some 40 µs, so that the
server is the slower one. Two shapes:

- closed loop (``rate`` 0): every connection has one request under way, and sends the next one at its answer.
- open loop: requests are due at random moments (exponential gaps, seeded) whatever the server does, and
  their latency counts from when they were due: a server that stalls cannot hide it.
"""

import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import cast

import uvloop

from tests.bench.figures import percentile
from tests.bench.ratings import Ratings

HOST = "127.0.0.1"
ENOUGH_PER_S = 10_000
"""More requests than any server here answers in a second; a closed loop ends early when they run out."""
DRAIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Attributes:
        lines: 0: single POSTs; otherwise ratings in each NDJSON request.
        warm_s: seconds before the measured ones.
        seconds: how long is measured.
        rate: requests due per second; 0 is a closed loop.
        requests: with a closed loop: send exactly so many and measure them all; 0: for ``seconds``.
        proof: what the header Authorization says; empty for servers that ask nobody.
    """

    port: int
    path: str
    seed: int
    connections: int = 1
    lines: int = 0
    text_share: float = 0.0
    warm_s: float = 0.0
    seconds: float = 0.0
    rate: float = 0.0
    requests: int = 0
    proof: str = ""


@dataclass(slots=True)
class Load:
    """What came back.

    Attributes:
        statuses: answers by status, all of them, also those of the warm-up and after the end.
        refusal: the first answer that was not 2xx, to say why a load failed.
        lines: answered lines of batches by their status.
        measured: answers 2xx within the measured time.
        elapsed_s: the measured time.
        total_s: from the first request to the last answer.
        latency_ms: of the measured requests: p50, p90, p99 and max.
        cpu_s: this process's own processor time from the first request to the last answer.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    refusal: str = ""
    lines: dict[str, int] = field(default_factory=dict)
    measured: int = 0
    elapsed_s: float = 0.0
    total_s: float = 0.0
    latency_ms: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Measured answers per second."""
        return self.measured / self.elapsed_s

    @property
    def answered(self) -> int:
        """All answers."""
        return sum(self.statuses.values())


class UnexpectedEndError(Exception):
    """The server closed a connection that had a request under way."""


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self, on_answer: Callable[["_Connection", int, bytes], None]) -> None:
        self._on_answer = on_answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.due = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class, no subclass of it

    def send(self, data: bytes, due: float) -> None:
        assert self._transport is not None
        self.due = due
        self.busy = True
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        place = head.index(b"content-length:") + 15
        stop = head.find(b"\r\n", place)
        length = int(head[place:] if stop < 0 else head[place:stop])
        if len(self._buffer) < end + 4 + length:
            return
        body = self._buffer[end + 4 :]
        self._buffer = b""
        self.busy = False
        self._on_answer(self, int(head[9:12]), body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            raise UnexpectedEndError(f"connection closed within an answer: {exc!r}") from exc

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


class _Generator:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._clock = time.perf_counter
        self._requests: deque[bytes] = deque(_requests(job))
        self._waiting: deque[float] = deque()
        self._idle: list[_Connection] = []
        self._under_way = 0
        self._bodies: list[bytes] = []
        self._statuses: Counter[int] = Counter()
        self._latencies: list[float] = []
        self._first = self._from = self._until = 0.0
        self._last = 0.0
        self._done = asyncio.Event()
        self._sending = True
        self._refusal = ""

    async def run(self) -> Load:
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(lambda: _Connection(self._answered), HOST, self._job.port))[1]
            for _ in range(self._job.connections)
        ]
        cpu = time.process_time()
        self._first = self._clock()
        self._from = self._first + self._job.warm_s
        self._until = float("inf") if self._job.requests else self._from + self._job.seconds
        if self._job.rate:
            self._idle = connections
            await self._send_when_due()
        else:
            for connection in connections:
                self._next(connection)
        async with asyncio.timeout(self._job.warm_s + self._job.seconds + DRAIN_S):
            await self._done.wait()
        cpu = time.process_time() - cpu
        for connection in connections:
            connection.close()
        return self._result(cpu)

    async def _send_when_due(self) -> None:
        chance = random.Random(self._job.seed)
        due = self._first
        while True:
            due += chance.expovariate(self._job.rate)
            if due >= self._until or not self._requests:
                break
            if (ahead := due - self._clock()) > 0:
                await asyncio.sleep(ahead)
            self._waiting.append(due)
            self._assign()
        self._sending = False
        self._finish_if_done()

    def _assign(self) -> None:
        while self._waiting and self._idle and self._requests:
            self._under_way += 1
            self._idle.pop().send(self._requests.popleft(), self._waiting.popleft())

    def _next(self, connection: _Connection) -> None:
        now = self._clock()
        if now < self._until and self._requests:
            self._under_way += 1
            connection.send(self._requests.popleft(), now)
        else:
            self._sending = False
            self._finish_if_done()

    def _answered(self, connection: _Connection, status: int, body: bytes) -> None:
        now = self._last = self._clock()
        self._under_way -= 1
        self._statuses[status] += 1
        if status >= HTTPStatus.MULTIPLE_CHOICES and not self._refusal:
            self._refusal = f"{status} after {now - self._first:.2f} s: {body.decode()[:500]}"
        # An open loop judges every request that was due within the time, a closed one every answer.
        moment = connection.due if self._job.rate else now
        if self._from <= moment < self._until and status < HTTPStatus.MULTIPLE_CHOICES:
            self._latencies.append(now - connection.due)
        if self._job.lines:
            self._bodies.append(body)
        if self._job.rate:
            self._idle.append(connection)
            self._assign()
            self._finish_if_done()
        else:
            self._next(connection)

    def _finish_if_done(self) -> None:
        if not self._sending and not self._under_way and not self._waiting:
            self._done.set()

    def _result(self, cpu: float) -> Load:
        lines: Counter[str] = Counter()
        for body in self._bodies:
            lines.update(result["status"] for result in json.loads(body)["results"])
        ordered = sorted(latency * 1000 for latency in self._latencies)
        until = min(self._until, self._last) if not self._job.rate else self._until
        return Load(
            statuses={str(status): count for status, count in self._statuses.items()},
            refusal=self._refusal,
            lines=dict(lines),
            measured=len(ordered),
            elapsed_s=until - self._from,
            total_s=self._last - self._first,
            latency_ms={
                "p50": percentile(ordered, 0.5),
                "p90": percentile(ordered, 0.9),
                "p99": percentile(ordered, 0.99),
                "max": ordered[-1],
            },
            cpu_s=cpu,
        )


def _requests(job: Job) -> list[bytes]:
    ratings = Ratings(job.seed, text_share=job.text_share, proof=job.proof)
    if job.lines:
        return [ratings.batch(job.path, job.lines) for _ in range(job.requests)]
    per_second = job.rate * 1.2 if job.rate else ENOUGH_PER_S
    wanted = job.requests or int(per_second * (job.warm_s + job.seconds)) + 100
    return [ratings.post(job.path) for _ in range(wanted)]


def main() -> None:
    """Do the job that stands on the standard input."""
    job = Job(**json.load(sys.stdin))
    gc.disable()  # a pause of ours would count as the server's latency

    async def work() -> Load:
        return await _Generator(job).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(asdict(runner.run(work())), sys.stdout)


if __name__ == "__main__":
    main()
