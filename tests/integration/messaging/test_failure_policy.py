"""The failure policy on a real nats-server, in both ways of reading: what becomes of a bad message."""

import asyncio
import itertools
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Self

import pytest
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client
from nats.js.api import AckPolicy as ConsumerAckPolicy
from nats.js.api import ConsumerConfig, ConsumerInfo

from deploy.local.embedded import NatsServer
from shared.events import (
    AlertAcknowledged,
    Envelope,
    MessageDeadLettered,
    Provenance,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.clock import SystemClock
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.connection import BrokerSettings, make_broker
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import DeadLetters, FailureHandling, GiveUp, Retry, decide, failure_policy
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ALERTS, DEADLETTER

pytestmark = pytest.mark.integration

Handler = Callable[[Envelope[AlertAcknowledged]], Awaitable[None]]
SPEC = spec_for_data(AlertAcknowledged)
DURABLE = "policy-under-test"
DELAYS_S = (0.1, 0.3, 0.9)
SECRET = "13800000000"


class Bench(ABC):
    """One reader under the policy; remembers when each event was tried."""

    def __init__(self, url: str, handler: Handler | None = None, *, ack_wait_s: float = 30) -> None:
        self.tries: dict[str, list[float]] = {}
        self._handler = handler
        self._ack_wait_s = ack_wait_s
        self._broker: NatsBroker = make_broker(BrokerSettings(nats_url=url), "policy")

    async def handle(self, event: Envelope[AlertAcknowledged]) -> None:
        self.tries.setdefault(event.id, []).append(time.monotonic())
        if self._handler is not None:
            await self._handler(event)

    async def __aenter__(self) -> Self:
        client = await self._broker.connect()
        await client.jetstream().add_consumer(
            ALERTS,
            ConsumerConfig(
                durable_name=DURABLE,
                ack_policy=ConsumerAckPolicy.EXPLICIT,
                ack_wait=self._ack_wait_s,
                filter_subject="alerts.v1.acknowledged.>",
            ),
        )
        letters = DeadLetters(JetStreamPublisher(client, timeout_s=1), SystemClock(), "test")
        await self.read(client, FailureHandling(letters, DELAYS_S))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broker.stop()

    @abstractmethod
    async def read(self, client: Client, failures: FailureHandling) -> None:
        """Begin to hand every message to ``handle``."""


class SubscriberBench(Bench):
    """A FastStream subscriber with the middleware."""

    async def read(self, client: Client, failures: FailureHandling) -> None:
        async def handle(event: Envelope[AlertAcknowledged]) -> None:
            await self.handle(event)

        del client
        self._broker.add_middleware(failure_policy(failures))
        self._broker.subscriber(
            "alerts.v1.acknowledged.>",
            stream=JStream(ALERTS, declare=False),
            durable=DURABLE,
            pull_sub=PullSub(batch_size=10, timeout=1),
            ack_policy=AckPolicy.MANUAL,
        )(handle)
        await self._broker.start()


class PullLoopBench(Bench):
    """The shared pull loop."""

    async def read(self, client: Client, failures: FailureHandling) -> None:
        async def handle(message: StoredMessage) -> None:
            await self.handle(parse_envelope(Envelope[AlertAcknowledged], message.data))

        self._consumer = DurableConsumer(DurableReader(client, ALERTS, DURABLE), handle, failures)
        self._task = asyncio.create_task(self._consumer.run())

    async def __aexit__(self, *error: object) -> None:
        await self._consumer.drain()
        await self._task
        await super().__aexit__(*error)


@pytest.fixture(params=[SubscriberBench, PullLoopBench], ids=["subscriber", "pull loop"])
def bench_type(request: pytest.FixtureRequest) -> type[Bench]:
    """Whoever reads, the policy is the same."""
    kind: type[Bench] = request.param
    return kind


def event(name: str) -> Envelope[Any]:
    now = datetime.now(UTC)
    return SPEC.wrap(
        AlertAcknowledged(alert_id=name, by="zhang"),
        event_id=name,
        source="notify",
        subject=name,
        time=now,
        received_at=now,
        provenance=Provenance(name),
    )


async def until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.02)


async def send(client: Client, *items: str | bytes) -> None:
    """Store events by name, or raw bodies."""
    for item in items:
        body = item if isinstance(item, bytes) else event(item).to_json()
        await client.jetstream(timeout=5).publish(SPEC.subject_for(), body)


async def consumer(client: Client) -> ConsumerInfo:
    info: ConsumerInfo = await client.jetstream(timeout=5).consumer_info(ALERTS, DURABLE)
    return info


async def letters(client: Client) -> list[Envelope[MessageDeadLettered]]:
    jetstream = client.jetstream(timeout=5)
    last = (await jetstream.stream_info(DEADLETTER)).state.last_seq
    bodies = [(await jetstream.get_msg(DEADLETTER, number)).data or b"" for number in range(1, last + 1)]
    return [parse_envelope(Envelope[MessageDeadLettered], body) for body in bodies]


async def settled(
    client: Client, expected_letters: int, limit_s: float = 60
) -> list[Envelope[MessageDeadLettered]]:
    """The dead letters, once there are that many and the consumer has nothing left to do."""
    deadline = time.monotonic() + limit_s
    while True:
        found = await letters(client)
        info = await consumer(client)
        if len(found) >= expected_letters and (info.num_pending, info.num_ack_pending) == (0, 0):
            return found
        assert time.monotonic() < deadline, f"{len(found)} letters, {info.num_ack_pending} unacknowledged"
        await asyncio.sleep(0.02)


def valid_json_of_another_shape() -> bytes:
    body = json.loads(event("odd").to_json())
    body["data"] = {"alert_id": SECRET, "phone": SECRET, "by": ["not", "text", SECRET]}
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "poison",
    [
        b'{"id": "half',
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        f'{{"phone": "{SECRET}"}}'.encode(),
        valid_json_of_another_shape(),
    ],
    ids=["half JSON", "nothing", "no UTF-8", "a list", "null", "other JSON", "a broken contract"],
)
async def test_poison_becomes_a_dead_letter_at_once_and_the_rest_goes_on(
    client: Client, nats_server: NatsServer, bench_type: type[Bench], poison: bytes
) -> None:
    async with bench_type(nats_server.url) as bench:
        await send(client, "before", poison, "after")
        (letter,) = await settled(client, 1)
    assert set(bench.tries) == {"before", "after"}
    assert (letter.data.consumer, letter.data.stream, letter.data.sequence) == (DURABLE, ALERTS, 2)
    assert (letter.data.attempts, letter.data.payload_size) == (1, len(poison))
    assert SECRET not in letter.to_json().decode(), "a letter never quotes the payload"


async def test_a_permanent_error_is_tried_once_and_says_why(
    client: Client, nats_server: NatsServer, bench_type: type[Bench]
) -> None:
    async def refuse(event: Envelope[AlertAcknowledged]) -> None:
        if event.id == "bad":
            raise PermanentError("Got 9, expected a grade from 1 to 5: correct it.")

    async with bench_type(nats_server.url, refuse) as bench:
        await send(client, "bad", "good")
        (letter,) = await settled(client, 1)
    assert {name: len(tries) for name, tries in bench.tries.items()} == {"bad": 1, "good": 1}
    assert (letter.data.error, letter.data.attempts) == ("PermanentError", 1)
    assert letter.data.reason == "Got 9, expected a grade from 1 to 5: correct it."


async def test_a_transient_error_is_tried_again_after_growing_delays_until_it_works(
    client: Client, nats_server: NatsServer, bench_type: type[Bench]
) -> None:
    failures = 3

    async def stumble(_event: Envelope[AlertAcknowledged]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise TransientError("the receiver is away")

    async with bench_type(nats_server.url, stumble) as bench:
        await send(client, "one")
        assert await settled(client, 0) == []
        await until(lambda: len(bench.tries.get("one", ())) >= 4)
        assert await settled(client, 0) == []
    tries = bench.tries["one"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(gaps) == len(DELAYS_S)
    assert all(gap >= delay * 0.95 for gap, delay in zip(gaps, DELAYS_S, strict=True)), gaps


@pytest.mark.parametrize("error", [TransientError("away"), RuntimeError("a defect")], ids=repr)
async def test_the_last_attempt_becomes_a_dead_letter(
    client: Client, nats_server: NatsServer, bench_type: type[Bench], error: Exception
) -> None:
    async def fail(event: Envelope[AlertAcknowledged]) -> None:
        if event.id == "bad":
            raise error

    async with bench_type(nats_server.url, fail) as bench:
        await send(client, "bad", "good")
        (letter,) = await settled(client, 1)
    assert len(bench.tries["bad"]) == len(DELAYS_S) + 1 == letter.data.attempts
    assert letter.data.error == type(error).__name__
    assert len(bench.tries["good"]) == 1


async def test_a_receiver_that_asks_for_a_longer_pause_gets_it(
    client: Client, nats_server: NatsServer, bench_type: type[Bench]
) -> None:
    asked = [1.2]

    async def busy(_event: Envelope[AlertAcknowledged]) -> None:
        if asked:
            raise TransientError("busy", retry_after_s=asked.pop())

    async with bench_type(nats_server.url, busy) as bench:
        await send(client, "one")
        await until(lambda: len(bench.tries.get("one", ())) >= 2)
        await settled(client, 0)
    first, second = bench.tries["one"]
    assert second - first >= 1.15


async def test_a_message_that_cannot_be_dead_lettered_is_kept_until_the_broker_is_back(
    own_client: Client, own_nats_server: NatsServer, bench_type: type[Bench]
) -> None:
    outages = 1

    async def refuse_after_the_broker_died(_event: Envelope[AlertAcknowledged]) -> None:
        nonlocal outages
        if outages:
            outages -= 1
            own_nats_server.kill()
            await until(lambda: not own_client.is_connected)
        raise PermanentError("refused")

    async with bench_type(own_nats_server.url, refuse_after_the_broker_died, ack_wait_s=2) as bench:
        await send(own_client, "bad")
        await until(lambda: outages == 0)
        await asyncio.sleep(0.3)
        own_nats_server.start()
        await until(lambda: own_client.is_connected)
        (letter,) = await settled(own_client, 1)
    assert letter.data.error == "PermanentError"
    assert len(bench.tries["bad"]) >= 2


@pytest.mark.parametrize(
    ("error", "attempts", "decision"),
    [
        (PermanentError("no"), 1, GiveUp()),
        (TransientError("later"), 1, Retry(0.1)),
        (TransientError("later"), 3, Retry(0.9)),
        (TransientError("later"), 4, GiveUp()),
        (KeyError("defect"), 3, Retry(0.9)),
        (KeyError("defect"), 4, GiveUp()),
        (BrokerUnavailableError("away"), 400, Retry(0.9)),
        (TransientError("later", retry_after_s=60), 1, Retry(60)),
        (TransientError("later", retry_after_s=0.01), 2, Retry(0.3)),
        (TransientError("later", retry_after_s=1e9), 1, Retry(3600.0)),
    ],
)
def test_the_decision_depends_on_kind_and_attempts_alone(
    error: Exception, attempts: int, decision: Retry | GiveUp
) -> None:
    assert decide(error, attempts, DELAYS_S) == decision
