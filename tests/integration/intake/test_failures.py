"""What intake does when the broker, its file or the process goes away."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.messaging.streams import FEEDBACK, VAULT
from tests.integration.intake.conftest import RATING, Intake, StartIntake, eventually, raw_messages, submitted

pytestmark = pytest.mark.integration
LINES = [json.dumps(RATING | {"client_ref": f"r{n}"}) for n in range(600)]


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
