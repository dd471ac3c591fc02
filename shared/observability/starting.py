"""How a service's process imports its parts."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import in here: what libraries consist of stays; a seventh of importing was looking whether it does."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
