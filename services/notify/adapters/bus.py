"""Publishing before, during and after a connection: whoever publishes never holds a client."""

from typing import Any, Final

from nats.aio.client import Client

from shared.events import Envelope
from shared.events.registry import spec_for_type
from shared.kernel.errors import describe
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.streams import ALERTS

PACE_S: Final = 0.25


class BusPublisher:
    """Plays `application.ports.Publisher` and the platform's `EventPublisher`.

    Events of the ALERTS stream share atomic batches, since a burst of bad reviews would otherwise cost one
    fsync for each alert and each delivery; everything else (dead letters) is rare and goes one by one.
    One commit in :data:`PACE_S`: the broker and the disk that they share with intake's ratings work as long
    on a small commit as on a large one, and the promise for an alert is a minute. One alert goes out at once.
    """

    def __init__(self) -> None:
        """Refuse everything until `bind`."""
        self._alerts: GroupCommit | None = None
        self._single: JetStreamPublisher | None = None

    async def bind(self, client: Client) -> None:
        """Publish through `client` from now on; binding again does nothing."""
        if self._alerts is None:
            alerts = GroupCommit(client, stream=ALERTS, pace_s=PACE_S)
            await alerts.start()
            self._alerts, self._single = alerts, JetStreamPublisher(client)

    async def close(self) -> None:
        """Finish what is queued."""
        if self._alerts is not None:
            await self._alerts.stop()

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """See `Publisher.publish`."""
        if self._alerts is None or self._single is None:
            raise BrokerUnavailableError(
                describe("no connection to the broker yet", "one at NATS_URL", "retry; it connects by itself")
            )
        spec = spec_for_type(envelope.type)
        if spec.stream != ALERTS:
            return await self._single.publish(envelope, city=city, county=county)
        message = Outgoing(spec.subject_for(city, county), envelope.id, envelope.to_json())
        (stored,) = await self._alerts.publish([message])
        return stored.sequence
