"""The feedback stream as screening reads it: looks at ratings, decides, and leaves acting to others.

Runs in the service's own process or in one beside it (ADR 0064): it needs the broker, the rules and the file
of its state, and nothing else of intake.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.application.ports import Rules
from services.intake.domain.looks import NOTHING, Look
from services.intake.domain.screening import Hold, Release, Screen
from services.intake.domain.screening_seen import Seen
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK
from shared.observability.logging import get_logger
from shared.rules.screening import Screening

RETRY_S: Final = 1.0
TAKE: Final = 1000
WAIT_S: Final = 0.5
PACE_S: Final = 0.2
"""How often ratings are fetched while they keep coming: a hold may come that much later."""
SNAPSHOT_S: Final = 60.0

_log = get_logger(component="screening")


class ReadsRatings(Protocol):
    """Role: reads messages as far as screening looks at them; `adapters.screened` plays it."""

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


class Watch:
    """Folds the stream, a look at a time; plays `entrypoints.screening.Looks`."""

    def __init__(
        self,
        *,
        client: Callable[[], Awaitable[Client]],
        reads: ReadsRatings,
        kept: KeptScreen,
        rules: Rules,
        clock: Clock,
    ) -> None:
        """Fold what comes through `client`."""
        self._client = client
        self._reads = reads
        self._kept = kept
        self._rules = rules
        self._clock = clock
        self._stream = ""
        self._screen: Screen | None = None
        self._reading: tuple[FoldReader, Screen] | None = None
        self._position = 0
        self._anew = False
        self._settled = True
        self._saved_at = 0.0

    async def look(self, *, settled: bool) -> Look:
        """Look at what came since the last look, through outages: nothing, if there is no broker.

        A stream that went back or is new is screened anew.

        Args:
            settled: all that was decided so far is carried out, so that the state may be kept.
        """
        self._settled = settled
        try:
            return await self._look()
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
        await self._close()
        return NOTHING

    @property
    def settled(self) -> bool:
        """Whether all that was decided is known to be carried out."""
        return self._settled

    async def stop(self, *, settled: bool) -> None:
        """Keep the state, if all that was decided is carried out."""
        await self._close()
        if settled and self._screen is not None and self._stream:
            await asyncio.to_thread(self._kept.save, self._stream, self._screen)

    async def _look(self) -> Look:
        self._keep()
        reader, screen = self._reading or await self._open()
        messages = await reader.take(TAKE, wait_s=WAIT_S)
        screen = self._screen = screen.under(self._rules.at(self._clock.now()).intake.screening)
        self._reading = reader, screen
        steps = self._fold(screen, messages)
        self._position = screen.position = max(self._position, reader.position)
        to_hold = {each.sequence for each in steps if isinstance(each, Hold)}
        ratings = {each.sequence: each.data for each in messages if each.sequence in to_hold}
        anew, self._anew = self._anew, False
        self._settled = self._settled and not steps
        return Look(len(messages), max(0, reader.pending), steps, ratings, anew)

    async def _open(self) -> tuple[FoldReader, Screen]:
        client = await self._client()
        info = await client.jetstream(timeout=5).stream_info(FEEDBACK)
        stream = str(info.created)
        screen = self._screen
        if screen is None or stream != self._stream:
            rules = self._rules.at(self._clock.now()).intake.screening
            kept = await asyncio.to_thread(self._kept.load, stream, rules)
            if kept is None or kept.position > info.state.last_seq:  # of before the stream went back
                kept = Screen(rules)
            screen = self._screen = kept
            self._stream, self._position, self._anew = stream, screen.position, True
            _log.info("screening_opened", position=self._position, fingerprints=len(screen))
        if info.state.last_seq < self._position:
            raise HistoryChangedError(f"{FEEDBACK} ends at {info.state.last_seq}, before {self._position}")
        # No filters: nearly all are ratings, and looking for two subjects would cost the broker more.
        reader = FoldReader(client, FEEDBACK, after=self._position, pace_s=PACE_S)
        self._reading = reader, screen
        return self._reading

    def _fold(self, screen: Screen, messages: Sequence[StoredMessage]) -> list[Hold | Release | str]:
        steps: list[Hold | Release | str] = []
        for message in messages:
            seen = self._reads.seen(message.data, message.sequence)
            if seen is not None:
                steps += screen.look_at(seen)
            elif (held := self._reads.held(message.data)) is not None:
                steps.append(held)
        return steps

    async def _close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading[0].close()

    def _keep(self) -> None:
        """Keep the state now and then, never with a decision in it that is not carried out."""
        now = asyncio.get_running_loop().time()
        if not self._settled or self._screen is None or not self._stream:
            return
        if now - self._saved_at < SNAPSHOT_S:
            return
        self._saved_at = now
        # Here and not in a thread: the state must not move on meanwhile.
        self._kept.save(self._stream, self._screen)
