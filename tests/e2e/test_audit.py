"""The audit trail as somebody outside checks it, with the commands of docs/audit.md."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.layout import WITNESS_KEYS
from shared.kernel.grades import Level
from tests.support.audit import assert_verified_offline, verified
from tests.support.load import registry
from tests.support.platform import Platform, run_pingyi, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SIGNED_S = 60.0
WITNESS = "witness.example/1"


def rated(platform: Platform, reference: str) -> dict[str, Any]:
    """A rating's receipt."""
    unit = registry().by_level(Level.WINDOW, "marriage")[0]
    body = {"unit_id": unit.unit_id, "grade": 4, "channel": "qr", "client_ref": reference}
    answer = httpx.post(
        platform.url("intake", "/v1/feedback"), json=body, timeout=30, trust_env=False, auth=platform.proofs
    )
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def test_a_receipt_code_becomes_a_proof_that_the_rating_is_in_the_log(platform: Platform) -> None:
    receipt = rated(platform, "audit-proof")

    def proved() -> str | None:
        done = platform.pingyi("audit", "proof", receipt["receipt_code"])
        return done.stdout if done.returncode == 0 else None

    said = until(proved, timeout_s=SIGNED_S, what="the rating is signed")
    assert f"PROVED: event {receipt['event_id']} is entry " in said
    assert "feedback.submitted.v1" in said
    again = platform.pingyi_json("audit", "proof", receipt["event_id"])
    assert again["event_id"] == receipt["event_id"]
    unknown = platform.pingyi("audit", "proof", "01890000-0000-7000-8000-000000000000")
    assert unknown.returncode == 1
    assert "the id of an archived event" in unknown.stderr


def test_the_log_is_checked_online_and_taken_away_and_checked_offline(
    platform: Platform, tmp_path: Path
) -> None:
    rated(platform, "audit-verify")
    until(lambda: _is_signed(platform), timeout_s=SIGNED_S, what="something is signed")
    first = verified(platform)
    assert first["checkpoints"] > 0
    assert first["comparison"][0].startswith("checkpoint ")
    assert_verified_offline(platform, tmp_path / "export")
    second = verified(platform)
    assert second["comparison"][1].endswith(f" entries of {platform.saved_checkpoint}")


def test_a_witness_is_enrolled_and_cosigns(platform: Platform, tmp_path: Path) -> None:
    rated(platform, "audit-witness")
    until(lambda: _is_signed(platform), timeout_s=SIGNED_S, what="something is signed")
    directory = ("--dir", str(tmp_path / "witness"))
    key = run_pingyi("witness", *directory, "--name", WITNESS, "--print-key").stdout
    stranger = platform.pingyi("witness", *directory, "--once")
    assert stranger.returncode == 1
    assert "ARCHIVE_WITNESS_KEYS" in stranger.stderr
    (platform.layout.secrets / WITNESS_KEYS).write_text(key, encoding="utf-8")
    known = platform.pingyi("witness", *directory, "--once")
    assert known.returncode == 0, known.stderr
    assert " cosigned " in known.stdout
    assert f"— {WITNESS} " in (tmp_path / "witness/checkpoint").read_text(encoding="utf-8")


def _is_signed(platform: Platform) -> bool:
    answer = httpx.get(platform.url("archive", "/v1/log/checkpoint"), timeout=10, trust_env=False)
    return answer.is_success
