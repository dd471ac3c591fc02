"""HTTP: who comes first in a closed period, and who is left out by a veto; and the loop that reads vetoes."""

import asyncio
from datetime import date
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query
from nats.aio.client import Client
from pydantic import BaseModel, Field

from services.scoring.application.awards import Awards, ReadAwards, Vetoes
from services.scoring.application.published import PublishedList
from services.scoring.entrypoints.answers import NO_UNIT, PREFIX, UNAVAILABLE, UNPROCESSABLE
from shared.auth.access import requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.events import RankingRow
from shared.events.unreadable import UNREADABLE
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry
from shared.messaging.reading import FoldReader
from shared.messaging.streams import REGISTRY

log = structlog.get_logger(__name__)
SUBJECTS: Final = ("sanctions.v1.sanction.>",)


class MaskedBody(BaseModel):
    """A unit that would have been named, but for a veto. Why is told about what is in the own scope."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    rank: Annotated[int | None, Field(description="Its rank, which the veto does not change.")]
    veto: Annotated[str | None, Field(description="Point of the veto list; null outside of the own scope.")]
    event_id: Annotated[
        str | None, Field(description="Id of the VetoImposed; null outside of the own scope.")
    ]


class AwardsBody(BaseModel):
    """Who comes first in a closed list. Candidates: people name them."""

    list: Annotated[str, Field(description="Key of the closed list.")]
    level: Annotated[Level, Field(description="Level of the units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all are listed.")]
    period: Annotated[str, Field(description="2026-11, 2026Q4 or 2026.")]
    parent: Annotated[str | None, Field(description="The unit whose subordinates are named; null: all.")]
    closed_on: Annotated[date, Field(description="Day on which the period closed.")]
    list_hash: Annotated[str, Field(description="Hash of the list as it stands, restatements included.")]
    restatement: Annotated[int, Field(description="How often the list was restated since it closed.")]
    sorted_by: Annotated[str, Field(description="The column that the ranks go by.")]
    rules: Annotated[str, Field(description="Hash of the rule pack that the list was closed under.")]
    positions: Annotated[
        dict[str, int], Field(description="Sequences that list and vetoes are valid at, by stream.")
    ]
    items: Annotated[tuple[RankingRow, ...], Field(description="Those who are named, best first.")]
    masked: Annotated[
        tuple[MaskedBody, ...],
        Field(description="Those whom a veto keeps from it this year, and who would be among them."),
    ]


def make_awards_router(read: ReadAwards, registry: UnitRegistry) -> APIRouter:
    """The route over ``read``."""
    router = APIRouter(prefix=PREFIX, tags=["rankings"])

    @router.get("/awards", responses={**NO_UNIT, **UNPROCESSABLE, **UNAVAILABLE})
    async def get_awards(
        actor: Annotated[Principal, requires(Permission.SUPERVISION_READ)],
        period: Annotated[str, Query(description="A closed period: 2026-11, 2026Q4 or 2026.")],
        level: Annotated[str, Query(description="window, county or city.")] = "window",
        kind: Annotated[str | None, Query(description="Window kind; left out: all kinds.")] = None,
        parent: Annotated[
            str | None, Query(description="Id of a city or county: only the units below it.")
        ] = None,
    ) -> AwardsBody:
        """The first of a closed list but for those under a veto; and who was left out, and why."""
        found = read.of(level, kind, period, parent)

        def is_mine(unit_id: str) -> bool:
            return actor.scope.sees(Place.of_unit(registry.get(unit_id)))

        return _body(found, {each.row.unit_id for each in found.masked if is_mine(each.row.unit_id)})

    return router


def _body(found: Awards, told: set[str]) -> AwardsBody:
    head = found.list.head
    return AwardsBody.model_validate(
        {
            **_head(found.list),
            "positions": {**head["positions"], **({REGISTRY: found.position} if found.position else {})},
            "items": [row.document() for row in found.named],
            "masked": [
                {
                    "unit_id": row.unit_id,
                    "name": row.name,
                    "rank": row.rank,
                    "veto": veto.kind if row.unit_id in told else None,
                    "event_id": veto.event_id if row.unit_id in told else None,
                }
                for row, veto in found.masked
            ],
        }
    )


def _head(found: PublishedList) -> dict[str, Any]:
    names = (
        "list", "level", "kind", "period", "closed_on", "list_hash", "restatement", "sorted_by", "rules",
    )  # fmt: skip
    return {**{name: found.head[name] for name in names}, "parent": found.head.get("parent")}


async def follow_vetoes(client: Client, vetoes: Vetoes) -> None:
    """Read what is said about sanctions, from the beginning, for ever; what is no event is left out.

    Raises:
        HistoryChangedError: the stream is another one than before; only a fresh start helps.
    """
    reader = FoldReader(client, REGISTRY, filters=SUBJECTS)
    try:
        while True:
            for message in await reader.take(wait_s=0.5):
                try:
                    vetoes.fold(message.data, message.sequence)
                except UNREADABLE as error:
                    log.warning("veto_left_out", sequence=message.sequence, reason=str(error))
            vetoes.caught_up = vetoes.caught_up or reader.caught_up
            await asyncio.sleep(0)
    finally:
        await reader.close()
