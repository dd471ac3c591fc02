"""What screening decides, carried out: what looks stuffed is held within seconds of being accepted.

Every replica looks at the stream; the one that leads carries out what is decided, the others remember it
until they see it in the stream. What is decided twice all the same is done once (`application.holding`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.application.errors import ScreenerGoneError
from services.intake.application.holding import Holder
from services.intake.domain.looks import Look
from services.intake.domain.screening import Hold, Release
from shared.kernel.errors import PermanentError, TransientError
from shared.observability.logging import get_logger

RETRY_S: Final = 1.0

_log = get_logger(component="screening")


class Looks(Protocol):
    """Role: looks at the stream; `watching.Watch` plays it, or a process that runs one."""

    async def look(self, *, settled: bool) -> Look:
        """What was decided about what came since the last look, which may be nothing.

        Args:
            settled: all that was decided so far is carried out, so that the state may be kept.

        Raises:
            ScreenerGoneError: the process that looks is gone; somebody else has to look.
        """
        ...

    async def stop(self, *, settled: bool) -> None:
        """Look no longer; keep the state, if `settled`."""
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

    def screened_by(self, processes: int) -> None:
        """So many processes beside this one look at the stream; at 0 it does so itself."""
        ...


class ScreeningFold:
    """Keeps screening at the end of the stream."""

    def __init__(
        self,
        *,
        looks: Looks,
        apart: Looks | None,
        holder: Holder,
        leads: Callable[[], bool],
        metrics: ScreeningMetrics,
    ) -> None:
        """`apart` looks while it lives, then `looks`; `holder` carries out while this replica leads."""
        self._looks = looks
        self._apart = apart
        self._holder = holder
        self._leads = leads
        self._metrics = metrics
        self._pending: dict[str, Hold | Release] = {}

    async def run(self) -> None:
        """Screen until cancelled, through outages."""
        self._metrics.screened_by(0 if self._apart is None else 1)
        while True:
            look = await self._look()
            self._take(look)
            try:
                await self._carry_out(look.ratings)
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                _log.warning("screening_retries", reason=repr(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            except PermanentError as error:
                _log.error("screening_stands_still", reason=str(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Let the state be kept, once `run` was cancelled."""
        await (self._apart or self._looks).stop(settled=not self._pending)

    async def _look(self) -> Look:
        settled = not self._pending
        if self._apart is None:
            return await self._looks.look(settled=settled)
        try:
            return await self._apart.look(settled=settled)
        except ScreenerGoneError as error:
            # Slower for those who send ratings, and nothing else: it goes on from the state that was kept.
            _log.error("screening_goes_on_in_this_process", reason=str(error))
            self._apart = None
            self._metrics.screened_by(0)
            return await self._looks.look(settled=settled)

    def _take(self, look: Look) -> None:
        self._metrics.screened(look.messages, look.lag)
        if look.anew:
            self._pending.clear()
        for each in look.steps:
            if isinstance(each, str):
                if isinstance(self._pending.get(each), Hold):
                    del self._pending[each]  # the leader did it
                continue
            earlier = self._pending.get(each.event_id)
            if isinstance(earlier, Hold) and isinstance(each, Release):
                del self._pending[each.event_id]  # thought better of before it was done
            else:
                self._pending[each.event_id] = each

    async def _carry_out(self, ratings: Mapping[int, bytes]) -> None:
        self._metrics.screening_pending(len(self._pending))
        if not self._pending or not self._leads():
            return
        decided = list(self._pending.values())
        self._metrics.screening_decided(await self._holder.carry_out(decided, ratings))
        for each in decided:
            self._pending.pop(each.event_id, None)
        self._metrics.screening_pending(len(self._pending))
