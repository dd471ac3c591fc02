"""Letting requests in, by plain ASGI: signatures, changed files, routes that say nothing."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from shared.auth.access import PUBLIC, Access, protect, requires
from shared.auth.credential_file import CredentialFile, Order
from shared.auth.credentials import Signing
from shared.auth.grants import Permission
from shared.auth.issuer import LocalIssuer
from shared.auth.principals import Duty, Principal, Role, Scope
from shared.auth.secrets import SecretKey
from shared.auth.settings import AccessSettings
from shared.auth.signing import sign
from shared.auth.sources import AccessNotFreshError, Sources
from shared.auth.tokens import TokenError
from shared.kernel.grades import Channel
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.metrics import ServiceMetrics
from shared.observability.problem import install_handlers

PATH = "/v1/feedback?a=1"
BODY = b'{"grade": 5}'
PROVINCE = Scope.parse("360000")


class House:
    """An app with one guarded route, and the files that it is guarded by."""

    def __init__(self, directory: Path) -> None:
        self.file = CredentialFile(directory / "credentials.json")
        self.jwks = directory / "jwks.json"
        self.jwks.write_text(LocalIssuer(SecretKey("local-1", bytes(32))).jwks())
        self.issue("setup", Signing.NEVER)
        self.now = time.time()
        self.sources = Sources(AccessSettings(auth_dir=directory))
        self.app = FastAPI()
        install_handlers(self.app)
        self.app.state.health = Health()
        self.bodies: list[bytes] = []

        @self.app.post("/v1/feedback")
        async def submit(
            request: Request, actor: Annotated[Principal, requires(Permission.FEEDBACK_SUBMIT)]
        ) -> str:
            self.bodies.append(await request.body())
            return actor.subject

        protect(self.app, Access(self.sources, now=lambda: self.now))

    def issue(self, name: str, signing: Signing) -> str:
        order = Order(name, Duty.CHANNEL, frozenset({Channel.QR}), PROVINCE, signing)
        return self.file.issue(order, datetime.now(UTC) - timedelta(minutes=1))[1]

    async def post(self, proof: str | None, body: bytes = BODY, path: str = PATH) -> httpx.Response:
        headers = {} if proof is None else {"authorization": proof}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
            return await http.post(path, content=body, headers=headers)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_signed_request_is_let_in_once(house: House) -> None:
    key = house.issue("signer", Signing.REQUIRED)
    house.sources.look()
    proof = sign(key, "POST", PATH, BODY, int(house.now))
    answer = await house.post(proof)
    assert (answer.status_code, answer.json()) == (200, "signer")
    again = await house.post(proof)
    assert again.status_code == 401
    assert "nonce came before" in again.json()["detail"]
    assert len(house.bodies) == 1


async def test_a_credential_that_has_to_sign_is_refused_with_its_mere_key(house: House) -> None:
    key = house.issue("signer", Signing.REQUIRED)
    house.sources.look()
    answer = await house.post(f"Bearer {key}")
    assert answer.status_code == 401
    assert "has to sign" in answer.json()["detail"]


async def test_a_token_that_proves_nothing_is_refused_with_its_remedy_once(house: House) -> None:
    answer = await house.post("Bearer nonsense")
    assert answer.status_code == 401
    assert answer.json()["detail"] == (
        "The token proves nothing: Got 'what is no token', expected a JSON Web Token: "
        "log in again, or correct the issuer."
    )


async def test_a_credential_that_may_sign_is_let_in_either_way_and_one_that_never_signs_by_its_key(
    house: House,
) -> None:
    may, never = house.issue("may", Signing.OPTIONAL), house.issue("never", Signing.NEVER)
    house.sources.look()
    assert (await house.post(f"Bearer {may}")).json() == "may"
    assert (await house.post(sign(may, "POST", PATH, BODY, int(house.now)))).json() == "may"
    assert (await house.post(sign(never, "POST", PATH, BODY, int(house.now)))).status_code == 401


@pytest.mark.parametrize("off_s", [-301, 301])
async def test_a_signature_of_another_time_is_refused(house: House, off_s: int) -> None:
    key = house.issue("signer", Signing.REQUIRED)
    house.sources.look()
    near = sign(key, "POST", PATH, BODY, int(house.now) + (299 if off_s > 0 else -299))
    assert (await house.post(near)).status_code == 200
    answer = await house.post(sign(key, "POST", PATH, BODY, int(house.now) + off_s))
    assert answer.status_code == 401
    assert "off by more than 300 s" in answer.json()["detail"]


async def test_whatever_is_not_what_was_signed_is_refused(house: House) -> None:
    key = house.issue("signer", Signing.REQUIRED)
    house.sources.look()
    now = int(house.now)
    proof = sign(key, "POST", PATH, BODY, now)
    digest = hashlib.sha256(b"other").hexdigest()
    assert (await house.post(proof, b"other")).status_code == 401
    assert (await house.post(sign(key, "POST", PATH, BODY, now), path="/v1/feedback?a=2")).status_code == 401
    assert (await house.post(sign(key, "PUT", PATH, BODY, now))).status_code == 401
    swapped = sign(key, "POST", PATH, BODY, now).replace(hashlib.sha256(BODY).hexdigest(), digest)
    assert (await house.post(swapped, b"other")).status_code == 401
    for malformed in ("PINGYI-HMAC-SHA256 ", proof[:-1], proof.replace("nonce=", "nonce=!")):
        assert (await house.post(malformed)).status_code == 401
    assert house.bodies == []


async def test_a_signature_of_head_is_over_head_though_get_answers(house: House) -> None:
    key = house.issue("signer", Signing.REQUIRED)
    app = FastAPI()
    install(app, ServiceMetrics("intake"), Health())

    @app.get("/v1/own")
    async def own(actor: Annotated[Principal, requires(Permission.FEEDBACK_SUBMIT)]) -> str:
        return actor.subject

    house.sources.look()
    house.app = protect(app, Access(house.sources, now=lambda: house.now))
    for signed, asked, status in (("HEAD", "HEAD", 200), ("GET", "HEAD", 401), ("HEAD", "GET", 401)):
        proof = sign(key, signed, "/v1/own", b"", int(house.now))
        transport = httpx.ASGITransport(house.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
            answer = await http.request(asked, "/v1/own", headers={"authorization": proof})
        assert (answer.status_code, answer.content == b"") == (status, asked == "HEAD")


async def test_a_rotated_signer_is_let_in_by_both_of_its_keys(house: House) -> None:
    first = house.issue("signer", Signing.REQUIRED)
    credential_id = next(each.credential_id for each in house.file.read() if each.name == "signer")
    _, second = house.file.rotate(credential_id, timedelta(hours=1), datetime.now(UTC) - timedelta(seconds=1))
    house.sources.look()
    for key in (first, second):
        assert (await house.post(sign(key, "POST", PATH, BODY, int(house.now)))).status_code == 200


async def test_a_changed_file_is_in_force_at_the_next_look_without_a_restart(house: House) -> None:
    key = house.issue("new", Signing.NEVER)
    assert (await house.post(f"Bearer {key}")).status_code == 401
    house.sources.look()
    assert (await house.post(f"Bearer {key}")).status_code == 200
    credential_id = next(each.credential_id for each in house.file.read() if each.name == "new")
    house.file.revoke(credential_id, datetime.now(UTC))
    house.sources.look()
    house.now = time.time()
    assert (await house.post(f"Bearer {key}")).status_code == 401


async def test_a_damaged_or_missing_file_leaves_in_force_what_was_and_shows(
    house: House, tmp_path: Path
) -> None:
    key = house.issue("steady", Signing.NEVER)
    house.sources.look()
    (tmp_path / "credentials.json").write_text("{")
    house.jwks.unlink()
    house.sources.look()
    assert (await house.post(f"Bearer {key}")).status_code == 200
    with pytest.raises(AccessNotFreshError, match=r"credentials.json.*jwks.json is not there"):
        await house.sources.check()


async def test_two_headers_and_a_key_in_the_address_prove_nothing(house: House) -> None:
    key = house.issue("one", Signing.NEVER)
    house.sources.look()
    transport = httpx.ASGITransport(house.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
        twice = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
        assert (await http.post(PATH, headers=twice)).status_code == 401
        assert (await http.post(f"/v1/feedback?access_token={key}")).status_code == 401


async def test_nothing_of_a_body_is_read_before_it_is_known_whose_it_is(house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        raise AssertionError("the body was read on")

    transport = httpx.ASGITransport(house.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
        assert (await http.post(PATH, content=endless())).status_code == 401


async def test_a_token_of_a_county_is_refused_where_a_channel_is_asked_for_with_a_clear_word(
    house: House,
) -> None:
    issuer = LocalIssuer(SecretKey("local-1", bytes(32)))
    role, county = Role.parse("county.handler"), Scope.parse("360721")
    answer = await house.post(f"Bearer {issuer.token('duty', (role,), county, house.now)}")
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:pingyi:problem:forbidden"
    assert (
        "duty (county.handler of 360721) may not submit ratings of its own channels"
        in answer.json()["detail"]
    )


def test_an_app_with_a_route_that_declares_nothing_does_not_start() -> None:
    app = FastAPI()
    router = APIRouter()

    @router.get("/v1/open")
    async def forgotten() -> None: ...

    app.include_router(router)
    app.state.health = Health()
    with pytest.raises(LookupError, match="/v1/open: expected exactly one of"):
        protect(app, Access(Sources(AccessSettings(auth_dir=Path("/nowhere")))))


def test_a_route_that_is_public_and_guarded_at_once_does_not_start() -> None:
    app = FastAPI()

    @app.get("/v1/both", dependencies=[PUBLIC, requires(Permission.ALERTS_READ)])
    async def both() -> None: ...

    app.state.health = Health()
    with pytest.raises(LookupError, match="/v1/both"):
        protect(app, Access(Sources(AccessSettings(auth_dir=Path("/nowhere")))))


async def test_a_guarded_route_of_an_app_that_nobody_protects_fails_closed() -> None:
    app = FastAPI()

    @app.get("/v1/alerts")
    async def read(actor: Annotated[Principal, requires(Permission.ALERTS_READ)]) -> str:
        return actor.subject

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
        assert (await http.get("/v1/alerts")).status_code == 500


async def test_a_key_set_at_an_address_is_fetched_in_the_background_and_kept_when_that_fails(
    tmp_path: Path,
) -> None:
    answers = [
        httpx.Response(200, text=LocalIssuer(SecretKey("idp", bytes(32))).jwks()),
        httpx.Response(500),
        httpx.Response(200, text="{"),
    ]
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    settings = AccessSettings(auth_dir=tmp_path, auth_jwks_url="https://idp.example/keys")
    sources = Sources(settings, transport)
    assert not sources.tokens.keys
    await sources.fetch("https://idp.example/keys")
    assert sources.tokens.keys.keys() == {"idp"}
    for _ in range(2):
        await sources.fetch("https://idp.example/keys")
        assert sources.tokens.keys.keys() == {"idp"}
    with pytest.raises(AccessNotFreshError):
        await sources.check()


async def test_a_new_key_under_the_name_of_the_one_before_replaces_it(tmp_path: Path) -> None:
    issuers = [LocalIssuer(SecretKey("idp", bytes([number]) * 32)) for number in (1, 2)]
    answers = [httpx.Response(200, text=each.jwks()) for each in issuers]
    settings = AccessSettings(auth_dir=tmp_path, auth_jwks_url="https://idp.example/keys")
    sources = Sources(settings, httpx.MockTransport(lambda _: answers.pop(0)))
    now = time.time()
    old, new = (
        each.token("clerk", (Role.parse("city.viewer"),), Scope.parse("360100"), now).encode()
        for each in issuers
    )
    await sources.fetch("https://idp.example/keys")
    assert sources.tokens.principal(old, now).subject == "clerk"
    await sources.fetch("https://idp.example/keys")
    assert sources.tokens.principal(new, now).subject == "clerk"
    with pytest.raises(TokenError):
        sources.tokens.principal(old, now)


async def test_guarded_routes_say_so_in_openapi(house: House) -> None:
    operation = json.loads(json.dumps(house.app.openapi()))["paths"]["/v1/feedback"]["post"]
    assert operation["security"] == [{"bearer": []}]
    assert {"401", "403"} <= operation["responses"].keys()


async def test_an_app_with_a_route_that_comes_too_late_does_not_start(house: House) -> None:
    @house.app.get("/v1/late", dependencies=[PUBLIC])
    async def late() -> None: ...

    with pytest.raises(LookupError, match="/v1/late: added after `protect`"):
        async with house.app.router.lifespan_context(house.app):
            pass
