"""An endpoint's turn ends with its answer: what is recorded afterwards keeps no other alert waiting."""

import asyncio
from typing import Any

from services.notify.application.delivering import DeliverAlert
from services.notify.application.disabling import DisableEndpoint
from services.notify.application.dispatching import Deliveries, Done, Later
from services.notify.application.judging import OUTAGE_S
from services.notify.application.translation import raised_event
from services.notify.domain.alert import Alert
from services.notify.domain.channels import Endpoint
from services.notify.metrics import NotifyMetrics
from shared.events import AlertDelivered, Envelope, Provenance
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.notify.support import NOW, SetClock, Stream, alert

ADDRESS = "webhook.a"


class Receiver:
    """Plays `Channel`: takes everything at once."""

    name = ADDRESS

    def __init__(self) -> None:
        self.took: list[str] = []

    async def deliver(self, told: Alert) -> str:
        self.took.append(told.alert_id)
        return "HTTP 204"


class SlowStream(Stream):
    """A stream in which nothing that was delivered is stored before the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        if isinstance(envelope.data, AlertDelivered):
            await self.gate.wait()
        return await super().publish(envelope, city=city, county=county)


def endpoint_of(stream: Stream, receiver: Receiver, delays: tuple[float, ...] = (0.1, 5.0)) -> Deliveries:
    clock = SetClock()
    deliver = DeliverAlert(
        receiver, states=stream, publisher=stream, clock=clock, metrics=NotifyMetrics(), retry_delays_s=delays
    )
    return Deliveries(
        Endpoint(ADDRESS, "example.org", "m", delays, concurrency=1),
        deliver,
        states=stream,
        disable=DisableEndpoint(publisher=stream, clock=clock, in_use=lambda: (ADDRESS,)),
    )


async def raised(stream: Stream, number: int) -> Envelope[Any]:
    event = raised_event(alert(number), (ADDRESS,), NOW, rules="sha256:00", provenance=Provenance("r"))
    await stream.publish(event)
    return event


async def test_alerts_go_out_one_after_the_other_while_their_records_are_being_stored() -> None:
    stream, receiver = SlowStream(), Receiver()
    endpoint = endpoint_of(stream, receiver)
    events = [await raised(stream, number) for number in range(5)]
    under_way = [
        asyncio.create_task(endpoint.advance(event, number, delivered=1, age_s=0))
        for number, event in enumerate(events)
    ]
    async with asyncio.timeout(5):
        while len(receiver.took) < len(events):  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0)
    assert not any(task.done() for task in under_way), "none is over before it is recorded"
    stream.gate.set()
    assert await asyncio.gather(*under_way) == [Done()] * len(events)
    assert len(stream.of(AlertDelivered)) == len(events)


async def test_a_success_that_could_not_be_recorded_is_recorded_later_and_not_delivered_again() -> None:
    stream, receiver = Stream(), Receiver()
    endpoint = endpoint_of(stream, receiver)
    event = await raised(stream, 1)

    def away(envelope: Envelope[Any]) -> None:
        raise BrokerUnavailableError(envelope.id)

    stream.fault = away
    assert isinstance(await endpoint.advance(event, 1, delivered=1, age_s=0), Later)
    stream.fault = lambda _: None
    await asyncio.sleep(0.1)
    assert await endpoint.advance(event, 1, delivered=2, age_s=1) == Done()
    assert len(receiver.took) == 1
    (recorded,) = stream.of(AlertDelivered)
    assert recorded.data.attempt == 1


async def test_a_broker_that_is_away_for_the_third_time_is_not_waited_for_as_long_as_a_receiver() -> None:
    stream, receiver = Stream(), Receiver()
    endpoint = endpoint_of(stream, receiver, (1.0, 300.0, 1800.0, 7200.0))
    event = await raised(stream, 1)

    def away(envelope: Envelope[Any]) -> None:
        raise BrokerUnavailableError(envelope.id)

    stream.fault = away
    step = await endpoint.advance(event, 1, delivered=3, age_s=400.0)
    assert step == Later(OUTAGE_S)
