"""The feedback stream, screened: what looks stuffed is held within seconds of being accepted.

Every replica folds the stream; the one that leads carries out what the fold decides, the others remember it
until they see it in the stream. What is decided twice all the same is done once (`application.holding`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.application.holding import Holder
from services.intake.application.ports import Rules
from services.intake.domain.screening import Hold, Release, Screen
from services.intake.domain.screening_seen import Seen
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.reading import FoldReader, HistoryChangedError, StoredMessage
from shared.messaging.streams import FEEDBACK
from shared.observability.logging import get_logger
from shared.rules.screening import Screening

RETRY_S: Final = 1.0
TAKE: Final = 1000
SNAPSHOT_S: Final = 60.0

_log = get_logger(component="screening")


class ReadsRatings(Protocol):
    """Role: reads messages as far as screening looks at them; `adapters.screened` plays it."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What is read."""
        ...

    def seen(self, data: bytes, sequence: int) -> Seen | None:
        """The rating in a message; None if it is none."""
        ...

    def held(self, data: bytes) -> str | None:
        """The rating that a message holds; None if it holds none."""
        ...


class KeptScreen(Protocol):
    """Role: keeps the fold's state over a restart; `adapters.screen_file` plays it."""

    def load(self, stream: str, rules: Screening) -> Screen | None:
        """The state folded from a stream; None if there is none."""
        ...

    def save(self, stream: str, screen: Screen) -> None:
        """Keep the state."""
        ...


class ScreeningMetrics(Protocol):
    """Role: shows screening to operators."""

    def screened(self, ratings: int, lag: int) -> None:
        """So many ratings were looked at, and so many messages are still to come."""
        ...

    def screening_decided(self, decided: Sequence[Hold | Release]) -> None:
        """These were carried out."""
        ...

    def screening_pending(self, ratings: int) -> None:
        """So many decisions are not carried out yet."""
        ...


class ScreeningFold:
    """Keeps screening at the end of the stream."""

    def __init__(  # noqa: PLR0913 - one for each role, keyword-only
        self,
        *,
        client: Callable[[], Awaitable[Client]],
        reads: ReadsRatings,
        holder: Holder,
        kept: KeptScreen,
        rules: Rules,
        clock: Clock,
        leads: Callable[[], bool],
        metrics: ScreeningMetrics,
    ) -> None:
        """Fold what comes through `client`; `holder` carries out what follows while this replica leads."""
        self._client = client
        self._reads = reads
        self._holder = holder
        self._kept = kept
        self._rules = rules
        self._clock = clock
        self._leads = leads
        self._metrics = metrics
        self._stream = ""
        self._screen: Screen | None = None
        self._position = 0
        self._pending: dict[str, Hold | Release] = {}
        self._saved_at = 0.0

    async def run(self) -> None:
        """Screen until cancelled, through outages; a stream that went back or is new is screened anew."""
        while True:
            try:
                await self._read(await self._client())
            except HistoryChangedError as error:
                _log.warning("screening_starts_anew", reason=str(error))
                self._stream = ""
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                _log.warning("screening_retries", reason=repr(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            except PermanentError as error:
                # No rule pack of today, say: ratings are refused for the same reason, and nothing is lost.
                _log.error("screening_stands_still", reason=str(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Keep the state, once `run` was cancelled."""
        if self._screen is not None and self._stream and not self._pending:
            await asyncio.to_thread(self._kept.save, self._stream, self._screen)

    async def _read(self, client: Client) -> None:
        info = await client.jetstream(timeout=5).stream_info(FEEDBACK)
        screen = await self._opened(str(info.created))
        if info.state.last_seq < self._position:
            raise HistoryChangedError(f"{FEEDBACK} ends at {info.state.last_seq}, before {self._position}")
        reader = FoldReader(client, FEEDBACK, filters=self._reads.subjects, after=self._position)
        try:
            while True:
                messages = await reader.take(TAKE, wait_s=0.5)
                screen = self._screen = screen.under(self._rules.at(self._clock.now()).intake.screening)
                self._fold(screen, messages)
                self._position = screen.position = max(self._position, reader.position)
                self._metrics.screened(len(messages), max(0, reader.pending))
                await self._carry_out({message.sequence: message.data for message in messages})
                await self._save(screen)
        finally:
            await reader.close()

    async def _opened(self, stream: str) -> Screen:
        if self._screen is not None and stream == self._stream:
            return self._screen
        rules = self._rules.at(self._clock.now()).intake.screening
        screen = await asyncio.to_thread(self._kept.load, stream, rules) or Screen(rules)
        self._stream, self._screen, self._position, self._pending = stream, screen, screen.position, {}
        _log.info("screening_opened", position=self._position, fingerprints=len(screen))
        return screen

    def _fold(self, screen: Screen, messages: Sequence[StoredMessage]) -> None:
        for message in messages:
            seen = self._reads.seen(message.data, message.sequence)
            if seen is None:
                held = self._reads.held(message.data)
                if held is not None and isinstance(self._pending.get(held), Hold):
                    del self._pending[held]  # the leader did it
                continue
            for each in screen.look_at(seen):
                earlier = self._pending.get(each.event_id)
                if isinstance(earlier, Hold) and isinstance(each, Release):
                    del self._pending[each.event_id]  # thought better of before it was done
                else:
                    self._pending[each.event_id] = each

    async def _carry_out(self, messages: dict[int, bytes]) -> None:
        self._metrics.screening_pending(len(self._pending))
        if not self._pending or not self._leads():
            return
        decided = list(self._pending.values())
        self._metrics.screening_decided(await self._holder.carry_out(decided, messages))
        for each in decided:
            self._pending.pop(each.event_id, None)
        self._metrics.screening_pending(len(self._pending))

    async def _save(self, screen: Screen) -> None:
        """Keep the state now and then, never with a decision in it that is not carried out."""
        now = asyncio.get_running_loop().time()
        if self._pending or now - self._saved_at < SNAPSHOT_S:
            return
        self._saved_at = now
        # Here and not in a thread: the state must not move on meanwhile.
        self._kept.save(self._stream, screen)
