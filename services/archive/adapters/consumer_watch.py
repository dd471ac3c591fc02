"""Watches the archive's consumers: whether they exist and how far behind they are."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.metrics import ArchiveMetrics
from shared.kernel.errors import TransientError, describe

INTERVAL_S: Final = 2.0
RETRY_S: Final = 0.2
"""Pause while a consumer does not answer: at a start the first question comes before the connection."""


class ConsumerMissingError(TransientError):
    """A consumer does not answer; nothing of its stream is archived."""


class LagTooGreatError(TransientError):
    """The archive is further behind than the limit."""


class ConsumerWatch:
    """Asks the broker every `INTERVAL_S` and remembers the answers for ``/readyz`` and ``/metrics``."""

    def __init__(
        self, source: JetStreamSource, metrics: ArchiveMetrics, streams: Sequence[str], lag_limit: int
    ) -> None:
        """Watch the consumers on ``streams``; a lag above ``lag_limit`` messages is reported."""
        self._source = source
        self._metrics = metrics
        self._streams = tuple(streams)
        self._lag_limit = lag_limit
        self._lags: dict[str, int] = {}
        self._failures: dict[str, str] = dict.fromkeys(self._streams, "not asked yet")

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            for stream in self._streams:
                await self._ask(stream)
            await asyncio.sleep(RETRY_S if self._failures else INTERVAL_S)

    async def _ask(self, stream: str) -> None:
        try:
            info = await self._source.consumer(stream)
        except TransientError as error:
            self._failures[stream] = str(error)
            return
        self._failures.pop(stream, None)
        lag = (info.num_pending or 0) + (info.num_ack_pending or 0)
        self._lags[stream] = lag
        self._metrics.lag.labels(stream).set(lag)

    def check(self, stream: str) -> Callable[[], Awaitable[str | None]]:
        """The health check of one consumer."""

        async def check_consumer() -> str:
            failure = self._failures.get(stream)
            if failure is not None:
                raise ConsumerMissingError(
                    describe(
                        failure, f"the archive's consumer on {stream}", "run `python -m deploy.provision`"
                    )
                )
            return f"{self._lags.get(stream, 0)} messages behind"

        return check_consumer

    async def check_lag(self) -> str:
        """The health check of the lag of all streams.

        Raises:
            LagTooGreatError: more than the limit.
        """
        lag = sum(self._lags.values())
        if lag > self._lag_limit:
            raise LagTooGreatError(
                describe(
                    f"{lag} messages behind",
                    f"at most {self._lag_limit}",
                    "it catches up by itself; see pingyi_archive_write_seconds if it does not",
                )
            )
        return f"{lag} messages behind"
