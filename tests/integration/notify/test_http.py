"""The HTTP side on a real broker: lists, single alerts, acknowledgement, health while the broker is away."""

import asyncio

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.notify.domain.alert import alert_id
from services.notify.settings import Settings
from shared.events import AlertAcknowledged
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.integration.notify.support import (
    LI,
    UNIT,
    ZHANG,
    Setup,
    bad_review,
    eventually,
    publish,
    publish_many,
    running,
    score_changed,
    stored,
)
from tests.support.access import proofs

pytestmark = pytest.mark.integration

NO_CURSORS = ("zz", "", "-1", "0x1f", "1_0", "%20f", "f%20", "F", "0", "01", "%EF%BC%91", "1" * 17)


def id_of(number: int) -> str:
    return alert_id("bad_review", bad_review(number).id)


async def count(http: httpx.AsyncClient, **query: str) -> int:
    answer = await http.get("/v1/alerts", params={"limit": "200", **query})
    assert answer.status_code == 200, answer.text
    return len(answer.json()["items"])


async def test_alerts_are_listed_newest_first_in_pages_that_join_without_gap(
    client: Client, setup: Setup
) -> None:
    async with running(setup.app()) as http:
        await publish_many(client, [bad_review(number) for number in range(25)])

        async def all_there() -> bool:
            return await count(http) == 25

        await eventually(all_there, "all alerts are listed")
        seen: list[str] = []
        sequences: list[str] = []
        cursor = None
        while True:
            query = {"limit": "10"} | ({"cursor": cursor} if cursor else {})
            page = (await http.get("/v1/alerts", params=query)).json()
            seen += [item["alert_id"] for item in page["items"]]
            sequences += [item["raised_at"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
    assert len(seen) == 25
    assert set(seen) == {id_of(number) for number in range(25)}
    assert sequences == sorted(sequences, reverse=True)


async def test_filters_choose_by_unit_rule_severity_and_state(client: Client, setup: Setup) -> None:
    async with running(setup.app()) as http:
        await publish(
            client,
            bad_review(1),
            score_changed(),
            score_changed(band="excellent", previous_band="undecided", rank=1),
        )

        async def all_there() -> bool:
            return await count(http) == 3

        await eventually(all_there, "all alerts are listed")
        assert await count(http, unit_id=UNIT) == 3
        assert await count(http, unit_id="U000001") == 0
        assert await count(http, rule="rank_drop") == 1
        assert await count(http, severity="info") == 1
        await http.post(f"/v1/alerts/{id_of(1)}/ack", json={"by": "zhang"}, extensions=ZHANG)
        assert await count(http, state="acknowledged") == 1
        assert await count(http, state="open") == 2
        metrics = (await http.get("/metrics")).text
        assert "pingyi_notify_open_alerts 2.0" in metrics
        assert 'pingyi_notify_alerts_raised_total{rule="bad_review",severity="warning"} 1.0' in metrics


async def test_acknowledging_is_idempotent_for_one_person_and_a_conflict_for_another(
    client: Client, setup: Setup
) -> None:
    async with running(setup.app()) as http:
        await publish(client, bad_review(1))

        async def there() -> bool:
            return await count(http) == 1

        await eventually(there, "the alert is listed")
        path = f"/v1/alerts/{id_of(1)}/ack"
        first = await http.post(
            path,
            json={"by": "zhang", "note": "核实中"},
            extensions={"subject": "zhang"},
            headers={"X-Correlation-Id": "c-1"},
        )
        again = await http.post(path, json={"by": "zhang"}, extensions=ZHANG)
        other = await http.post(path, json={"by": "li"}, extensions=LI)
    assert first.status_code == again.status_code == 200
    assert first.json()["state"] == "acknowledged"
    assert again.json()["acknowledgement"] == first.json()["acknowledgement"]
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert "zhang" in other.json()["detail"]
    (event,) = await stored(client, AlertAcknowledged)
    assert (event.data.by, event.data.note, event.correlationid) == ("zhang", "核实中", "c-1")


async def test_of_two_people_at_once_one_gets_the_alert_and_the_other_learns_who(
    client: Client, setup: Setup
) -> None:
    async with running(setup.app()) as one, running(setup.app()) as two:
        await publish(client, bad_review(1))

        async def there() -> bool:
            return await count(one) == await count(two) == 1

        await eventually(there, "both replicas list the alert")
        path = f"/v1/alerts/{id_of(1)}/ack"
        answers = await asyncio.gather(
            one.post(path, json={"by": "zhang"}, extensions=ZHANG),
            two.post(path, json={"by": "li"}, extensions=LI),
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(await stored(client, AlertAcknowledged)) == 1


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/alerts/nonsense", 404, "alert_id"),
        *((f"/v1/alerts?cursor={cursor}", 422, "cursor") for cursor in NO_CURSORS),
        ("/v1/alerts?rule=rank_dorp", 422, "rule"),
        ("/v1/alerts?limit=0", 422, "query.limit"),
        ("/v1/alerts?state=asleep", 422, "query.state"),
        ("/v1/alerts?severity=loud", 422, "query.severity"),
    ],
)
async def test_a_wrong_request_is_told_the_field_and_the_remedy(
    setup: Setup, path: str, status: int, field: str
) -> None:
    async with running(setup.app()) as http:
        answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert all(error["remedy"] for error in answer.json()["errors"])


async def test_acknowledging_an_unknown_alert_is_not_found(setup: Setup) -> None:
    async with running(setup.app()) as http:
        answer = await http.post(f"/v1/alerts/{id_of(1)}/ack", json={"by": "zhang"}, extensions=ZHANG)
    assert answer.status_code == 404


async def test_the_service_lives_without_a_broker_and_becomes_ready_by_itself(
    own_nats_server: NatsServer, setup: Setup
) -> None:
    own_nats_server.kill()
    app = Setup(own_nats_server.url, setup.secrets_dir).app()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://notify", auth=proofs()
        ) as http,
    ):
        assert (await http.get("/livez")).status_code == 200
        unready = await http.get("/readyz")
        assert unready.status_code == 503
        assert set(unready.json()["checks"]) == {"nats", "alerts", "consumers", "ratings", "access"}
        listing = await http.get("/v1/alerts")
        assert listing.status_code == 503
        assert int(listing.headers["retry-after"]) >= 1

        own_nats_server.start()
        await asyncio.sleep(1.5)
        assert (await http.get("/readyz")).status_code == 503, "nothing is provisioned yet"
        client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
        await provision(client)

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually(ready, "it is ready once provisioned")
        await publish(client, bad_review(1))

        async def there() -> bool:
            return await count(http) == 1

        await eventually(there, "the alert is listed")
        own_nats_server.kill()
        assert (await http.get(f"/v1/alerts/{id_of(1)}")).status_code == 200, "reading needs no broker"
        assert (
            await http.post(f"/v1/alerts/{id_of(1)}/ack", json={"by": "zhang"}, extensions=ZHANG)
        ).status_code == 503
        own_nats_server.start()
        await eventually(ready, "it is ready again")

        async def acknowledged() -> bool:
            answer = await http.post(f"/v1/alerts/{id_of(1)}/ack", json={"by": "zhang"}, extensions=ZHANG)
            return answer.status_code == 200

        await eventually(acknowledged, "acknowledging works again")
        await publish(client, bad_review(2))

        async def both() -> bool:
            return await count(http) == 2

        await eventually(both, "events are consumed again")
        await client.close()


def test_a_missing_key_stops_the_service_at_start_with_the_remedy(setup: Setup) -> None:
    (setup.secrets_dir / "webhook.key").unlink()
    with pytest.raises(Exception, match="openssl rand -hex 32"):
        setup.app(webhook_url="https://example.org/alerts")
    assert isinstance(setup.settings(), Settings)
