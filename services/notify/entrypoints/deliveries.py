"""Alerts on their way out: one loop for each channel, hundreds of alerts side by side (ADR 0039).

A loop never waits for a receiver: an alert whose turn has not come goes back to the broker for a while, and
the next ones are looked at. What is in memory is bounded by `UNDER_WAY`, whatever waits in the stream.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog
from nats.aio.client import Client

from services.notify.application.dispatching import DispatchAlert, Later
from services.notify.domain.channels import kind_of
from services.notify.entrypoints.events import PACE_S, context_of
from shared.events import AlertRaised, InvalidEventError, parse_envelope, spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError
from shared.messaging.failure import DeadLetters, FailedMessage
from shared.messaging.reading import ACK, TERM, DurableReader, nak
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.streams import ALERTS

log = structlog.get_logger(__name__)

UNDER_WAY: Final = 1000
"""Most alerts of a channel in memory."""
TAKE_MESSAGES: Final = 500
TAKE_WAIT_S: Final = 0.2
FULL_WAIT_S: Final = 0.02
DRAIN_S: Final = 3.5
"""Time for attempts under way to end at a stop; below what a supervisor leaves."""
ENDED_KEPT: Final = 20_000
"""Alerts with an end of which a second copy, handed out meanwhile, is recognised."""
UNWRITTEN_S: Final = 1.0
"""Pause after which a dead letter that could not be written is tried again."""


def delivery_durable(kind: str) -> str:
    """Return the durable consumer of a channel."""
    return f"notify-deliver-{kind}"


def delivery_loop(
    client: Client, kind: str, dispatch: DispatchAlert, letters: DeadLetters, clock: Clock
) -> "DeliveryLoop":
    """Return the loop of the channel `kind`."""
    reader = DurableReader(client, ALERTS, delivery_durable(kind), pace_s=PACE_S)
    return DeliveryLoop(reader, dispatch, letters, clock)


def hasten(loops: Mapping[str, "DeliveryLoop"], addresses: Iterable[str]) -> None:
    """Let the loops of these channels fetch without waiting for their pace: an alert has come for them."""
    for kind in {kind_of(address) for address in addresses}:
        if kind in loops:
            loops[kind].hasten()


class DeliveryLoop:
    """Reads the alerts of one channel and brings each a step further, until it has an end everywhere.

    At least once: an alert is acknowledged after what became of it is recorded. A copy that the broker hands
    out while the alert is under way, or just after, is told apart by its place in the stream.
    """

    def __init__(
        self, reader: DurableReader, dispatch: DispatchAlert, letters: DeadLetters, clock: Clock
    ) -> None:
        """Bring what `reader` has to `dispatch`; what is given up gets a dead letter."""
        self._reader = reader
        self._dispatch = dispatch
        self._letters = letters
        self._clock = clock
        self._model = spec_for_data(AlertRaised).envelope
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._newest: dict[int, StoredMessage] = {}
        self._ended: OrderedDict[int, bytes] = OrderedDict()
        self._answers: list[tuple[StoredMessage, bytes]] = []
        self._draining = False
        self._finished: asyncio.Event | None = None

    async def run(self) -> None:
        """Deliver until cancelled or drained, through outages of the broker; once."""
        self._finished = asyncio.Event()
        try:
            while not self._draining:
                room = UNDER_WAY - len(self._under_way)
                if room > 0:
                    wait_s = TAKE_WAIT_S if not self._answers else FULL_WAIT_S
                    for message in await self._reader.take(min(room, TAKE_MESSAGES), wait_s):
                        self._begin(message)
                else:
                    await asyncio.sleep(FULL_WAIT_S)
                await self._flush()
            await self._stop()
        finally:
            for task in self._under_way.values():
                task.cancel()
            await self._reader.close()
            self._finished.set()

    def hasten(self) -> None:
        """Fetch what has come, now."""
        self._reader.hasten()

    async def drain(self) -> None:
        """Let attempts under way end, for a while, and give all else back; nothing if it does not run."""
        self._draining = True
        if self._finished is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), DRAIN_S + 0.5)

    async def _stop(self) -> None:
        left = await self._reader.drain()
        self._answers += [(message, nak()) for message in left if message.sequence not in self._under_way]
        if self._under_way:
            _, slow = await asyncio.wait(self._under_way.values(), timeout=DRAIN_S)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        self._answers += [(message, nak()) for message in self._newest.values()]
        await self._flush()

    async def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            await self._reader.answer(answers)

    def _begin(self, message: StoredMessage) -> None:
        sequence = message.sequence
        if sequence in self._ended:
            self._answers.append((message, self._ended[sequence]))
            return
        self._newest[sequence] = message  # the copy handed out last is the one that an answer counts for
        if sequence not in self._under_way:
            self._under_way[sequence] = asyncio.create_task(self._advance(message))

    async def _advance(self, message: StoredMessage) -> None:
        sequence = message.sequence
        try:
            word = await self._word(message)
        except Exception:
            log.exception("delivery_defect", sequence=sequence)
            word = nak(UNWRITTEN_S)
        finally:
            del self._under_way[sequence]
        self._answers.append((self._newest.pop(sequence), word))
        if word in (ACK, TERM):
            self._ended[sequence] = word
            if len(self._ended) > ENDED_KEPT:
                self._ended.popitem(last=False)

    async def _word(self, message: StoredMessage) -> bytes:
        """Bring the alert a step further; what to tell the broker."""
        try:
            event = parse_envelope(self._model, message.data)
        except InvalidEventError as error:
            return await self._bury(message, error)
        stored_at = datetime.fromtimestamp(message.published_ns / NANO, UTC)
        age_s = (self._clock.now() - stored_at).total_seconds()
        with context_of(event):
            step = await self._dispatch(event, message.sequence, delivered=message.delivered, age_s=age_s)
            if isinstance(step, Later):
                return nak(step.delay_s)
            return ACK if step.failure is None else await self._bury(message, step.failure)

    async def _bury(self, message: StoredMessage, error: Exception) -> bytes:
        failed = FailedMessage(
            self._reader.durable,
            message.stream,
            message.sequence,
            message.subject,
            message.data,
            message.delivered,
        )
        try:
            await self._letters.write(failed, error)
        except TransientError:
            return nak(UNWRITTEN_S)
        return TERM
