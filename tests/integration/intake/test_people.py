"""People's data on a real broker: erased for good, read by two people only, under keys that change."""

import json
from datetime import date
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from deploy.local.key_rotation import add_pseudonym_key, add_vault_key, remove_vault_key
from services.intake.adapters.vault import JetStreamVault, record_subject
from shared.auth.principals import Scope
from shared.kernel.errors import NotFoundError
from shared.messaging.provisioner import provision
from shared.messaging.streams import AUDIT, VAULT
from tests.integration.intake.conftest import (
    RATING,
    Intake,
    StartIntake,
    eventually,
    raw_messages,
    submitted,
)
from tests.support.access import as_staff

PHONE, NAME, TEXT = "13912345678", "欧阳建国", "窗口没有人，等了一个上午"
WITH_PERSON = RATING | {"text": TEXT, "contact": {"name": NAME, "phone": PHONE}}
# U000200 is a window; what it answers to comes from the registry.
OFFICER, SECOND = "county-handler", "city-supervisor"


async def facts(broker: Client) -> list[dict[str, Any]]:
    """Everything in AUDIT: fact and data."""
    found = []
    for subject, data in await raw_messages(broker, AUDIT):
        found.append({"fact": subject.split(".")[2], **json.loads(data)["data"]})
    return found


def on_disk(server: NatsServer, needle: bytes) -> list[str]:
    """Files of the broker that hold `needle`."""
    return [path.name for path in server.data.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def accepted(intake: Intake, ref: str = "ref-1", **more: object) -> dict[str, Any]:
    answer = await intake.submit(WITH_PERSON | {"client_ref": ref} | more)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def post(
    intake: Intake,
    path: str,
    body: object = None,
    by: str = OFFICER,
    region: str = "360000",
    **headers: str,
) -> httpx.Response:
    """Ask as this account there: who supervises unmasks, who administers does all else."""
    duty = "supervisor" if "unmasking" in path else "admin"
    headers |= as_staff(f"{Scope.parse(region).tier}.{duty}", region, by)
    return await intake.http.post(path, json=body, headers=headers)


@pytest.mark.parametrize("way", ["receipt", "event", "record"])
async def test_an_erased_text_and_contact_are_nowhere_and_a_second_time_is_the_same(
    way: str, broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        rating = await accepted(intake)
        (event,) = await submitted(broker)
        assert event.data.text is not None
        record = event.data.text.record
        path = {
            "receipt": f"/v1/receipts/{rating['receipt_code'].lower()}/erasure",
            "event": f"/v1/feedback/{rating['event_id']}/erasure",
            "record": f"/v1/vault/{record}/erasure",
        }[way]
        stored = (await raw_messages(broker, VAULT))[0][1]
        sealed = json.loads(stored)["sealed"].encode()
        assert on_disk(nats_server, sealed)

        first = await post(intake, path, {"reason": "purpose_fulfilled"})
        again = await post(intake, path)
        assert (first.status_code, first.json()) == (
            200, {"erased": True, "record": record, "again": False},
        )  # fmt: skip
        assert again.json() == {"erased": True, "record": record, "again": True}
        assert not on_disk(nats_server, sealed), "the broker overwrites what it deletes"
        with pytest.raises(NotFoundError):
            await intake.vault.open_text(event.id, event.data.text)
        with pytest.raises(NotFoundError):
            await intake.vault.open_contact(event.id, record)
        (fact,) = await facts(broker)
        assert (fact["fact"], fact["record"], fact["reason"]) == (
            "identity-erased", record, "purpose_fulfilled",
        )  # fmt: skip
        assert fact.get("erased_by") == (None if way == "receipt" else "county-handler")
        assert fact.get("target_id") == (None if way == "record" else rating["event_id"])
        assert (await intake.http.get(f"/v1/receipts/{rating['receipt_code']}")).json()[
            "status"
        ] == "accepted"


async def test_a_rating_without_text_and_contact_has_nothing_to_erase(intake: Intake, broker: Client) -> None:
    code = (await intake.submit(RATING)).json()["receipt_code"]
    answer = await post(intake, f"/v1/receipts/{code}/erasure")
    assert answer.json() == {"erased": False, "record": None, "again": False}
    assert await facts(broker) == []


async def test_two_people_may_read_and_every_step_is_told_without_a_word_of_it(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        rating = await accepted(intake)
        asked = await post(
            intake,
            f"/v1/feedback/{rating['event_id']}/unmaskings",
            {"reason": "call_back", "parts": ["contact", "text"]},
        )
        assert asked.status_code == 202, asked.text
        path = f"/v1/unmaskings/{asked.json()['request_id']}"

        early = await post(intake, f"{path}/disclosure")
        own = await post(intake, f"{path}/approval")
        assert (early.status_code, own.status_code) == (409, 403)
        approved = await post(intake, f"{path}/approval", by=SECOND)
        assert (approved.status_code, approved.json()["state"]) == (202, "approved")
        assert (await post(intake, f"{path}/refusal", by=SECOND)).status_code == 409
        assert (await post(intake, f"{path}/disclosure", by=SECOND)).status_code == 403

        before = len(await facts(broker))
        shown = await post(intake, f"{path}/disclosure")
        assert shown.status_code == 200
        assert shown.headers["cache-control"] == "no-store"
        assert shown.json()["text"] == TEXT
        assert (shown.json()["contact"]["name"], shown.json()["contact"]["phone"]) == (NAME, PHONE)
        told = await facts(broker)
        assert len(told) == before + 1
        assert [each["fact"] for each in told] == [
            "unmasking-requested", "unmasking-decided", "identity-unmasked",
        ]  # fmt: skip
        assert (told[2]["shown_to"], told[2]["approved_by"]) == ("county-handler", "city-supervisor")
        assert not any(word in json.dumps(told, ensure_ascii=False) for word in (PHONE, NAME, TEXT))
        metrics = (await intake.http.get("/metrics")).text
        assert 'pingyi_intake_unmask_refusals_total{why="same_person"} 1.0' in metrics

        await post(intake, f"/v1/receipts/{rating['receipt_code']}/erasure")
        assert (await post(intake, f"{path}/disclosure")).status_code == 404
    async with start_intake(nats_server, data="another") as other:
        state = await other.http.get(path, headers=as_staff("province.supervisor", "360000", OFFICER))
        assert (state.json()["state"], state.json()["shown"]) == ("approved", 2)


async def test_the_rated_unit_is_refused_and_whoever_is_elsewhere_sees_no_such_rating(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        rating = await accepted(intake)
        path = f"/v1/feedback/{rating['event_id']}/unmaskings"
        body = {"reason": "case", "parts": ["text"]}
        elsewhere = "360700" if (await submitted(broker))[0].data.city != "3607" else "360100"
        for region, status in (("U000200", 403), (elsewhere, 404)):
            refused = await post(intake, path, body, region=region)
            assert refused.status_code == status
            erased = await post(intake, path.replace("unmaskings", "erasure"), region=region)
            assert erased.status_code == status
        assert await facts(broker) == []
        metrics = (await intake.http.get("/metrics")).text
        assert 'pingyi_intake_unmask_refusals_total{why="out_of_scope"} 2.0' in metrics
        claimed = {"X-Pingyi-Actor": OFFICER, "X-Pingyi-Scope": "province", "Authorization": "Basic YTpi"}
        nobody = await intake.http.post(path, json=body, headers=claimed)
        assert nobody.status_code == 401, "headers that nobody proves open nothing"


async def passed(intake: Intake, newest: str) -> dict[str, Any]:
    """What intake says of the vault once it has gone through it under the key `newest`."""

    async def done() -> bool:
        state = (await intake.http.get("/v1/vault")).json()
        return state["newest"] == newest and state["passed_at"] is not None

    await eventually(done)
    state: dict[str, Any] = (await intake.http.get("/v1/vault")).json()
    return state


async def test_a_new_vault_key_is_taken_up_while_running_and_the_old_one_can_go(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, key_look_s=0.1) as intake:
        for number in range(5):
            await accepted(intake, f"old-{number}")
        secrets, old = intake.settings.secrets_dir, "kek-test"
        erased = (await submitted(broker))[0]
        stored = [data for _, data in await raw_messages(broker, VAULT)]
        newest = add_vault_key(secrets, date(2026, 11, 26)).newest.key_id
        state = await passed(intake, newest)
        assert state["records"] == {newest: 5}
        assert state["removable"] == [old]
        assert not any(on_disk(nats_server, json.loads(each)["sealed"].encode()) for each in stored)
        await accepted(intake, "new-0")
        remove_vault_key(secrets, old)
        state = await passed(intake, newest)
        await eventually(lambda: _keys_are(intake, [newest]))
        for event in await submitted(broker):
            assert event.data.text is not None
            assert await intake.vault.open_text(event.id, event.data.text) == TEXT
        assert erased.data.text is not None
        assert await intake.vault.erase(erased.data.text.record)


async def _keys_are(intake: Intake, keys: list[str]) -> bool:
    return bool((await intake.http.get("/v1/vault")).json()["keys"] == keys)


async def test_wrapping_again_never_brings_an_erased_record_back(intake: Intake, broker: Client) -> None:
    await accepted(intake)
    (record,) = [record async for record in intake.vault.records()]
    assert await intake.vault.erase(record.record_id)
    assert not await intake.vault.replace(record.record_id, b"again", record.sequence)
    assert await raw_count(broker) == 0
    await accepted(intake, "ref-2")
    (record,) = [record async for record in intake.vault.records()]
    assert await intake.vault.replace(record.record_id, record.payload, record.sequence)
    assert not await intake.vault.replace(record.record_id, b"late", record.sequence)
    assert await raw_count(broker) == 1


async def raw_count(broker: Client) -> int:
    return (await broker.jetstream().stream_info(VAULT)).state.messages


async def test_after_a_change_of_pseudonyms_repeats_receipts_and_requests_are_known_again(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        before = await accepted(intake)
        path = f"/v1/feedback/{before['event_id']}"
        decision = {"reason": "burst", "decided_by": "reviewer"}
        held = await post(intake, f"{path}/quarantine", decision, "reviewer", **{"Idempotency-Key": "k"})
        directory = intake.settings.secrets_dir
    old = (await submitted(broker))[0].data
    add_pseudonym_key(directory, date(2026, 11, 26))
    for data in ("intake", "intake-without-its-file"):
        async with start_intake(nats_server, data=data) as intake:
            again = await accepted(intake)
            assert (again["duplicate"], again["receipt_code"]) == (True, before["receipt_code"])
            assert (await intake.submit(WITH_PERSON | {"grade": 1})).status_code == 409
            receipt = await intake.http.get(f"/v1/receipts/{before['receipt_code']}")
            assert receipt.json()["status"] == "quarantined"
            repeated = await post(
                intake, f"{path}/quarantine", decision, "reviewer", **{"Idempotency-Key": "k"}
            )
            assert repeated.json() == held.json()
    async with start_intake(nats_server) as intake:
        await accepted(intake, "after")
    new = (await submitted(broker))[-1].data
    assert new.citizen_hmac != old.citizen_hmac
    assert new.aliases is not None
    assert [alias.citizen_hmac for alias in new.aliases] == [old.citizen_hmac]
    assert [alias.text_hmac for alias in new.aliases] == [old.text_hmac]


async def test_leftovers_are_destroyed_and_what_was_erased_stays_so_after_a_restore(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server) as intake:
        kept, gone = await accepted(intake, "kept"), await accepted(intake, "gone")
        copies = {record.record_id: record.payload async for record in intake.vault.records()}
        await post(intake, f"/v1/receipts/{gone['receipt_code']}/erasure")
        sealer = intake.vault._sealer  # noqa: SLF001 - leftovers are what a crash leaves
        never = sealer.seal("01a20102-4a40-7c11-8d00-00000000aaaa", "never published", None)
        loser = sealer.seal(kept["event_id"], TEXT, None)
        await intake.vault.store([never, loser])
        ours = set(copies) & {record.record_id async for record in intake.vault.records()}
        back = next(iter(set(copies) - ours))
        await broker.jetstream().publish(record_subject(back), copies[back])  # a backup brings it back
        assert await raw_count(broker) == 4
    async with start_intake(nats_server, vault_sweep_after_days=7.0) as intake:
        await eventually(lambda: _holds(intake.vault, ours | {never.record_id, loser.record_id}))
    async with start_intake(nats_server, vault_sweep_after_days=0.0) as intake:
        await eventually(lambda: _holds(intake.vault, ours))
        metrics = (await intake.http.get("/metrics")).text
        assert "pingyi_intake_orphaned_records_total 2.0" in metrics


async def _holds(vault: JetStreamVault, wanted: set[str]) -> bool:
    return {record.record_id async for record in vault.records()} == wanted


async def test_a_vault_that_kept_one_message_for_each_record_is_changed_in_place(
    broker: Client, nats_server: NatsServer
) -> None:
    jetstream = broker.jetstream()
    config = (await jetstream.stream_info(VAULT)).config
    config.max_msgs_per_subject = 1
    await jetstream.update_stream(config)
    await jetstream.publish("vault.v1.record.a", b"key")
    await provision(broker)
    assert (await jetstream.stream_info(VAULT)).config.max_msgs_per_subject == -1
    assert await raw_count(broker) == 1
    assert nats_server.data.is_dir()
