"""Who asks for records, and how much of the log is theirs to see: proved, never claimed."""

from dataclasses import replace

from services.archive.application.handlers import Visible
from services.archive.application.ports import EventQuery
from services.archive.domain.entries import Entry, place_of
from services.archive.domain.reads import Reader
from shared.auth.principals import Place, Principal, Scope, Tier
from shared.kernel.errors import NotFoundError
from shared.messaging.streams import RANKING


def reader_of(principal: Principal) -> Reader:
    """The reader as the audit trail names them."""
    return Reader(principal.subject, verified=True)


def visible_to(principal: Principal) -> Visible:
    """Tells which entries are within the principal's scope; published rankings are everybody's."""
    scope = principal.scope

    def visible(entry: Entry) -> bool:
        city, county = place_of(entry.leaf.subject)
        return entry.leaf.stream == RANKING or scope.sees(Place.of_tokens(city, county))

    return visible


def narrowed(query: EventQuery, region: str | None, principal: Principal) -> EventQuery:
    """`query` within the principal's scope: what is not asked for by region is asked for in theirs.

    Raises:
        NotFoundError: `region` is out of their scope.
    """
    scope = principal.scope
    if scope.tier is Tier.PROVINCE:
        return query
    if region is not None:
        if not scope.contains(Scope.parse(region.ljust(6, "0"))):
            raise NotFoundError(
                region, f"{scope} or a code below it", "leave it out for all that you may see", field="region"
            )
        return query
    return replace(query, city=scope.city, county=scope.county)
