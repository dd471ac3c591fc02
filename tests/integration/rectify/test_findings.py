"""Findings of supervision on the real broker: one case each, in order, through a restart."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client

from services.rectify.domain.opening import case_id_of_finding
from services.rectify.entrypoints.events import FINDINGS_DURABLE
from services.rectify.entrypoints.outstanding import JetStreamOutstanding
from shared.events import Envelope
from shared.events.supervision import FindingVerified, IncidentRecorded, InspectionRecorded, VisitRecorded
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.reading import DurableReader
from shared.messaging.streams import REGISTRY
from shared.testing.builders import CITY, COUNTY, UNIT, envelope_of
from shared.testing.clock import FixedClock
from shared.testing.registry_builders import example_of

pytestmark = pytest.mark.integration
PLACE = {"unit_id": UNIT, "city": CITY, "county": COUNTY}


async def publish(client: Client, clock: FixedClock, data: Any) -> Envelope[Any]:  # noqa: ANN401 - an event's data
    event = envelope_of(data, time=clock.now())
    await JetStreamPublisher(client).publish(event, city=CITY, county=COUNTY)
    return event


def inspection(finding: str) -> InspectionRecorded:
    return example_of(InspectionRecorded, **PLACE, finding=finding, verification="reported")


def decided(finding: Envelope[Any], family: str, verification: str) -> FindingVerified:
    return example_of(
        FindingVerified, **PLACE, finding_id=finding.id, finding=family, revision=1, verification=verification
    )


async def test_findings_open_one_case_each_also_those_that_a_killed_rectify_had_been_given(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(datetime.now(UTC))
    for _ in range(3):  # what nobody waits for, in between
        await publish(client, clock, example_of(VisitRecorded, city=CITY, county=COUNTY))
    given = [await publish(client, clock, inspection(finding)) for finding in ("none", "serious")]
    killed = DurableReader(client, REGISTRY, FINDINGS_DURABLE)
    while not await killed.take(wait_s=0.2):
        pass
    await killed.close()
    promised = example_of(IncidentRecorded, **PLACE, verification="reported")
    incident = await publish(client, clock, promised.model_copy(update={"kind": "broken_promise"}))
    await publish(client, clock, example_of(VisitRecorded, city=CITY, county=COUNTY))
    outstanding = JetStreamOutstanding(client, REGISTRY, FINDINGS_DURABLE)
    assert [each.sequence for each in await outstanding.before(7)] == [4, 5, 6]
    async with make_office(clock) as office:
        case_id = case_id_of_finding(given[1].id)
        case = await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        assert (case["origin"], case["ref"]) == ("inspection", given[1].id)
        by_hand = await office.http.post(
            "/v1/cases",
            json={"unit_id": UNIT, "origin": "inspection", "ref": given[1].id, "reason": "同一抽查"},
            headers={"Idempotency-Key": "k1"},
        )
        assert by_hand.json()["case_id"] == case_id, "one finding, one case"
        await publish(client, clock, decided(incident, "incident", "verified"))
        await publish(client, clock, decided(given[1], "inspection", "refuted"))
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "annulled")
        promise = case_id_of_finding(incident.id)
        await office.until(f"/v1/cases/{promise}", lambda case: case["origin"] == "incident")
        listed = (await office.http.get("/v1/cases")).json()["items"]
        assert {each["case_id"] for each in listed} == {case_id, promise}
