"""What the start of a service does to Python's collector, and that it undoes it."""

import gc

import pytest

from shared.observability.starting import uncollected


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
        if frozen:
            gc.freeze()  # as all tests are (tests/conftest.py)
