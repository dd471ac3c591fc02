"""What a start does to Python's collector, and that it undoes it."""

import gc

import pytest

from services.scoring.entrypoints.memory import StartMemory, uncollected


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


def test_the_collector_stands_still_while_libraries_are_imported_and_goes_on_after_a_failure() -> None:
    frozen = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
            kept: list[list[int]] = [[] for _ in range(100)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= frozen + len(kept)
        with pytest.raises(ImportError), uncollected():
            raise ImportError("missing")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
