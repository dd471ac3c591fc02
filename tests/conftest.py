"""What every test may use: real servers (``support.servers``), the whole platform (``support.platform``)."""

import functools
import gc
from collections.abc import Iterator

import httpx
import pytest
import structlog
from fastapi.dependencies import models as dependencies

from tests.support.properties import load_profile

# Helpers that assert tell both sides of a comparison, as tests do.
pytest.register_assert_rewrite(
    "tests.support.audit", "tests.support.audit_cases", "tests.support.faults", "tests.support.load"
)

pytest_plugins = [
    "tests.support.warm",  # before those that import it
    "tests.support.days",
    "tests.support.memory_files",
    "tests.support.servers",
    "tests.support.platform",
]

load_profile()

_REMEMBERED = [each for each in vars(dependencies).values() if hasattr(each, "cache_clear")]

SLOW_FIRST = (
    # Files of a minute and more, the longest first; then all others that start servers.
    "tests/e2e/test_recompute.py",
    "tests/e2e/test_processes.py",
    "tests/e2e/test_derived_faults.py",
    "tests/e2e/test_case_faults.py",
    "tests/e2e/test_canaries.py",
    "tests/e2e/test_openapi.py",
    "tests/e2e/test_write_faults.py",
    "tests/integration/scoring/test_snapshots.py",
    "tests/integration/scoring/test_replicas.py",
    "tests/e2e/",
    "tests/integration/scoring/test_service.py",
    "tests/integration/scoring/test_older_messages.py",
    "tests/integration/auth/test_what_each_user_cannot_do.py",
    "tests/integration/deploy/",
    "tests/integration/scoring/",
    "tests/integration/archive/test_faults.py",
    "tests/integration/notify/test_crash.py",
    "tests/integration/archive/",
    "tests/integration/",
    "tests/contract/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one at the end; else in random order.

    Needs ``--no-loadscope-reorder``: xdist would begin with the files of the most tests, the quickest ones.
    """
    items.sort(
        key=lambda item: next(
            (place for place, path in enumerate(SLOW_FIRST) if item.nodeid.startswith(path)), len(SLOW_FIRST)
        )
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while eight thousand tests are collected nor, later, among what they are."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Read the machine's certificates once, not for each client: 45 ms each, and tests poll plain HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", once)
        yield


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """What one test configures, for example to a captured stream that is closed later, ends with it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _apps_of_its_own() -> Iterator[None]:
    """Let go of each test's apps: FastAPI remembers handlers, which hold 20,000 objects an app.

    Some hundred tests later a full collection of garbage would take seconds.
    """
    yield
    for remembered in _REMEMBERED:
        remembered.cache_clear()
