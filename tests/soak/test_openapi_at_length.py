"""Thousands of requests that schemathesis makes of each OpenAPI document, and chains of requests.

SOAK_SEED repeats a run; without it every run makes other requests.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.support.openapi import Examination, failures
from tests.support.platform import running_platform

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "30"))
LONG = Examination(EXAMPLES, "examples,coverage,fuzzing,stateful", SEED, timeout_s=1_800)
STAFF = ("province.admin", "province.supervisor", "city.handler")
REGIONS = {"city.handler": "360100"}


def test_every_operation_answers_as_described_to_everybody_at_length(tmp_path: Path) -> None:
    sys.stderr.write(f"SOAK_SEED={SEED} SOAK_EXAMPLES={EXAMPLES}\n")
    with running_platform(tmp_path / "var") as platform:
        assert failures(platform, tmp_path / "nobody", None, LONG) == {}
        assert failures(platform, tmp_path / "channel", platform.proofs.key(), LONG) == {}
        for role in STAFF:
            # A token lives for fifteen minutes; this one is new.
            token = platform.proofs.token("fuzzer", role, REGIONS.get(role, "360000"))
            assert failures(platform, tmp_path / role, token, LONG) == {}, role
