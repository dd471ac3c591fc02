"""Who asks for records: the one place that will change when callers have credentials."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header

from services.archive.domain.reads import Reader

ACTOR_HEADER = "X-Pingyi-Actor"
Identify = Callable[..., Any]
"""A FastAPI dependency that gives the :class:`Reader` of a request, or raises."""


def claimed_reader(
    actor: Annotated[
        str | None,
        Header(
            alias=ACTOR_HEADER,
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
            description="Account, post or program that reads, never a person's name. It is archived with "
            "what was read, as a claim: nothing proves it yet.",
        ),
    ] = None,
) -> Reader:
    """The reader as the request names itself."""
    return Reader(actor, verified=False)
