"""Signed requests on real servers: a nonce that one replica has seen is known to the other."""

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.auth.credential_file import CredentialFile, Order
from shared.auth.credentials import Signing
from shared.auth.principals import Duty, Scope
from shared.auth.signing import sign
from shared.kernel.grades import Channel
from tests.integration.intake.conftest import RATING, StartIntake, submitted
from tests.support.access import auth_dir

pytestmark = pytest.mark.integration

BODY = json.dumps(RATING).encode()
PATH = "/v1/feedback"
BATCH = "/v1/feedback/batch"
TOKENS = "/v1/tokens"


def issued(directory: Path) -> str:
    """The key of a kiosk that has to sign, in an AUTH_DIR of its own."""
    order = Order(
        "kiosk",
        Duty.CHANNEL,
        frozenset({Channel.QR, Channel.TERMINAL}),
        Scope.parse("360000"),
        Signing.REQUIRED,
    )
    file = CredentialFile(directory / "credentials.json")
    _, key = file.issue(order, datetime.now(UTC) - timedelta(seconds=1))
    shutil.copy(auth_dir() / "jwks.json", directory)
    return key


async def post(
    http: httpx.AsyncClient, proof: str, *, path: str = PATH, body: bytes = BODY, **more: str
) -> httpx.Response:
    kind = "application/x-ndjson" if path == BATCH else "application/json"
    headers = {"authorization": proof, "content-type": kind} | more
    return await http.post(path, content=body, headers=headers)


async def test_a_signed_rating_that_was_overheard_is_taken_by_no_other_replica(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    key = issued(tmp_path / "auth")
    async with (
        start_intake(nats_server, data="one", auth_dir=tmp_path / "auth") as one,
        start_intake(nats_server, data="two", auth_dir=tmp_path / "auth") as two,
    ):
        proof = sign(key, "POST", PATH, BODY, int(time.time()))
        assert (await post(one.http, proof)).status_code == 202
        replayed = await post(two.http, proof)
        assert replayed.status_code == 401
        assert "nonce came before" in replayed.json()["detail"]
        again = await post(two.http, sign(key, "POST", PATH, BODY, int(time.time())))
        assert (again.status_code, again.json()["duplicate"]) == (202, True), "a retry signed anew is welcome"
    assert len(await submitted(broker)) == 1
    assert (await broker.jetstream().stream_info("KV_nonces")).state.messages == 2


async def test_signed_ratings_are_checked_without_the_broker_too(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    key = issued(tmp_path / "auth")
    assert own_broker.is_connected
    async with start_intake(own_nats_server, auth_dir=tmp_path / "auth") as intake:
        own_nats_server.kill()
        proof = sign(key, "POST", PATH, BODY, int(time.time()))
        assert (await post(intake.http, proof)).status_code == 202, "the spool has it"
        assert (await post(intake.http, proof)).status_code == 401, "once"


async def test_without_the_broker_nothing_that_another_replica_may_have_let_in_counts_twice(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    """Where nobody can look a nonce up: what is recognised by a key of its own is taken, the rest is not."""
    key = issued(tmp_path / "auth")
    anonymous = {name: value for name, value in RATING.items() if name != "client_ref"}
    bare, line = json.dumps(anonymous).encode(), BODY + b"\n"

    def proof(path: str, body: bytes) -> str:
        return sign(key, "POST", path, body, int(time.time()))

    assert own_broker.is_connected
    async with start_intake(own_nats_server, auth_dir=tmp_path / "auth") as intake:
        assert (await post(intake.http, proof(PATH, bare), body=bare)).status_code == 202
        own_nats_server.kill()
        refused = await post(intake.http, proof(PATH, bare), body=bare)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "15")
        assert "signed anew" in refused.json()["detail"]
        unsigned = {"idempotency-key": "k-1"}  # whoever overheard the request may send it with another
        assert (await post(intake.http, proof(PATH, bare), body=bare, **unsigned)).status_code == 503
        some = line + bare + b"\n"
        mixed = await post(intake.http, proof(BATCH, some), path=BATCH, body=some, **unsigned)
        assert (mixed.status_code, "client_ref" in mixed.json()["detail"]) == (503, True)
        keyed = await post(intake.http, proof(PATH, BODY))
        assert (keyed.status_code, keyed.json()["duplicate"]) == (202, False)
        batch = await post(intake.http, proof(BATCH, line), path=BATCH, body=line)
        assert (batch.status_code, batch.json()["accepted"]) == (200, 0), "the same rating once more"
        tokens = json.dumps({"unit_id": RATING["unit_id"]}).encode()
        minted = await post(intake.http, proof(TOKENS, tokens), path=TOKENS, body=tokens)
        assert minted.status_code == 503, "the same request again would make another token"
