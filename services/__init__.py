"""The services of the platform; none imports another."""

import sys
from typing import Final

_SHOWING: Final = ("pygments", "rich")


def _import_without_colours() -> None:
    """Import what would import rich, to show people tracebacks and answers: services write JSON.

    Rich and what it brings along take 4 MB of each process. Whoever wants it imports it later as ever.
    """
    if any(name in sys.modules for name in _SHOWING):
        return
    for name in _SHOWING:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's word for "there is none"
    try:
        import httpx  # noqa: F401, PLC0415 - for what it leaves in sys.modules
        import structlog  # noqa: F401, PLC0415 - likewise
    finally:
        for name in _SHOWING:
            del sys.modules[name]


_import_without_colours()
