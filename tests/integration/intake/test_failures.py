"""What intake does when the broker, its file or the process goes away."""

import asyncio
import json
import sqlite3
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.messaging.group_commit import GroupCommit, Stored
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import FEEDBACK, VAULT
from tests.integration.intake.conftest import RATING, Intake, StartIntake, eventually, raw_messages, submitted

pytestmark = pytest.mark.integration
LINES = [json.dumps(RATING | {"client_ref": f"r{n}"}) for n in range(600)]


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert 15 <= int(answer.headers["Retry-After"]) <= 31


async def test_with_the_broker_away_nothing_is_accepted_and_afterwards_everything_works(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(own_nats_server) as intake:
        first = await intake.submit(RATING)
        own_nats_server.kill()
        assert_unavailable(await intake.submit(RATING | {"client_ref": "new"}))
        assert_unavailable(await intake.submit({"unit_id": "U000200", "grade": 3}))
        assert_unavailable(await intake.submit_lines(*LINES))
        assert (await intake.http.get("/livez")).status_code == 200
        await asyncio.sleep(1.1)  # the health's cache
        ready = await intake.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["nats"]["status"] == "failed"
        # What is known needs no broker: a repeat gets its receipt.
        assert (await intake.submit(RATING)).json() == first.json() | {"duplicate": True}
        own_nats_server.start()
        await intake.wait_ready(after_outage=True)
        assert (await intake.submit(RATING | {"client_ref": "new"})).status_code == 202
        again = (await intake.submit_lines(*LINES)).json()
        assert again["accepted"] + again["duplicate"] == 600
        assert len(await submitted(own_broker)) == 602


async def test_a_batch_during_which_the_broker_dies_is_repeated_safely(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    lines = [json.dumps(RATING | {"client_ref": f"b{n}", "text": "好"}) for n in range(6000)]
    async with start_intake(own_nats_server) as intake:
        request = asyncio.create_task(intake.submit_lines(*lines))

        async def some_are_in() -> bool:
            return (await own_broker.jetstream().stream_info(FEEDBACK)).state.messages > 0

        await eventually(some_are_in)
        own_nats_server.kill()
        answer = await request
        assert_unavailable(answer)
        assert "same batch again" in answer.json()["detail"]
        own_nats_server.start()
        await intake.wait_ready(after_outage=True)
        again = (await intake.submit_lines(*lines)).json()
        assert again["accepted"] + again["duplicate"] == 6000
        assert again["duplicate"] > 0
        state = (await own_broker.jetstream().stream_info(FEEDBACK)).state
        assert state.messages == 6000


async def test_a_rating_whose_acknowledgement_did_not_come_may_have_been_accepted(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_commit: GroupCommit, _items: object) -> list[Stored]:
        raise BrokerUnavailableError("Got 5.0 s without an answer.")

    monkeypatch.setattr(GroupCommit, "publish", silent)
    assert_unavailable(answer := await intake.submit(RATING))
    detail = answer.json()["detail"]
    assert "may or may not have been accepted" in detail
    assert "with the same Idempotency-Key (or client_ref)" in detail
    assert "without one, a repeat counts twice" in detail
    assert "Nothing" not in detail


async def test_intake_starts_without_a_broker_and_becomes_ready_by_itself(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    assert own_broker.is_connected
    own_nats_server.kill()
    async with start_intake(own_nats_server, wait=False) as intake:
        assert (await intake.http.get("/livez")).status_code == 200
        assert (await intake.http.get("/readyz")).status_code == 503
        for body in (RATING, {"unit_id": "U000200", "grade": 3}):  # no index, no connection
            assert_unavailable(answer := await intake.submit(body))
            assert "Nothing of this request was accepted" in answer.json()["detail"]
        assert (await intake.http.get("/v1/units/U000200")).status_code == 200
        own_nats_server.start()
        await intake.wait_ready(after_outage=True)
        assert (await intake.submit(RATING)).status_code == 202


@pytest.mark.parametrize("damage", ["none", "lost", "garbage", "page", "foreign"])
async def test_a_repeat_is_recognised_after_a_restart_whatever_happened_to_the_file(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path, damage: str
) -> None:
    lines = [json.dumps(RATING | {"client_ref": f"r{n}"}) for n in range(2000)]
    async with start_intake(nats_server) as intake:
        first = (await intake.submit_lines(*lines)).json()
    await shorten_window(broker)
    file = tmp_path / "intake" / "index.sqlite"
    assert file.stat().st_size > 100_000
    if damage == "lost":
        file.unlink()
    elif damage == "garbage":
        file.write_bytes(b"this is no database" * 1000)
    elif damage == "page":
        content = bytearray(file.read_bytes())
        content[8192:-4096] = b"\xaa" * (len(content) - 12288)
        file.write_bytes(content)
    elif damage == "foreign":
        with sqlite3.connect(file) as database:
            database.execute("UPDATE meta SET value = 'another' WHERE name = 'stream'")
            database.execute("DELETE FROM accepted")
        database.close()
    async with start_intake(nats_server) as intake:
        again = await intake.submit_lines(*lines)
        if again.status_code == 503:  # the damage shows only when a page is read
            await intake.wait_ready()
            again = await intake.submit_lines(*lines)
        assert again.json()["duplicate"] == 2000
        assert [each["receipt_code"] for each in again.json()["results"]] == [
            each["receipt_code"] for each in first["results"]
        ]
        assert (await intake.submit(RATING | {"client_ref": "r7", "grade": 1})).status_code == 409
    assert len(await submitted(broker)) == 2000


async def shorten_window(broker: Client) -> None:
    """Let the broker forget all message ids, so that only the index can recognise a repeat."""
    jetstream = broker.jetstream()
    config = (await jetstream.stream_info(FEEDBACK)).config
    await jetstream.update_stream(config.evolve(duplicate_window=0.1))
    await asyncio.sleep(0.4)


async def test_two_replicas_agree_on_who_was_first(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="a") as one, start_intake(nats_server, data="b") as other:
        first = await one.submit(RATING | {"text": "一"})
        again = await other.submit(RATING | {"text": "一"})
        assert again.json() == first.json() | {"duplicate": True}
        assert (await other.submit(RATING | {"text": "二"})).status_code == 409
        answers = await asyncio.gather(
            *(
                replica.submit(RATING | {"client_ref": f"race-{n}", "text": "快"})
                for n in range(50)
                for replica in (one, other)
            )
        )
        assert {answer.status_code for answer in answers} == {202}
        for n in range(50):
            pair = answers[2 * n : 2 * n + 2]
            assert pair[0].json()["receipt_code"] == pair[1].json()["receipt_code"]
            assert sorted(answer.json()["duplicate"] for answer in pair) == [False, True]
        events = await submitted(broker)
        assert len(events) == 51
        records = {event.data.text.record for event in events if event.data.text is not None}
        assert await vault_records(broker) == records, "a replica that lost the race erases its own record"

        # What the other replica accepted is known here soon, also beyond the broker's window.
        code = answers[0].json()["receipt_code"]

        async def known(replica: Intake) -> bool:
            return (await replica.http.get(f"/v1/receipts/{code}")).status_code == 200

        await eventually(lambda: known(one))
        await eventually(lambda: known(other))


async def vault_records(broker: Client) -> set[str]:
    state = (await broker.jetstream().stream_info(VAULT, subjects_filter="vault.v1.>")).state
    return {subject.rsplit(".", 1)[1] for subject in (state.subjects or {})}


async def test_a_message_that_is_no_rating_does_not_stop_the_index(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    jetstream = broker.jetstream()
    for body in (b"{", b"", b"\xff\xfe", b'{"type":"cn.pingyi.feedback.submitted.v1"}'):
        await jetstream.publish("feedback.v1.submitted.3601.360121", body)
    async with start_intake(nats_server) as intake:
        assert (await intake.submit(RATING)).status_code == 202
        assert (await intake.submit(RATING)).json()["duplicate"] is True
        metrics = (await intake.http.get("/metrics")).text
        assert "pingyi_intake_index_skipped_messages_total 4.0" in metrics


async def test_a_stream_that_was_made_anew_starts_the_index_anew(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        await intake.submit(RATING)
    jetstream = broker.jetstream()
    config = (await jetstream.stream_info(FEEDBACK)).config
    await jetstream.delete_stream(FEEDBACK)
    await jetstream.add_stream(config)
    async with start_intake(nats_server) as intake:
        assert (await intake.submit(RATING)).json()["duplicate"] is False
    assert len(await raw_messages(broker)) == 1


async def test_a_full_queue_answers_503_at_once(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, max_queued=100) as intake:
        answer = await intake.submit_lines(*LINES[:500])
        assert answer.status_code == 503
        assert 2 <= int(answer.headers["Retry-After"]) <= 5
        assert await submitted(broker) == []
