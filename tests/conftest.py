"""What every test may use: real servers (``support.servers``), the whole platform (``support.platform``)."""

import pytest

# Helpers that assert tell both sides of a comparison, as tests do.
pytest.register_assert_rewrite("tests.support.audit", "tests.support.faults", "tests.support.load")

pytest_plugins = ["tests.support.servers", "tests.support.platform"]
