"""Who acts on people's data: the one place that will change when staff have credentials of their own."""

from typing import Annotated

from fastapi import Header, Request

from services.intake.domain.unmasking import Actor

ACTOR_HEADER = "X-Pingyi-Actor"
SCOPE_HEADER = "X-Pingyi-Scope"
TRUSTED = "actor_headers_trusted"
"""Attribute of the app's state: whether a gateway in front proves the two headers (TRUST_ACTOR_HEADERS)."""


def claimed_actor(
    request: Request,
    actor: Annotated[
        str,
        Header(
            alias=ACTOR_HEADER,
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
            description="Account or post that acts, never a person's name.",
        ),
    ],
    scope: Annotated[
        str,
        Header(
            alias=SCOPE_HEADER,
            pattern=r"^(province|[0-9]{4}|[0-9]{6}|U[0-9]{6})$",
            description="What the account answers for: province, the code of a city (4 digits) or county "
            "(6 digits), or the id of one unit.",
        ),
    ],
) -> Actor:
    """The actor as the request names itself; verified only if a gateway is known to set the headers."""
    return Actor(actor, scope, verified=bool(getattr(request.app.state, TRUSTED, False)))
