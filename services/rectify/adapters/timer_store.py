"""Timers as scheduled messages of the broker: it keeps them through any restart and publishes them when due.

``timers.v1.at.<case>.<clock>-<per cent>`` holds the timer; when it is due the broker moves it to
``timers.v1.due.…``. Publishing again on the same subject moves a timer, purging the subject cancels it
(ADR 0038).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.rectify.domain.clocks import ClockName
from services.rectify.domain.timers import Timer
from shared.kernel.clock import rfc3339
from shared.kernel.errors import describe
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import TIMERS

AT: Final = "timers.v1.at."
DUE: Final = "timers.v1.due."
DUE_TTL: Final = "168h"
"""A due message that nobody takes for a week goes; the comparison at the next start makes up for it."""
CHUNK: Final = 500
READ_LIMIT_S: Final = 600.0


class _Body(msgspec.Struct):
    case_id: str
    clock: str
    round: int
    percent: int
    at: datetime


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode


def timer_of(message: StoredMessage) -> Timer:
    """The timer in a message.

    Raises:
        msgspec.MsgspecError: it is none, as all of `UNREADABLE`; ValueError: it names no clock.
    """
    body = _decode(message.data)
    return Timer(body.case_id, ClockName(body.clock), body.round, body.percent, body.at)


class JetStreamTimers:
    """Plays `application.ports.TimerStore`."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """`new_id` names each setting: setting a timer back to a former moment is no repeat."""
        self._new_id = new_id
        self._client: Client | None = None
        self._commit: GroupCommit | None = None

    async def bind(self, client: Client) -> None:
        """Use `client` from now on; binding again does nothing."""
        if self._commit is None:
            commit = GroupCommit(client, stream=TIMERS)
            await commit.start()
            self._commit, self._client = commit, client

    async def close(self) -> None:
        """Finish what is queued."""
        if self._commit is not None:
            await self._commit.stop()

    async def put(self, timers: Sequence[Timer]) -> None:
        """See `TimerStore.put`."""
        if self._commit is None:
            raise _away("no connection")
        for place in range(0, len(timers), CHUNK):
            await self._commit.publish([self._message(timer) for timer in timers[place : place + CHUNK]])

    def _message(self, timer: Timer) -> Outgoing:
        headers = (
            f"Nats-Schedule: @at {rfc3339(timer.at)}\r\n"
            f"Nats-Schedule-Target: {DUE}{timer.key}\r\n"
            f"Nats-Schedule-TTL: {DUE_TTL}\r\n"
        )
        body = {
            "case_id": timer.case_id,
            "clock": timer.clock.value,
            "round": timer.round,
            "percent": timer.percent,
            "at": rfc3339(timer.at),
        }
        return Outgoing(AT + timer.key, self._new_id(), _encode(body), headers=headers.encode())

    async def cancel(self, keys: Sequence[str]) -> None:
        """See `TimerStore.cancel`."""
        for place in range(0, len(keys), CHUNK):
            await asyncio.gather(*(self._purge(AT + key) for key in keys[place : place + CHUNK]))

    async def done(self, sequence: int) -> None:
        """Forget the due messages up to `sequence`; all were handled."""
        await self._purge(f"{DUE}>", sequence + 1)

    async def _purge(self, subject: str, below: int | None = None) -> None:
        if self._client is None:
            raise _away("no connection")
        try:
            await self._client.jetstream(timeout=5).purge_stream(TIMERS, subject=subject, seq=below)
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(subject) from error

    def due(self) -> FoldReader:
        """A reader of the due messages that nobody has handled yet, oldest first."""
        if self._client is None:
            raise _away("no connection")
        return FoldReader(self._client, TIMERS, filters=(f"{DUE}>",))

    async def standing(self) -> Mapping[str, Timer]:
        """See `TimerStore.standing`."""
        if self._client is None:
            raise _away("no connection")
        reader = FoldReader(self._client, TIMERS, filters=(f"{AT}>",))
        found: dict[str, Timer] = {}
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                while not reader.caught_up:
                    for message in await reader.take(wait_s=0.2):
                        timer = timer_of(message)
                        found[timer.key] = timer
        except TimeoutError as error:
            raise _away("all timers") from error
        finally:
            await reader.close()
        return found


def _away(what: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(f"no answer about {what}", "one from TIMERS", "it is tried again"))
