"""``pingyi token`` and ``pingyi credential``, on a directory of secrets."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from deploy.local.cli import make_app
from deploy.local.secrets import ensure_secrets
from deploy.local.wallet import Wallet
from shared.auth.credential_file import CredentialFile
from shared.auth.credentials import KeyRing
from shared.auth.settings import AccessSettings
from shared.auth.sources import Sources


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ensure_secrets(tmp_path / "secrets", ())
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(arguments[0]), [*arguments, "--data", str(data)])


def sources(data: Path) -> Sources:
    return Sources(AccessSettings(auth_dir=data / "secrets" / "auth"))


def test_a_token_from_the_command_line_is_believed_by_every_service(data: Path) -> None:
    made = run(data, "token", "--role", "county.handler", "--region", "360721", "--minutes", "5")
    assert made.exit_code == 0, made.output
    principal = sources(data).tokens.principal(made.output.strip().encode(), time.time())
    assert (principal.subject, str(principal.roles[0])) == ("county-handler-360721", "county.handler")


def test_a_role_in_another_tiers_region_is_refused_with_what_fits(data: Path) -> None:
    refused = run(data, "token", "--role", "county.handler", "--region", "360700")
    assert refused.exit_code != 0
    assert "a role of the city" in str(refused.exception)


def test_a_key_is_issued_rotated_and_revoked_and_shown_only_then(data: Path) -> None:
    options = ("--name", "hotline-3607", "--channel", "hotline", "--region", "360700", "--json")
    first = json.loads(run(data, "credential", "issue", *options).output)
    second = json.loads(run(data, "credential", "rotate", first["id"], "--json").output)
    keys, now = sources(data).keys, time.time()
    for key in (first["key"], second["key"]):
        known = keys.find(key.encode(), now)
        assert known is not None
        assert (known.principal.subject, known.principal.scope.code) == ("hotline-3607", "360700")
    listed = run(data, "credential", "list").output
    assert first["id"] in listed
    assert all(key.split(".")[1] not in listed for key in (first["key"], second["key"]))
    assert run(data, "credential", "revoke", first["id"]).exit_code == 0
    file = CredentialFile(data / "secrets" / "auth" / "credentials.json")
    # In force from its own moment on, which is later than `now`.
    assert KeyRing(file.read()).find(second["key"].encode(), time.time()) is None
    rows = json.loads(run(data, "credential", "list", "--json").output)
    (row,) = [row for row in rows if row["id"] == first["id"]]
    assert row["state"] == f"revoked on {datetime.now(UTC):%Y-%m-%d}"


def test_a_key_for_a_place_that_does_not_exist_is_not_issued(data: Path) -> None:
    before = len(sources(data).keys.credentials)
    for region in ("360999", "U999999", "3607"):
        refused = run(data, "credential", "issue", "--name", "x", "--channel", "qr", "--region", region)
        assert refused.exit_code != 0, region
    assert len(sources(data).keys.credentials) == before


def test_proofs_go_to_the_platforms_own_addresses_and_nowhere_else(data: Path) -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[str(request.url)] = request.headers.get("authorization")
        return httpx.Response(200)

    wallet = Wallet(data / "secrets", ["http://127.0.0.1:8001", "http://127.0.0.1:8004"])
    with httpx.Client(transport=httpx.MockTransport(answer), auth=wallet) as http:
        http.post("http://127.0.0.1:8001/v1/feedback")
        http.get("http://127.0.0.1:8004/v1/events", extensions={"subject": "city-auditor"})
        for elsewhere in ("http://127.0.0.1:80010/v1/events", "https://example.org/v1/feedback"):
            http.get(elsewhere)
    known = sources(data)
    key, token, *others = seen.values()
    assert key is not None
    assert token is not None
    found = known.keys.find(key.removeprefix("Bearer ").encode(), time.time())
    assert found is not None
    assert found.principal.subject == "cli"
    principal = known.tokens.principal(token.removeprefix("Bearer ").encode(), time.time())
    assert principal.subject == "city-auditor"
    assert others == [None, None]


def test_a_platform_elsewhere_is_shown_what_the_environment_holds(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path, ["http://a"], {"PINGYI_TOKEN": "token", "PINGYI_KEY": "key"})
    assert (wallet.token(), wallet.key()) == ("token", "key")
    assert (Wallet(tmp_path).token(), Wallet(tmp_path).key()) == (None, None)


def test_a_key_whose_hash_was_lost_is_made_known_again_at_the_next_start(data: Path) -> None:
    (data / "secrets" / "auth" / "credentials.json").unlink()
    ensure_secrets(data / "secrets", ())
    key = (data / "secrets" / "keys" / "qr.key").read_text().strip()
    assert sources(data).keys.find(key.encode(), time.time()) is not None
