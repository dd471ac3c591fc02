"""What every test may use: real servers (``support.servers``), the whole platform (``support.platform``)."""

from collections.abc import Iterator

import pytest
import structlog

from tests.support.properties import load_profile

# Helpers that assert tell both sides of a comparison, as tests do.
pytest.register_assert_rewrite("tests.support.audit", "tests.support.faults", "tests.support.load")

pytest_plugins = ["tests.support.servers", "tests.support.platform"]

load_profile()

SLOW_FIRST = ("tests/e2e/", "tests/integration/")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one at the end; else in random order."""
    places = {folder: place for place, folder in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: min((places[f] for f in places if item.nodeid.startswith(f)), default=9))


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """What one test configures, for example to a captured stream that is closed later, ends with it."""
    yield
    structlog.reset_defaults()
