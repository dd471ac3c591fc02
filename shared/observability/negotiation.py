"""Which of several forms of an answer a client would rather have (RFC 9110, ``Accept``)."""

import re
from collections.abc import Iterable
from typing import Final

_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?", re.ASCII)


def preferred(accept: str, usual: str, others: Iterable[str]) -> str:
    """The media type to answer with: the first of ``others`` that is named and wanted no less than ``usual``.

    Wildcards name nothing: a browser or curl, which take anything, get the usual form.
    """
    least = _quality(accept, usual)
    return next((kind for kind in others if 0 < _quality(accept, kind) >= least), usual)


def _quality(accept: str, media_type: str) -> float:
    """How much a client wants a media type that it names, 0-1; 0 if it doesn't name it."""
    for each in accept.split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name.lower() == media_type:
            weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
            return float(weight) if _WEIGHT.fullmatch(weight) is not None else 0.0
    return 0.0
