"""One rating under two names, a client_ref and an Idempotency-Key: whichever route and order they come by."""

import json
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from tests.integration.intake.conftest import RATING, Intake, StartIntake, eventually, submitted

pytestmark = pytest.mark.integration

BARE: dict[str, Any] = {name: value for name, value in RATING.items() if name != "client_ref"}


async def line(intake: Intake, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await intake.submit_lines(json.dumps(body), **headers)
    found: dict[str, Any] = answer.json()["results"][0]
    return found


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


def fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 409
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("batch_first", [False, True])
async def test_a_client_ref_is_one_rating_by_either_route_with_a_key_or_without(
    intake: Intake, broker: Client, *, batch_first: bool
) -> None:
    if batch_first:
        first, single = await line(intake, RATING), (await intake.submit(RATING, **key("k"))).json()
    else:
        single, first = (await intake.submit(RATING, **key("k"))).json(), await line(intake, RATING)
    assert (single["event_id"], single["receipt_code"]) == (first["event_id"], first["receipt_code"])
    again = [await line(intake, RATING, **key("other")), (await intake.submit(RATING)).json()]
    assert {each["receipt_code"] for each in again} == {single["receipt_code"]}
    assert len(await submitted(broker)) == 1


async def test_a_rating_with_both_is_found_by_either_and_other_content_is_refused(
    intake: Intake, broker: Client
) -> None:
    both = (await intake.submit(RATING, **key("k"))).json()
    assert (await intake.submit(RATING, **key("k"))).json()["receipt_code"] == both["receipt_code"]
    assert fields(await intake.submit(RATING | {"grade": 1})) == ["client_ref"]
    assert fields(await intake.submit(BARE, **key("k"))) == ["Idempotency-Key"], "it named no client_ref"
    assert fields(await intake.submit(RATING | {"client_ref": "ref-2"}, **key("k"))) == ["Idempotency-Key"]
    assert (await line(intake, RATING | {"grade": 1}))["status"] == "conflict"
    assert len(await submitted(broker)) == 1


async def test_a_key_that_came_alone_is_not_taken_over_by_a_rating_with_both(
    intake: Intake, broker: Client
) -> None:
    assert (await intake.submit(BARE, **key("k"))).status_code == 202
    assert fields(await intake.submit(RATING, **key("k"))) == ["Idempotency-Key"]
    assert (await line(intake, RATING))["status"] == "accepted"
    assert fields(await intake.submit(RATING, **key("k"))) == ["Idempotency-Key"], (
        "the ref's own, the key's not"
    )
    assert len(await submitted(broker)) == 2


async def test_another_replica_and_a_new_index_know_a_rating_by_both(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="one") as one:
        both = (await one.submit(RATING, **key("k"))).json()
    async with start_intake(nats_server, data="two") as two:
        await two.wait_ready()
        assert fields(await two.submit(BARE, **key("k"))) == ["Idempotency-Key"]
        assert (await line(two, RATING))["receipt_code"] == both["receipt_code"]
    assert len(await submitted(broker)) == 1


async def test_of_two_that_wait_in_the_spool_under_one_key_the_first_counts(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(own_nats_server) as intake:
        assert (await intake.submit(RATING | {"client_ref": "before"})).status_code == 202
        own_nats_server.kill()
        assert (await intake.submit(RATING, **key("k"))).status_code == 202
        await intake.submit(RATING | {"client_ref": "ref-2"}, **key("k"))
        own_nats_server.start()

        async def drained() -> bool:
            return (
                len(await submitted(own_broker)) >= 2
                and (await intake.http.get("/readyz")).json()["status"] == "ok"
            )

        await eventually(drained)
        refs = [event.id for event in await submitted(own_broker)]
        assert len(refs) == 2
        assert refs[1] == (await line(intake, RATING))["event_id"]
