import base64
from pathlib import Path

import nacl.exceptions
import nacl.signing
import nkeys
import pytest

from deploy.local.secrets import BROKER_USERS, broker_public_keys, ensure_secrets
from shared.auth.key_files import EVENT_IDS_FILE, load_recognised
from shared.kernel.grades import Channel


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_every_key_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    ensure_secrets(directory)
    seeds = {f"nats/{user}.seed" for user in BROKER_USERS}
    keys = {f"keys/{name}.key" for name in ("cli", "scoring", *Channel)}
    checked = {"auth/credentials.json", "auth/.credentials.json.lock", "auth/jwks.json"}
    single = {
        "hmac.key",
        "vault.key",
        EVENT_IDS_FILE,
        "token.key",
        "cases.key",
        "receipt.key",
        "webhook.key",
        "archive-signing.key",
        "issuer.key",
    }
    assert set(contents(directory)) == single | keys | checked | seeds
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in directory.rglob("*") if p.is_file()} == {0o600}
    assert len(bytes.fromhex((directory / "hmac.key").read_text())) == 32
    key_id, _, key = (directory / "vault.key").read_text().strip().partition(":")
    assert key_id.startswith("kek-")
    assert len(bytes.fromhex(key)) == 32


def test_a_platform_of_before_ids_had_a_key_goes_on_recognising_what_it_accepted(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    assert load_recognised(tmp_path, EVENT_IDS_FILE, unkeyed=True).former == ()
    (tmp_path / EVENT_IDS_FILE).unlink()
    ensure_secrets(tmp_path)
    ring = load_recognised(tmp_path, EVENT_IDS_FILE, unkeyed=True)
    assert ring.former == (None,)


def test_existing_keys_are_never_overwritten(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    (tmp_path / "webhook.key").unlink()
    (tmp_path / "hmac.key").write_text("restored from a backup")
    before = contents(tmp_path)
    ensure_secrets(tmp_path)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"webhook.key"}


def test_two_platforms_never_share_a_key(tmp_path: Path) -> None:
    ensure_secrets(tmp_path / "one")
    ensure_secrets(tmp_path / "two")
    one, two = (set(contents(tmp_path / name).values()) - {b""} for name in ("one", "two"))
    assert not one & two


def test_seed_signs_for_its_public_key(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, ["intake"])
    public_key = broker_public_keys(tmp_path)["intake"]
    assert public_key.startswith("U")
    pair = nkeys.from_seed(bytearray((tmp_path / "nats" / "intake.seed").read_text().strip(), "ascii"))
    signature = pair.sign(b"nonce")
    verifier = nacl.signing.VerifyKey(base64.b32decode(public_key)[1:33])
    assert verifier.verify(b"nonce", signature) == b"nonce"
    with pytest.raises(nacl.exceptions.BadSignatureError):
        verifier.verify(b"other", signature)
