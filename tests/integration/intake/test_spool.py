"""The broker goes away: intake goes on accepting, and afterwards everything is in the stream, once."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local import spools
from deploy.local.embedded import NatsServer
from deploy.local.errors import LocalError
from deploy.local.spools import drain, find_spool, look_into
from services.intake.entrypoints.events import IndexFold
from shared.messaging.group_commit import GroupCommit, Stored
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import FEEDBACK
from tests.integration.intake.conftest import (
    RATING,
    Intake,
    StartIntake,
    eventually,
    make_secrets,
    raw_messages,
    submitted,
)
from tests.integration.intake.test_failures import shorten_window

pytestmark = pytest.mark.integration
LINES = [json.dumps(RATING | {"unit_id": f"U000{300 + n % 200}", "client_ref": f"r{n}"}) for n in range(600)]
"""Of many units: a surge at one would be held, and a withdrawal then find its number taken."""


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert 15 <= int(answer.headers["Retry-After"]) <= 31


async def waiting(intake: Intake) -> int:
    """Messages in its spool."""
    lines = (await intake.http.get("/metrics")).text.splitlines()
    return int(
        float(next(line for line in lines if line.startswith("pingyi_intake_spool_messages ")).split()[1])
    )


async def drained(intake: Intake) -> None:
    """Wait until nothing waits."""

    async def empty() -> bool:
        return await waiting(intake) == 0

    await eventually(empty)
    await intake.wait_ready()


async def test_with_the_broker_away_everything_is_accepted_and_comes_in_order_afterwards(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(own_nats_server) as intake:
        first = await intake.submit(RATING)
        own_nats_server.kill()
        new = await intake.submit(
            RATING | {"client_ref": "new", "text": "很好", "contact": {"phone": "13812345678"}}
        )
        assert (new.status_code, new.json()["duplicate"]) == (202, False)
        assert (await intake.submit({"unit_id": "U000200", "grade": 3})).status_code == 202
        assert (await intake.submit_lines(*LINES)).json()["accepted"] == 600

        # Repeats get their receipt and other content 409, whether it is the stream or the spool that knows.
        assert (await intake.submit(RATING)).json() == first.json() | {"duplicate": True}
        again = await intake.submit(
            RATING | {"client_ref": "new", "text": "很好", "contact": {"phone": "13812345678"}}
        )
        assert again.json() == new.json() | {"duplicate": True}
        assert (await intake.submit(RATING | {"client_ref": "new", "grade": 1})).status_code == 409
        assert (await intake.submit(RATING | {"grade": 1})).status_code == 409
        assert (await intake.submit_lines(*LINES)).json()["duplicate"] == 600
        receipt = new.json()["receipt_code"]
        assert (await intake.http.get(f"/v1/receipts/{receipt}")).json()["status"] == "accepted"

        # A rating that only the spool knows can be revised; one of the stream can't: its fields are there.
        assert (await intake.http.post(f"/v1/receipts/{receipt}/withdrawal")).status_code == 202
        assert (await intake.http.get(f"/v1/receipts/{receipt}")).json()["status"] == "withdrawn"
        answer = await intake.http.post(f"/v1/receipts/{first.json()['receipt_code']}/withdrawal")
        assert_unavailable(answer)

        await asyncio.sleep(1.1)  # the health's cache
        ready = await intake.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["accepting"]["detail"] == "by the spool"
        assert "605 messages wait" in ready.json()["checks"]["spool"]["detail"]
        assert (await intake.http.get("/livez")).status_code == 200

        own_nats_server.start()
        await drained(intake)
        events = await submitted(own_broker)
        assert [event.id for event in events][:2] == [first.json()["event_id"], new.json()["event_id"]]
        assert len(events) == len({event.id for event in events}) == 603
        facts = [subject.split(".")[2] for subject, _ in await raw_messages(own_broker)]
        assert facts.count("withdrawn") == 1
        assert facts.index("withdrawn") > facts.index("submitted", 1)
        assert facts.count("conflicted") == 2
        text = events[1].data.text
        assert text is not None
        assert await intake.vault.open_text(events[1].id, text) == "很好"
        # And from here on as ever.
        assert (await intake.submit(RATING | {"client_ref": "new", "grade": 1})).status_code == 409
        assert (await intake.submit_lines(*LINES)).json()["duplicate"] == 600
        assert (await intake.http.post(f"/v1/receipts/{receipt}/withdrawal")).status_code == 202


async def test_a_batch_during_which_the_broker_dies_is_accepted_whole(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    lines = [json.dumps(RATING | {"client_ref": f"b{n}", "text": "好"}) for n in range(3000)]
    async with start_intake(own_nats_server) as intake:
        request = asyncio.create_task(intake.submit_lines(*lines))

        async def some_are_in() -> bool:
            return (await own_broker.jetstream().stream_info(FEEDBACK)).state.messages > 0

        await eventually(some_are_in)
        own_nats_server.kill()
        assert (await request).json()["accepted"] == 3000
        assert await waiting(intake) > 0
        own_nats_server.start()
        await drained(intake)
        assert (await intake.submit_lines(*lines)).json()["duplicate"] == 3000
        assert len(await submitted(own_broker)) == 3000


async def test_what_the_broker_had_already_is_not_stored_again_beyond_its_window(
    own_broker: Client,
    own_nats_server: NatsServer,
    start_intake: StartIntake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = GroupCommit.publish

    async def answer_lost(commit: GroupCommit, items: list[object]) -> list[Stored]:
        await publish(commit, items)  # type: ignore[arg-type]  # handed on as it came
        raise BrokerUnavailableError("Got 5.0 s without an answer.")

    async with start_intake(own_nats_server) as intake:
        with monkeypatch.context() as patch:
            patch.setattr(GroupCommit, "publish", answer_lost)
            assert (await intake.submit(RATING | {"text": "好"})).status_code == 202
            assert await waiting(intake) == 1
            assert (await intake.submit(RATING | {"text": "好"})).json()["duplicate"] is True
            await shorten_window(own_broker)
            assert (await intake.submit(RATING)).status_code == 409
        await drained(intake)
        (event,) = await submitted(own_broker)
        assert event.data.text is not None
        text = event.data.text
        assert await intake.vault.open_text(event.id, text) == "好"


async def test_another_replica_was_first_meanwhile_and_the_other_content_is_reported(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(own_nats_server, data="a") as one:
        own_nats_server.kill()
        assert (await one.submit(RATING | {"text": "一"})).status_code == 202
        assert (await one.submit(RATING | {"client_ref": "same"})).status_code == 202
    own_nats_server.start()
    async with start_intake(own_nats_server, data="b") as other:
        assert (await other.submit(RATING | {"text": "二"})).status_code == 202
        assert (await other.submit(RATING | {"client_ref": "same"})).status_code == 202
        await shorten_window(own_broker)
    async with start_intake(own_nats_server, data="a") as one:
        await drained(one)
        facts = [subject.split(".")[2] for subject, _ in await raw_messages(own_broker)]
        assert facts == ["submitted", "submitted", "conflicted"]
        metrics = (await one.http.get("/metrics")).text
        assert 'pingyi_intake_spool_drained_messages_total{fate="conflict"} 1.0' in metrics
        assert 'pingyi_intake_spool_drained_messages_total{fate="stored"} 1.0' in metrics


async def test_intake_starts_without_a_broker_knows_what_it_knew_and_accepts(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    assert own_broker.is_connected
    async with start_intake(own_nats_server) as intake:
        first = await intake.submit(RATING)
    own_nats_server.kill()
    async with start_intake(own_nats_server, wait=False, spool_grace_s=5.0) as intake:
        assert (await intake.http.get("/livez")).status_code == 200
        assert (await intake.http.get("/readyz")).status_code == 503, "the broker may be there in a moment"
        assert (await intake.submit(RATING)).json() == first.json() | {"duplicate": True}
        assert (await intake.submit(RATING | {"client_ref": "new"})).status_code == 202
        assert (await intake.submit({"unit_id": "U000200", "grade": 3})).status_code == 202

        async def degraded() -> bool:
            return bool((await intake.http.get("/readyz")).json().get("status") == "degraded")

        await eventually(degraded)
        own_nats_server.start()
        await drained(intake)
    assert len(await submitted(own_broker)) == 3


async def test_a_full_or_broken_spool_answers_503_and_never_202(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    assert own_broker.is_connected
    async with start_intake(own_nats_server, spool_max_bytes=4000) as intake:
        own_nats_server.kill()
        answers = [await intake.submit(RATING | {"client_ref": f"f{n}"}) for n in range(8)]
        codes = [answer.status_code for answer in answers]
        assert codes == sorted(codes)
        assert set(codes) == {202, 503}
        accepted = codes.count(202)
        assert_unavailable(answers[-1])
        assert "Nothing of this request was accepted" in answers[-1].json()["detail"]
        await asyncio.sleep(1.1)
        assert (await intake.http.get("/readyz")).status_code == 503
    file = tmp_path / "intake" / "spool" / "spool.sqlite"
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_bytes()
    file.write_bytes(kept[:100] + os.urandom(len(kept) - 100))
    async with start_intake(own_nats_server, wait=False) as intake:
        assert "pingyi_intake_spool_damaged_files_items 1.0" in (await intake.http.get("/metrics")).text
        assert (await intake.submit(RATING | {"client_ref": "other"})).status_code == 202
        own_nats_server.start()

        async def only_the_file_is_wrong() -> bool:
            checks = (await intake.http.get("/readyz")).json()["checks"]
            return "damaged" in checks["spool"]["detail"] and checks["accepting"]["detail"] == "by the broker"

        await eventually(only_the_file_is_wrong)
    assert accepted > 0
    assert len(await submitted(own_broker)) == 1
    assert len(list(file.parent.glob("spool.sqlite.corrupt-*"))) == 1


async def test_the_spool_of_a_dead_host_is_taken_over_once_and_only_when_nobody_owns_it(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    spool, secrets = tmp_path / "a" / "spool", tmp_path / "secrets"
    async with start_intake(own_nats_server, data="a") as one:
        own_nats_server.kill()
        for n in range(20):
            assert (await one.submit(RATING | {"client_ref": f"d{n}", "text": "好"})).status_code == 202
        state = look_into(find_spool(tmp_path / "a"))
        assert (state.messages, state.kinds, state.owner is None) == (20, {"rating": 20}, False)
        own_nats_server.start()
        with pytest.raises(LocalError, match="nobody owns"):
            await drain(spool, secrets, own_broker)
        own_nats_server.kill()
    shutil.copytree(spool, tmp_path / "copy")
    own_nats_server.start()

    async def connected() -> bool:
        return own_broker.is_connected

    await eventually(connected)
    left_in_one = look_into(spool).messages
    drained = await drain(spool, secrets, own_broker)
    # Killed while intake had just begun to drain: what the broker stored then without saying so is found.
    assert drained.keys() <= {"publish", "stored"}
    assert sum(drained.values()) == left_in_one
    await shorten_window(own_broker)
    assert await drain(tmp_path / "copy", secrets, own_broker) in ({"stored": left_in_one}, {})
    assert look_into(spool).messages == look_into(tmp_path / "copy").messages == 0
    events = await submitted(own_broker)
    assert len(events) == len({event.id for event in events}) == 20
    async with start_intake(own_nats_server, data="b") as other:
        for event in events:
            assert event.data.text is not None
            assert await other.vault.open_text(event.id, event.data.text) == "好"


async def test_draining_ends_although_its_reading_missed_that_it_is_to_end(
    own_broker: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(IndexFold):
        async def _wait_for_gap(self, client: Client) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # as `wait_for` of Python 3.11 does at times
                await asyncio.Event().wait()
            await super()._wait_for_gap(client)

    monkeypatch.setattr(spools, "IndexFold", Forgetful)
    async with asyncio.timeout(20):
        assert await drain(tmp_path / "spool", make_secrets(tmp_path / "secrets"), own_broker) == {}


async def test_draining_without_a_broker_ends_and_says_so(
    own_broker: Client, own_nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "STALLED_S", 0.3)
    own_nats_server.kill()
    async with asyncio.timeout(20):
        with pytest.raises(BrokerUnavailableError, match="without a message at 0"):
            await drain(tmp_path / "spool", make_secrets(tmp_path / "secrets"), own_broker)
    own_nats_server.start()

    async def connected() -> bool:
        return own_broker.is_connected

    await eventually(connected)


async def test_draining_tells_what_ended_the_reading_of_the_stream(
    own_broker: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_fold: IndexFold) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(IndexFold, "run", broken)
    async with asyncio.timeout(20):
        with pytest.raises(KeyError, match="a defect"):
            await drain(tmp_path / "spool", make_secrets(tmp_path / "secrets"), own_broker)


async def test_a_broker_that_hangs_costs_the_first_rating_its_time_limit_and_nobody_else(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    pid = own_nats_server.pid
    assert pid is not None
    async with start_intake(own_nats_server, broker_timeout_s=0.6) as intake:
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            first = await intake.submit(RATING | {"client_ref": "first"})
            waited = time.monotonic() - began
            began = time.monotonic()
            others = [await intake.submit(RATING | {"client_ref": f"o{n}"}) for n in range(20)]
            then = time.monotonic() - began
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {answer.status_code for answer in (first, *others)} == {202}
        assert waited >= 0.5
        assert then < 20 * 0.3, "each of them waited"
        await drained(intake)
    ids = [event.id for event in await submitted(own_broker)]
    assert len(ids) == len(set(ids)) == 21


async def test_a_key_of_one_channel_is_no_key_of_another(intake: Intake, broker: Client) -> None:
    for channel in ("qr", "hotline", "app"):
        for grade, code in ((5, 202), (4, 409)):
            answer = await intake.submit(
                {"unit_id": "U000200", "grade": grade, "channel": channel}, **{"Idempotency-Key": "k-1"}
            )
            assert answer.status_code == code
    assert len(await submitted(broker)) == 3
