"""Pull requests on one consumer: when to ask for how many messages, and what has arrived.

Three ways. Without a pace two requests overlap, so that the broker never waits. A durable reader with a pace
asks for little, and not more often than that (ADR 0042). A fold with a pace sweeps: one request brings all
that came meanwhile (ADR 0055).
"""

import asyncio
import contextlib
import json
from collections import deque
from functools import lru_cache
from typing import Final

from nats.aio.client import Client

from shared.kernel.errors import TransientError, describe
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.tap import Tap, status_of, tap

PULL_BATCH: Final = 1000
PULL_BYTES: Final = 4 * 1024 * 1024
"""Bytes that one request may bring: a thousand revised rankings would be half a gigabyte."""
PULL_EXPIRES_S: Final = 20.0
HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 3 * HEARTBEAT_S
SMALL_PULL: Final = 32
"""Messages that a durable reader with a pace asks for without a pause: what trickles in comes at once."""
BACKLOG: Final = 500
"""So many waiting messages are fetched without a pause, too."""

_IDLE = "100"
_NOTHING_THERE = "404"
_ENDED = (_NOTHING_THERE, "408")
_CONFLICT = "409"

_SWEEP: Final = "all"
_EVERYTHING: Final = json.dumps({"batch": PULL_BATCH, "max_bytes": PULL_BYTES, "no_wait": True}).encode()
"""A pull request that is answered with what is there, and then that there is nothing."""


class ReaderLostError(TransientError):
    """The consumer is gone or silent; reading can be resumed."""


class Pull:
    """Overlapping pull requests on one consumer; hands out what arrived, without waiting to fill a batch.

    With a pace, requests are small, and while messages keep coming at most one is sent in that many seconds.
    With ``sweeps`` it is one for all that is there, and where that is nothing, for the next message at once.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        pace_s: float = 0.0,
        *,
        sweeps: bool = False,
        pending: int = 0,
    ) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._pace_s = pace_s
        self._sweeps = sweeps
        self._sweeping = False
        self._swept = False
        self._quiet = False
        self._due = 0.0
        self._pending = pending
        self._inbox = client.new_inbox()
        self._requests: dict[str, int] = {}
        self._number = 0
        self._arrived: deque[StoredMessage] = deque()
        self._wake = asyncio.Event()
        self._tap: Tap | None = None
        self._failure: str | None = None
        self._now = asyncio.get_running_loop().time
        self._last_sign = self._now()

    async def start(self) -> None:
        """Listen for what comes, and ask for the first messages."""
        self._tap = await tap(self._client, f"{self._inbox}.*", self._on_message)
        await self._refill()

    async def stop(self) -> None:
        """Listen no longer; what was delivered and not taken is forgotten."""
        if self._tap is not None:
            await self._tap.close()

    async def drain(self) -> list[StoredMessage]:
        """Stop, and hand out what was delivered but not taken, what was on its way included."""
        if self._tap is not None:
            await self._tap.drain()
        left = list(self._arrived)
        self._arrived.clear()
        return left

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self._last_sign = now = self._now()
        self._sweeping = False
        if reply:
            message = StoredMessage.of(subject, reply, payload)
            self._pending = message.pending
            self._arrived.append(message)
            self._swept, self._quiet = True, False
            if self._sweeps and now >= self._due:
                self._due = now + self._pace_s  # the first after a quiet time; others are gathered
        else:
            self._on_status(subject, headers)
        self._wake.set()

    def _on_status(self, subject: bytes, headers: bytes) -> None:
        status, description = status_of(headers)
        if status == _IDLE:
            return
        request = subject.decode().rsplit(".", 1)[1]
        self._requests.pop(request, None)
        if status in _ENDED:
            self._quiet = request == _SWEEP and status == _NOTHING_THERE and not self._swept
            return
        if status == _CONFLICT and not any(
            word in description for word in ("Deleted", "Leadership", "Shutdown")
        ):
            return
        self._failure = f"{status} {description}".strip()

    async def _refill(self) -> None:
        outstanding = sum(self._requests.values())
        if not self._pace_s:
            if outstanding < PULL_BATCH:
                await self._ask(PULL_BATCH)
        elif self._pending >= BACKLOG:
            if outstanding < min(PULL_BATCH, self._pending):
                # No more than is there: what comes afterwards would come one by one until all is used up.
                await self._ask(min(PULL_BATCH, self._pending - outstanding))
                self._due = self._now() + self._pace_s / 10  # its end is a part of a backlog, too
        elif outstanding > 0:
            return
        elif self._quiet:
            await self._ask(1)
        elif self._now() >= self._due:
            if self._sweeps:
                await self._sweep()
            else:
                await self._ask(max(SMALL_PULL, self._pending))

    async def _ask(self, wanted: int) -> None:
        self._expect()
        self._number += 1
        self._requests[str(self._number)] = wanted
        await self._client.publish(self._next, _request(wanted), reply=f"{self._inbox}.{self._number}")

    async def _sweep(self) -> None:
        self._expect()
        self._sweeping, self._swept = True, False
        await self._client.publish(self._next, _EVERYTHING, reply=f"{self._inbox}.{_SWEEP}")

    def _expect(self) -> None:
        """A request goes out: the next one is due after the pace, and silence counts from now on."""
        now = self._now()
        self._due = now + self._pace_s
        if not self._asked:
            self._last_sign = now  # who asked for nothing heard nothing

    @property
    def _asked(self) -> bool:
        return self._sweeping or bool(self._requests)

    def hasten(self) -> None:
        """Send the next request without waiting for its pace."""
        self._due = 0.0
        self._wake.set()

    def _pause_s(self, left: float) -> float:
        """How long to wait for a message before the next look, of the ``left`` seconds of a :meth:`take`."""
        until_due = self._due - self._now()
        return min(left, HEARTBEAT_S, until_due) if until_due > 0 else min(left, HEARTBEAT_S)

    async def take(self, most: int, wait_s: float) -> list[StoredMessage]:
        """What has arrived, oldest first; empty after ``wait_s`` seconds of an idle but living stream.

        Raises:
            ReaderLostError: the consumer is gone, or nothing, not even a heartbeat, came for three beats.
        """
        deadline = self._now() + wait_s
        while not self._arrived:
            if self._failure is not None:
                raise ReaderLostError(
                    describe(self._failure, "a living consumer", "it is read again by itself")
                )
            if self._asked and self._now() - self._last_sign > SILENCE_S:
                raise ReaderLostError(
                    describe(
                        f"{SILENCE_S} s of silence", "a heartbeat each second", "it is read again by itself"
                    )
                )
            await self._refill()
            left = deadline - self._now()
            if left <= 0:
                return []
            self._wake.clear()
            # Not `wait_for`: where both come at once, it forgets a cancellation over a message (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(left)):
                    await self._wake.wait()
        taken: list[StoredMessage] = []
        while self._arrived and len(taken) < most:
            self._count_down()
            taken.append(self._arrived.popleft())
        await self._refill()
        return taken

    def _count_down(self) -> None:
        # A delivered message does not name its request; the server serves the oldest one first.
        for number, left in self._requests.items():
            if left > 1:
                self._requests[number] = left - 1
            else:
                del self._requests[number]
            return


@lru_cache(maxsize=64)
def _request(batch: int) -> bytes:
    """The body of a pull request for ``batch`` messages."""
    return json.dumps(
        {
            "batch": batch,
            "max_bytes": PULL_BYTES,
            "expires": int(PULL_EXPIRES_S * NANO),
            "idle_heartbeat": int(HEARTBEAT_S * NANO),
        }
    ).encode()
