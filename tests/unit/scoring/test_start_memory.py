"""What a start does to Python's collector, and that it undoes it."""

import gc
from collections.abc import Iterator

import pytest

from services.scoring.entrypoints.memory import StartMemory


@pytest.fixture
def _frozen_again() -> Iterator[None]:
    """As all tests are (tests/conftest.py)."""
    yield
    gc.freeze()


@pytest.mark.usefixtures("_frozen_again")
def test_nothing_is_collected_during_a_start_and_everything_afterwards() -> None:
    memory = StartMemory()
    assert gc.isenabled()
    memory.begin()
    memory.begin()
    assert not gc.isenabled()
    memory.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0, "what stays is not looked at again"
    gc.unfreeze()
    memory.end()
    assert gc.get_freeze_count() == 0, "an end without a begin does nothing"


def test_a_collector_that_somebody_else_stopped_stays_stopped() -> None:
    gc.disable()
    try:
        memory = StartMemory()
        memory.begin()
        memory.end()
        assert not gc.isenabled()
    finally:
        gc.enable()
