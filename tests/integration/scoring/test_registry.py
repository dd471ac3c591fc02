"""A registry that is loaded while scoring runs, on a real broker: it leaves, and gives nothing up before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from deploy.local.embedded import NatsServer
from services.scoring.application.fold import Message
from services.scoring.entrypoints.registry import (
    RegistryAwareClerk,
    RegistryOutdatedError,
    RegistryWatch,
)
from shared.events import EventData
from shared.events.units import RegistryLoaded, ResponsibilityAssigned, UnitRegistered, UnitState
from shared.kernel.errors import TransientError
from shared.kernel.units import load_units
from shared.messaging.connection import BrokerSettings
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.registry import units_at_start
from shared.messaging.stored import StoredMessage
from shared.testing.builders import envelope_of

pytestmark = pytest.mark.integration
UNITS = load_units()
BESIDE = UNITS.get("U000112")
PLACE: dict[str, Any] = {"load_id": "load", "city": BESIDE.city, "county": BESIDE.county}
NEW = UnitState(
    unit_id="U009001", name="第二婚姻登记处", level=BESIDE.level, kind=BESIDE.kind, division=BESIDE.division,
    city=BESIDE.city, county=BESIDE.county, parent_id=BESIDE.parent_id, valid_from="2026-01-01",
)  # fmt: skip
MESSAGE = StoredMessage("feedback.v1.submitted.3601.360102", b"{}", "FEEDBACK", 7, 7, 1, 0, 0, "")
LIMIT_S = 30.0


class Letters:
    """Plays `DeadLetterClerk`."""

    def __init__(self) -> None:
        self.filed: list[int] = []

    async def file(self, message: Message, error: BaseException) -> None:
        del error
        self.filed.append(message.sequence)


async def load(client: Client, number: int, part: EventData) -> None:
    """Store a load of one change, as intake does."""
    publisher = JetStreamPublisher(client)
    loaded = RegistryLoaded(
        load_id="load", number=number, changes=1, units_hash=f"sha256:{'0' * 64}", decided_by="province-admin"
    )
    for data in (part, loaded):
        envelope: Any = envelope_of(data)
        city = getattr(data, "city", "all")
        await publisher.publish(envelope, city=city, county=getattr(data, "county", "all"))


@asynccontextmanager
async def watching(client: Client, left: list[str]) -> AsyncIterator[tuple[RegistryAwareClerk, Letters]]:
    watch, letters = RegistryWatch(UNITS, left.append), Letters()
    task = asyncio.create_task(watch.run(client))
    try:
        yield RegistryAwareClerk(letters, watch), letters
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def filed(clerk: RegistryAwareClerk) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await clerk.file(MESSAGE, ValueError())
            except TransientError:
                await asyncio.sleep(0.02)


async def test_another_table_of_units_ends_the_process_before_anything_is_given_up(
    client: Client, nats_server: NatsServer
) -> None:
    left: list[str] = []
    async with watching(client, left) as (clerk, letters):
        await filed(clerk)
        assert letters.filed == [7]
        await load(client, 1, UnitRegistered(unit=NEW, **PLACE))
        with pytest.raises(RegistryOutdatedError):
            await clerk.file(MESSAGE, ValueError())
        async with asyncio.timeout(LIMIT_S):
            while not left:  # noqa: ASYNC110 - it tells nobody else
                await asyncio.sleep(0.02)
        with pytest.raises(RegistryOutdatedError):
            await clerk.file(MESSAGE, ValueError())
    assert left == ["registry 1 was loaded: started anew with it"]
    assert letters.filed == [7]
    found = await units_at_start(BrokerSettings(nats_url=nats_server.url), "test", None)
    assert found.get("U009001").name == NEW.name


async def test_people_who_answer_for_a_unit_are_no_reason_to_leave(client: Client) -> None:
    left: list[str] = []
    async with watching(client, left) as (clerk, letters):
        head = ResponsibilityAssigned(
            unit_id=BESIDE.unit_id, role="head", person="person-1", valid_from="2026-01-01", **PLACE
        )
        await load(client, 1, head)
        await filed(clerk)
    assert (left, letters.filed) == ([], [7])


async def test_without_a_broker_a_start_takes_the_table_that_it_has() -> None:
    found = await units_at_start(BrokerSettings(nats_url="nats://127.0.0.1:1"), "test", None)
    assert tuple(found) == tuple(UNITS)


async def test_a_broker_that_says_nothing_of_the_registry_is_asked_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> StreamInfo:
        raise NatsTimeoutError  # what a client says of a frozen broker after five seconds

    async with watching(client, []) as (clerk, letters):
        await filed(clerk)
        with monkeypatch.context() as frozen:
            frozen.setattr(JetStreamContext, "stream_info", silent)
            with pytest.raises(BrokerUnavailableError):
                await clerk.file(MESSAGE, ValueError())
        await filed(clerk)
    assert letters.filed == [MESSAGE.sequence, MESSAGE.sequence]
