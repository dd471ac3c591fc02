"""Who acts on people's data: the proved principal, in the words of the domain."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends

from services.intake.domain.unmasking import PROVINCE, Actor
from shared.auth.access import requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal, Tier


def acting_with(permission: Permission) -> Any:  # noqa: ANN401 - as `fastapi.Depends`, which says Any itself
    """Declare that a route takes `permission`; as a parameter's annotation it gives the `Actor`."""
    return Depends(_reader(permission))


def _reader(permission: Permission) -> Callable[..., Actor]:
    def actor(principal: Annotated[Principal, requires(permission)]) -> Actor:
        scope = principal.scope
        match scope.tier:
            case Tier.PROVINCE:
                words = PROVINCE
            case Tier.CITY:
                words = scope.code[:4]
            case Tier.COUNTY | Tier.UNIT:
                words = scope.code
        return Actor(principal.subject, words, verified=True)

    return actor
