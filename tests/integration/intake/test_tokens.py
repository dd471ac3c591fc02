"""One-time tokens and quotas on a real broker, with two replicas of intake."""

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.kernel.grades import Verification
from shared.messaging.streams import QUOTAS_BUCKET
from tests.integration.intake.conftest import Intake, StartIntake, eventually, raw_messages, submitted
from tests.support.access import as_channel

pytestmark = pytest.mark.integration
UNIT = "U000200"


async def issue(intake: Intake, **order: object) -> str:
    answer = await intake.http.post("/v1/tokens", json={"unit_id": UNIT, **order})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


async def test_a_token_is_taken_once_even_when_a_hundred_requests_race_over_two_replicas(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="a") as one, start_intake(nats_server, data="b") as other:
        token = await issue(one, transaction_id="360102-2026-1")
        bodies = [
            {"unit_id": UNIT, "grade": 1 + n % 5, "channel": ("qr", "web")[n % 2], "token": token}
            for n in range(100)
        ]
        replicas = (one, other)
        # One quota lets 20 attempts through on each replica; the race is of these, the rest is refused too.
        answers = await asyncio.gather(*(replicas[n % 2].submit(body) for n, body in enumerate(bodies)))
        (rating,) = await submitted(broker)
        assert rating.data.verification is Verification.TRANSACTION
        assert rating.data.transaction_hmac is not None
        assert "360102" not in rating.to_json().decode()
        accepted = [answer for answer in answers if answer.status_code == 202]
        assert {answer.json()["event_id"] for answer in accepted} == {rating.id}
        assert [answer.json()["duplicate"] for answer in accepted].count(False) == 1
        refused = [answer for answer in answers if answer.status_code != 202]
        assert {answer.status_code for answer in refused} <= {409, 429}
        conflicts = [answer.json() for answer in refused if answer.status_code == 409]
        assert conflicts
        assert all(problem["title"] == "The token was used" for problem in conflicts)
        assert all(rating.id not in json.dumps(problem) for problem in conflicts)

        async def known() -> bool:
            states = [(await each.http.get(f"/v1/tokens/{token}")).json()["state"] for each in replicas]
            return states == ["used", "used"]

        await eventually(known)
        state = (await one.http.get(f"/v1/tokens/{token}")).json()
        assert set(state) == {"state", "unit_id", "issued_by", "unit_name", "expires_at"}


async def test_tokens_for_printing_come_as_lines_or_as_a_table_and_each_can_be_used(intake: Intake) -> None:
    order = {"unit_id": UNIT, "count": 600, "valid_days": 7}
    lines = await intake.http.post("/v1/tokens", json=order)
    assert (lines.status_code, lines.headers["content-type"]) == (201, "application/x-ndjson")
    made = [json.loads(line) for line in lines.text.splitlines()]
    table = await intake.http.post("/v1/tokens", json=order, headers={"Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len({row["token"] for row in (*made, *rows)}) == 1200
    assert list(rows[0]) == list(made[0]) == ["token", "url", "unit_id", "expires_at"]
    batch = [
        json.dumps({"unit_id": UNIT, "grade": 5, "channel": "paper", "token": row["token"]})
        for row in (*made[:3], *rows[:3], rows[0])
    ]
    answer = (await intake.submit_lines(*batch)).json()
    assert (answer["accepted"], answer["duplicate"]) == (6, 1)


async def test_a_token_in_the_header_and_its_pictures(intake: Intake) -> None:
    token = await issue(intake)
    for form, media in (("svg", "image/svg+xml"), ("png", "image/png")):
        picture = await intake.http.get(f"/v1/tokens/{token}/qr.{form}")
        assert (picture.status_code, picture.headers["content-type"]) == (200, media)
    body = {"unit_id": UNIT, "grade": 4, "channel": "qr"}
    both = await intake.submit(body | {"token": "x"}, **{"X-Rating-Token": token})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "token")
    assert (await intake.submit(body, **{"X-Rating-Token": token})).status_code == 202
    assert (await intake.http.get(f"/v1/tokens/{token}")).json()["state"] == "used"

    forged = token[:-6] + "AAAAAA"
    wrong = await intake.submit(body | {"token": forged})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "token")
    assert forged not in wrong.text
    for path in (forged, "x", "x/qr.svg", f"{forged}/qr.png"):
        assert (await intake.http.get(f"/v1/tokens/{path}")).status_code == 404
    too_long = await intake.http.post("/v1/tokens", json={"unit_id": UNIT, "valid_days": 181})
    assert (too_long.status_code, too_long.json()["errors"][0]["field"]) == (422, "valid_days")


@pytest.fixture
def tight_rules(tmp_path: Path) -> Path:
    """The shipped pack with a quota of six ratings per device, in a window that does not end meanwhile."""
    text = (Path(__file__).parents[3] / "shared/rules/packs/2026-01.toml").read_text(encoding="utf-8")
    wide = "device = { limit = 30, seconds = 3600 }"
    assert wide in text
    path = tmp_path / "tight.toml"
    path.write_text(text.replace(wide, "device = { limit = 6, seconds = 86_400 }"), encoding="utf-8")
    return path


async def test_replicas_share_their_quotas_and_a_broker_that_is_away_leaves_each_its_own(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, tight_rules: Path
) -> None:
    def rating(number: int, device: str = "phone") -> dict[str, object]:
        reference = f"{device}-{number}"
        return {"unit_id": UNIT, "grade": 5, "channel": "qr", "device_id": device, "client_ref": reference}

    async with (
        start_intake(own_nats_server, data="a", rules_path=tight_rules) as one,
        start_intake(own_nats_server, data="b", rules_path=tight_rules) as other,
    ):
        for number in range(6):
            assert (await one.submit(rating(number))).status_code == 202
        attempts = [202]
        while (
            attempts[-1] == 202 and len(attempts) < 6
        ):  # six of its own would fill the quota without the others'
            await asyncio.sleep(1.5)
            attempts.append((await other.submit(rating(10 + len(attempts)))).status_code)
        assert attempts[-1] == 429
        refused = await one.submit(rating(7))
        assert refused.status_code == 429
        problem = refused.json()
        assert problem["type"] == "urn:pingyi:problem:over-quota"
        assert "the quota 'device'" in problem["detail"]
        assert 0 < int(refused.headers["Retry-After"]) <= 2 * 86_400
        assert (await one.submit(rating(0))).json()["duplicate"], "a repeat is answered all the same"
        assert (await one.submit(rating(0, "another"))).status_code == 202
        lines = await other.submit_lines(json.dumps(rating(8)), json.dumps(rating(8, "third")))
        assert [line["status"] for line in lines.json()["results"]] == ["rejected", "accepted"]
        told = await raw_messages(own_broker, f"KV_{QUOTAS_BUCKET}")
        assert told
        assert not any(b"phone" in body for _, body in told)
        own_nats_server.kill()
        assert (await one.submit(rating(9))).status_code == 429
        assert (await one.submit(rating(1, "another"))).status_code == 202


async def test_a_poster_prints_itself_no_proofs(intake: Intake) -> None:
    refused = await intake.http.post("/v1/tokens", json={"unit_id": UNIT}, headers=as_channel("qr"))
    assert refused.status_code == 403, refused.text
    assert refused.json()["type"].endswith("foreign-token")
    assert "for qr, expected" in refused.json()["detail"]
    taken = await intake.http.post("/v1/tokens", json={"unit_id": UNIT}, headers=as_channel("hotline"))
    assert taken.status_code == 201, taken.text
