"""Services answer as their OpenAPI says: no server error, no status, type or body that is not in there.

A short form of ``tests/soak/test_openapi_at_length.py``, the same requests each time.
"""

from pathlib import Path

import pytest

from tests.support.openapi import Examination, failures
from tests.support.platform import running_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHORT = Examination(examples=2, phases="fuzzing", seed=None, timeout_s=300)


def test_every_operation_answers_as_described_to_nobody_to_a_channel_and_to_the_staff(tmp_path: Path) -> None:
    # A platform of its own: an admin's requests may well load a registry or plan a campaign.
    with running_platform(tmp_path / "var") as platform:
        assert failures(platform, tmp_path / "nobody", None, SHORT) == {}
        key = platform.proofs.key()
        assert failures(platform, tmp_path / "channel", key, SHORT, ("intake",)) == {}
        admin = platform.proofs.token("fuzzer", "province.admin")
        assert failures(platform, tmp_path / "admin", admin, SHORT) == {}
