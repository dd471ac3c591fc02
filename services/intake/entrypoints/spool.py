"""What runs beside the requests: noticing that the broker is gone, and draining the spool when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, Protocol

from services.intake.application.draining import Drainer
from services.intake.application.spooling import SpoolUnavailableError
from services.intake.domain.circuit import Circuit
from shared.kernel.errors import TransientError, describe
from shared.messaging.group_commit import PublishOverloadedError
from shared.observability.logging import get_logger

WATCH_S: Final = 0.05
"""How soon a lost connection is noticed by requests that wait for their acknowledgements."""
RETRY_S: Final = 0.5
IDLE_S: Final = 0.1
BUSY_S: Final = 0.02
"""Pause of the drainer when live ratings fill the queue: they go first."""

_log = get_logger(component="spool")


class Broken(Protocol):
    """Role: something that waits for acknowledgements."""

    def abandon(self) -> None:
        """Stop waiting for those that are outstanding."""
        ...


class WatchedSpool(Protocol):
    """Role: a spool as operators see it."""

    @property
    def depth(self) -> int:
        """Messages that wait."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why it can't be used; None if it can."""
        ...

    @property
    def set_aside_messages(self) -> int:
        """Messages for a person to look at."""
        ...

    @property
    def damaged_files(self) -> int:
        """Files for a person to look at."""
        ...

    def oldest_age_s(self) -> float:
        """Seconds that the oldest message has waited."""
        ...


async def watch_broker(connected: Callable[[], bool], circuit: Circuit, waiting: tuple[Broken, ...]) -> None:
    """Open the circuit when the connection is lost, and free who waits, until cancelled.

    Without it, each request under way would wait for the time limit of a round trip before it is spooled.
    """
    before, trips = False, circuit.trips
    while True:
        now = connected()
        if before and not now:
            circuit.trip()
        if circuit.trips != trips or (before and not now):
            trips = circuit.trips
            _log.warning("broker_circuit_open", connected=now)
            for each in waiting:
                each.abandon()
        before = now
        await asyncio.sleep(WATCH_S)


class DrainLoop:
    """Tries the broker while the circuit is open, and drains whatever waits."""

    def __init__(
        self,
        drainer: Drainer,
        spool: WatchedSpool,
        *,
        circuit: Circuit,
        connected: Callable[[], bool],
        index_ready: Callable[[], bool],
        probe: Callable[[], Awaitable[object]],
        per_second: int,
    ) -> None:
        """Drain at most `per_second` messages; `probe` asks the broker something where nothing waits.

        Args:
            drainer: makes one step.
            spool: what is drained.
            circuit: closed by a step or a probe that came through.
            connected: whether there is a connection.
            index_ready: whether the index knows the whole stream, without which no step is safe.
            probe: raises a `TransientError` where the broker does not answer.
            per_second: bound, so that live ratings, the broker and its readers keep up.
        """
        self._drainer = drainer
        self._spool = spool
        self._circuit = circuit
        self._connected = connected
        self._index_ready = index_ready
        self._probe = probe
        self._per_second = per_second

    async def run(self) -> None:
        """Drain until cancelled, through outages."""
        while True:
            pause_s = await self._turn()
            await asyncio.sleep(pause_s)

    async def _turn(self) -> float:
        """One step, if there is one to make; seconds until the next turn."""
        if not self._connected() or not self._index_ready():
            return IDLE_S
        began = monotonic()
        try:
            if not self._spool.depth:
                await self._try_broker()
                return IDLE_S
            moved = await self._step()
        except PublishOverloadedError:
            return BUSY_S
        except TransientError as error:
            self._circuit.trip()
            _log.warning("spool_drain_retries", reason=str(error), delay_s=RETRY_S)
            return RETRY_S
        if moved is None:
            return RETRY_S
        if not self._spool.depth:
            _log.info("spool_drained")
        return max(0.0, moved / self._per_second - (monotonic() - began))

    async def _step(self) -> int | None:
        """How many messages left the spool; None if it can't be read, or can't forget.

        That is its own trouble, a full disk say: live ratings need no more than a broker that answers.
        """
        try:
            return await self._drainer.step()
        except SpoolUnavailableError as error:
            _log.warning("spool_not_drained", reason=str(error), delay_s=RETRY_S)
        await self._try_broker()
        return None

    async def _try_broker(self) -> None:
        if not self._circuit.closed:
            await self._probe()
            self._circuit.close()
            _log.info("broker_circuit_closed")


class SpoolHealth:
    """The two checks that the spool adds to ``/readyz``."""

    def __init__(
        self,
        spool: WatchedSpool,
        circuit: Circuit,
        index_ready: Callable[[], bool],
        *,
        grace_s: float,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """Give broker and index `grace_s` seconds after the start before ratings are taken without them."""
        self._spool = spool
        self._circuit = circuit
        self._index_ready = index_ready
        self._until = now() + grace_s
        self._now = now
        self._was_live = False

    async def accepting(self) -> str:
        """Required: ratings can be made durable, at the broker or here.

        Raises:
            TransientError: they can't; or the process has just started, and the broker may be there yet.
        """
        if self._circuit.closed and self._index_ready():
            self._was_live = True
            return "by the broker"
        if self._spool.trouble is not None:
            # In few words: readiness shows the ends of a long sentence, and the reason would be its middle.
            raise TransientError(f"no broker; spool: {self._spool.trouble}")
        if not self._was_live and self._now() < self._until:
            raise TransientError(describe("a start", "broker and index to come up", "wait some seconds"))
        return "by the spool"

    async def empty(self) -> str:
        """Not required: nothing waits in the spool, and nothing there needs a person.

        Raises:
            TransientError: something does.
        """
        spool = self._spool
        said = [spool.trouble] if spool.trouble is not None else []
        if spool.depth:
            said.append(f"{spool.depth} messages wait, the oldest for {spool.oldest_age_s():.0f} s")
        if spool.set_aside_messages:
            said.append(f"{spool.set_aside_messages} messages set aside, see `pingyi spool show`")
        if spool.damaged_files:
            said.append(f"{spool.damaged_files} damaged files set aside, see the runbook")
        if said:
            raise TransientError("; ".join(said))
        return "empty"
