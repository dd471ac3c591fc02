"""An open-loop sender of single ratings: `python -m tests.support.flood`.

Arguments: PORT RATE SECONDS CHANNEL CONNECTIONS; the channel's key is in the variable FLOOD_KEY.

Prints JSON: answers by status, and the latency of the accepted ones in milliseconds, from the moment when a
request was sent. What is due while every connection waits is not sent: a sender has so many terminals.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

ACCEPTED = 202
WARM_SHARE = 0.25
KEY = os.environ.get("FLOOD_KEY", "").encode()


@dataclass
class Flood:
    """What came back; the first quarter of the time warms up and is not in the latencies."""

    statuses: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class _Terminal(asyncio.Protocol):
    def __init__(self, counter: "_Counter") -> None:
        self._counter = counter
        self._began = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._counter.free.append(self)

    def send(self, data: bytes) -> None:
        self._began = time.monotonic()
        assert self._transport is not None
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0]):
            self._buffer = b""
            self._counter.answered(int(head[9:12]), self._began)
            self._counter.free.append(self)


class _Counter:
    def __init__(self, warm_until: float) -> None:
        self.free: list[_Terminal] = []
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._warm_until = warm_until

    def answered(self, status: int, began: float) -> None:
        self.statuses[str(status)] += 1
        if status == ACCEPTED and began >= self._warm_until:
            self.latencies.append(time.monotonic() - began)


async def flood(port: int, rate: float, seconds: float, channel: str, connections: int) -> Flood:
    """Send `rate` ratings a second for `seconds`."""
    loop, chance = asyncio.get_running_loop(), random.Random(channel)
    counter = _Counter(time.monotonic() + WARM_SHARE * seconds)
    for _ in range(connections):
        await loop.create_connection(lambda: _Terminal(counter), "127.0.0.1", port)
    began, sent, unsent = time.monotonic(), 0, 0
    due = began
    while (now := time.monotonic()) < began + seconds:
        while due <= now:
            due += chance.expovariate(rate)
            if counter.free:
                sent += 1
                counter.free.pop().send(_request(channel, f"{channel}-{began}-{sent}"))
            else:
                unsent += 1
        await asyncio.sleep(max(0.0005, due - time.monotonic()))
    for _ in range(100):
        if sum(counter.statuses.values()) == sent:
            break
        await asyncio.sleep(0.1)
    found = sorted(counter.latencies) or [0.0]
    return Flood(
        dict(counter.statuses),
        unsent,
        round(found[len(found) // 2] * 1000, 1),
        round(found[int(len(found) * 0.99)] * 1000, 1),
    )


def _request(channel: str, reference: str) -> bytes:
    body = json.dumps(
        {"unit_id": "U000200", "grade": 5, "channel": channel, "client_ref": reference}
    ).encode()
    return (
        b"POST /v1/feedback HTTP/1.1\r\nHost: intake\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY, len(body), body)
    )


if __name__ == "__main__":
    port, rate, seconds, channel, connections = sys.argv[1:]
    done = uvloop.run(flood(int(port), float(rate), float(seconds), channel, int(connections)))
    sys.stdout.write(json.dumps(asdict(done)) + "\n")
