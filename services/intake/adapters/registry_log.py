"""The stream REGISTRY: publishing its events one by one, and knowing when one's own fold has them."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from nats.aio.client import Client

from services.intake.adapters.jetstream_log import not_connected
from shared.events import Envelope
from shared.kernel.errors import TransientError, describe
from shared.messaging.publisher import JetStreamPublisher

T = TypeVar("T")
FOLDED_WITHIN_S: Final = 5.0


class FoldBehindError(TransientError):
    """The event is stored, and this process does not hold it yet; or it hasn't read the stream to its end."""


class JetStreamRegistryLog:
    """Plays `ports.RegistryLog`; whoever folds the stream says how far it has come."""

    def __init__(self) -> None:
        """Refuse everything until it is connected."""
        self._publisher: JetStreamPublisher | None = None
        self._position = 0
        self._ready = False
        self._moved = asyncio.Event()

    async def connect(self, client: Client) -> None:
        """Publish through `client`; a repeated call replaces the earlier connection."""
        self._publisher = JetStreamPublisher(client)

    @property
    def position(self) -> int:
        """Everything up to this sequence is in the books."""
        return self._position

    def folded(self, position: int, *, caught_up: bool) -> None:
        """The books hold everything up to `position`; `caught_up`: the end of the stream was reached."""
        self._position = position
        self._ready = self._ready or caught_up
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def behind(self) -> None:
        """The books start anew."""
        self._position, self._ready = 0, False

    def require_ready(self) -> None:
        """See `ports.RegistryLog.require_ready`."""
        if not self._ready:
            raise FoldBehindError(
                describe(
                    f"books at {self._position} of REGISTRY",
                    "books that have caught up",
                    "retry; /readyz says when they have",
                )
            )

    def ready(self, book: T) -> Callable[[], T]:
        """Gives `book` to who asks, and raises while it is not to be relied on."""

        def give() -> T:
            self.require_ready()
            return book

        return give

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """See `ports.RegistryLog.publish`."""
        if self._publisher is None:
            raise not_connected()
        sequence = await self._publisher.publish(envelope, city=city, county=county)
        try:
            async with asyncio.timeout(FOLDED_WITHIN_S):
                while self._position < sequence:
                    await self._moved.wait()
        except TimeoutError as error:
            raise FoldBehindError(
                describe(f"books at {self._position}", f"books at {sequence}", "send the same request again")
            ) from error
        return sequence
