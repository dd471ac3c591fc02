"""Spot checks and incidents as REGISTRY has them, found by place and id."""

from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from shared.events import Envelope, InvalidEventError, parse_envelope, spec_for_data
from shared.events.supervision import IncidentRecorded, InspectionRecorded
from shared.kernel.errors import describe
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import REGISTRY

SPECS: Final = {
    "inspection": spec_for_data(InspectionRecorded),
    "incident": spec_for_data(IncidentRecorded),
}
REQUEST_S: Final = 5.0


class JetStreamFindings:
    """Plays `application.ports.RecordedFindings`."""

    def __init__(self) -> None:
        """Start without a connection."""
        self._client: Client | None = None

    def bind(self, client: Client) -> None:
        """Use `client` from now on."""
        self._client = client

    async def find(self, family: str, finding_id: str, city: str, county: str) -> Envelope[Any] | None:
        """See `RecordedFindings.find`: goes through those of one county, of which there are few."""
        if self._client is None:
            raise _away(finding_id)
        jetstream = self._client.jetstream(timeout=REQUEST_S)
        spec = SPECS[family]
        subject, sequence = spec.subject_for(city, county), 1
        try:
            while True:
                raw = await jetstream.get_msg(REGISTRY, seq=sequence, subject=subject, direct=True, next=True)
                event = _event(spec.envelope, raw.data or b"")
                if event is not None and event.id == finding_id:
                    return event
                sequence = (raw.seq or sequence) + 1
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as error:
            raise _away(finding_id) from error


def _event(model: type[Envelope[Any]], body: bytes) -> Envelope[Any] | None:
    try:
        return parse_envelope(model, body)
    except InvalidEventError:
        return None


def _away(finding_id: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe(f"no answer about {finding_id}", "one from REGISTRY", "it is asked again")
    )
