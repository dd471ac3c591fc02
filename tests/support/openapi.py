"""`schemathesis` against a running platform: every operation, as the service's OpenAPI describes it."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.local.layout import SERVICES
from tests.support.platform import Platform, clean_environment
from tests.support.warm import ROOT

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)
UNIT = "U000112"
LIST = "window.marriage.30"
FIELDS = {"unit_id": UNIT, "channel": "qr", "key": LIST, "stream": "FEEDBACK", "parent": "360000"}


@dataclass(frozen=True)
class Examination:
    """How thorough.

    Attributes:
        examples: generated requests for each operation, of valid and of invalid ones.
        phases: of schemathesis.
        seed: of what is generated; None: always the same requests.
        timeout_s: for each service.
    """

    examples: int
    phases: str
    seed: int | None
    timeout_s: float


def known_ids(platform: Platform) -> dict[str, str]:
    """Ids that exist, by the parameter that takes them; makes a rating first."""
    body = {"unit_id": UNIT, "grade": 1, "channel": "qr", "client_ref": "schemathesis"}
    answer = httpx.post(
        platform.url("intake", "/v1/feedback"), json=body, auth=platform.proofs, trust_env=False, timeout=30
    )
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    receipt = answer.json()
    return FIELDS | {
        "event_id": receipt["event_id"],
        "asked": receipt["event_id"],
        "code": receipt["receipt_code"],
    }


def failures(
    platform: Platform, folder: Path, proof: str | None, how: Examination, services: Iterable[str] = SERVICES
) -> dict[str, str]:
    """What schemathesis reports of each service that does not do as it says; nothing is good news.

    The services are examined side by side, each by a process of its own.
    """
    environment = clean_environment(
        SCHEMATHESIS_HOOKS=str(HOOKS), PINGYI_KNOWN=json.dumps(known_ids(platform)), PYTHONWARNINGS="default"
    )
    if how.seed is None:
        # Nothing is kept of such a run but tables of characters, which a process takes a second to make.
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".hypothesis")
    running = {}
    for service in services:
        place = folder / service
        place.mkdir(parents=True)
        with (place / "report.txt").open("wb") as report:
            running[service] = subprocess.Popen(
                command(platform.url(service, "/openapi.json"), proof, how),
                stdout=report, stderr=subprocess.STDOUT, cwd=place, env=environment,
            )  # fmt: skip
    try:
        codes = {service: each.wait(how.timeout_s) for service, each in running.items()}
    finally:
        for each in running.values():
            each.kill()
            each.wait()
    return {
        service: (folder / service / "report.txt").read_text(encoding="utf-8", errors="replace")
        for service, code in codes.items()
        if code != 0
    }


def command(description: str, proof: str | None, how: Examination) -> list[str]:
    """The command line of one run."""
    chance = ["--generation-deterministic"] if how.seed is None else ["--seed", str(how.seed)]
    proves = [] if proof is None else ["--header", f"Authorization:Bearer {proof}"]
    return [
        *(str(SCHEMATHESIS), "run", description, "--checks", CHECKS, "--phases", how.phases),
        *("--max-examples", str(how.examples), *chance),
        *("--no-shrink", "--continue-on-failure", "--warnings", "off"),
        *("--suppress-health-check", "all", "--request-timeout", "30", "--no-color", *proves),
    ]
