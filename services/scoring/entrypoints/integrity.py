"""HTTP: what is flagged at present. Observations for those who look into them, no verdicts."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.scoring.application.watch import Flagged, ReadFlags
from services.scoring.entrypoints.answers import DEFAULT_LIMIT, MOST_ROWS, problem
from shared.auth.access import requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.events.integrity import Signal
from shared.kernel.clock import rfc3339
from shared.kernel.grades import Level

_UNAVAILABLE = problem(503, "Nothing examined yet: see Retry-After.")


class FlagBody(BaseModel):
    """One flag that stands, with the numbers that raised it."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    level: Annotated[Level, Field(description="Level of the unit.")]
    signal: Annotated[Signal, Field(description="What was looked at.")]
    raised_at: Annotated[str, Field(description="When, UTC.")]
    as_of: Annotated[date, Field(description="Last day that was looked at then, Asia/Shanghai.")]
    window_days: Annotated[int, Field(description="Days that were looked at.")]
    statistic: Annotated[float, Field(description="The number that was compared.")]
    threshold: Annotated[float, Field(description="The line that it crossed.")]
    expected: Annotated[float | None, Field(description="What would be usual.")]
    probability: Annotated[float, Field(description="Chance of such a number without any cause.")]
    figures: Annotated[dict[str, str], Field(description="The numbers behind the statistic, by name.")]
    rules: Annotated[str, Field(description="Hash of the rule pack.")]

    @classmethod
    def of(cls, flagged: Flagged) -> "FlagBody":
        """Show one flag."""
        notice = flagged.notice
        finding = notice.finding._asdict()
        return cls.model_validate(
            {
                **finding,
                "name": flagged.unit.name,
                "level": flagged.unit.level,
                "raised_at": rfc3339(datetime.fromtimestamp(notice.at_ms / 1000, UTC)),
                "as_of": notice.as_of,
                "rules": notice.rules,
            }
        )


class FlagsBody(BaseModel):
    """The flags that stand."""

    flags: Annotated[int, Field(description="How many there are, beyond the limit too.")]
    items: Annotated[list[FlagBody], Field(description="The least likely first.")]


def make_integrity_router(read: ReadFlags) -> APIRouter:
    """The route over ``read``."""
    router = APIRouter(prefix="/v1", tags=["integrity"])

    @router.get("/integrity", responses=_UNAVAILABLE)
    async def get_flags(
        actor: Annotated[Principal, requires(Permission.INTEGRITY_READ)],
        signal: Annotated[Signal | None, Query(description="One signal; left out: all.")] = None,
        level: Annotated[Level | None, Query(description="One level; left out: all.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows.")] = DEFAULT_LIMIT,
    ) -> FlagsBody:
        """Units whose ratings look made up at present, as far as they are below whoever asks."""
        standing = read.standing(signal, level)
        found = [each for each in standing if actor.scope.sees(Place.of_unit(each.unit))]
        return FlagsBody(flags=len(found), items=[FlagBody.of(each) for each in found[:limit]])

    return router
