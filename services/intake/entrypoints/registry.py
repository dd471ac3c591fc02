"""The HTTP interface of the registry: what is in force, what a load would change, and loading."""

from datetime import date
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.intake.application.registering import Plan, Registering, Tables
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import READ_PROBLEMS, ActingBody, Asked, Post, Strict, add_post
from services.intake.entrypoints.writing import problems
from shared.auth.access import PUBLIC, require_within, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.kernel.clock import business_day
from shared.kernel.errors import NotFoundError
from shared.kernel.registry_book import units_hash
from shared.kernel.unit_tables import units_text

MOST_SHOWN = 1_000
_Csv = Annotated[str, Field(description="CSV with its header; empty: nothing of this kind changes.")]


class CsvResponse(Response):
    """A table as a file."""

    media_type = "text/csv"


class TablesBody(Strict):
    """Tables as people edit them."""

    divisions: _Csv = ""
    units: _Csv = ""
    merges: _Csv = ""
    responsibilities: _Csv = ""

    @property
    def tables(self) -> Tables:
        """The tables, as values."""
        return Tables(self.divisions, self.units, self.merges, self.responsibilities)


class LoadBody(ActingBody, TablesBody):
    """Tables to put in force."""


class ChangeAnswer(BaseModel):
    """One change."""

    what: Annotated[str, Field(description="division, registered, changed, merged or assigned.")]
    unit_id: Annotated[str, Field(description="Of a division: its code.")]
    fields: Annotated[list[str] | None, Field(description="Of a changed unit: what differs.")] = None
    detail: str | None = None


class PlanAnswer(BaseModel):
    """What a load would change, the first 1,000 of it."""

    changes: int
    items: list[ChangeAnswer]


class RegistryAnswer(BaseModel):
    """The registry in force."""

    number: Annotated[int, Field(description="Loads on top of the committed table.")]
    units: int
    units_hash: str


class LoadAnswer(BaseModel):
    """The load is in force; running services take it up within seconds."""

    number: int
    changes: int
    units_hash: str


class ResponsibleAnswer(BaseModel):
    """Who answers for a unit on a day, as references."""

    unit_id: str
    on: date
    roles: dict[str, str]


class RegistryRoutes:
    """Handlers of the routes, bound to the use cases."""

    def __init__(self, parts: HttpParts, registering: Registering) -> None:
        """Use these."""
        self._parts = parts
        self._registering = registering

    def add_to(self, app: FastAPI) -> None:
        """Add all routes to `app`."""
        posts: tuple[Post[Any], ...] = (
            Post(
                "/v1/registry/loads",
                _load_registry,
                LoadBody,
                LoadAnswer,
                self.load,
                "units",
                takes=Permission.REGISTRY_CHANGE,
                large=True,
            ),
            Post(
                "/v1/registry/differences",
                _compare_registry,
                TablesBody,
                PlanAnswer,
                self.compare,
                "units",
                takes=Permission.REGISTRY_CHANGE,
                status=200,
                large=True,
            ),
        )
        for post in posts:
            add_post(app, self._parts, post)
        router = APIRouter(tags=["units"])
        later = problems(HTTPStatus.SERVICE_UNAVAILABLE)

        @router.get("/v1/registry", summary="The registry in force", dependencies=[PUBLIC], responses=later)
        async def registry() -> RegistryAnswer:
            """Tell number and hash of the table in force."""
            book = self._registering.book
            return RegistryAnswer(
                number=book.number,
                units=len(book.units),
                units_hash=units_hash(book.units),
            )

        @router.get(
            "/v1/registry/units.csv",
            summary="The table of units in force",
            dependencies=[PUBLIC],
            response_class=CsvResponse,
            responses=later,
        )
        async def table() -> CsvResponse:
            """Hand the table out as people edit it."""
            return CsvResponse(units_text(self._registering.book.units))

        @router.get(
            "/v1/units/{unit_id}/responsible", summary="Who answers for a unit", responses=READ_PROBLEMS
        )
        async def responsible(
            actor: Annotated[Principal, requires(Permission.SUPERVISION_READ)],
            request: Request,
            unit_id: Annotated[str, Path(max_length=64)],
            on: Annotated[date | None, Query(description="Business day; today.")] = None,
        ) -> ResponsibleAnswer:
            """Name the references of head, deputy, officer and backup on a day."""
            day = on or business_day(self._parts.clock.now())
            place = Place.of_unit(self._parts.units.get(unit_id))
            missing = partial(_not_theirs, unit_id)
            require_within(actor, Permission.SUPERVISION_READ, place, missing, request.url.path)
            return ResponsibleAnswer(
                unit_id=unit_id, on=day, roles=self._registering.book.responsible(unit_id, day)
            )

        app.include_router(router)

    async def load(self, asked: Asked[LoadBody]) -> LoadAnswer:
        """Put tables in force."""
        plan = self._registering.plan(asked.body.tables)
        number = await self._registering.load(asked.body.tables, asked.body.actor.credential, asked.facts)
        return LoadAnswer(
            number=number, changes=len(plan), units_hash=units_hash(self._registering.book.units)
        )

    async def compare(self, asked: Asked[TablesBody]) -> PlanAnswer:
        """Say what would change."""
        return _plan(self._registering.plan(asked.body.tables))


def _not_theirs(unit_id: str) -> NotFoundError:
    return NotFoundError(unit_id, "a unit within your scope", "name one of yours", field="unit_id")


def _plan(plan: Plan) -> PlanAnswer:
    items = [
        *(
            ChangeAnswer(what="division", unit_id=each.code, detail=f"{each.name} from {each.valid_from}")
            for each in plan.divisions
        ),
        *(
            ChangeAnswer(
                what="registered" if each.before is None else "changed",
                unit_id=each.unit.unit_id,
                fields=list(each.changed) or None,
                detail=each.unit.name,
            )
            for each in plan.units
        ),
        *(
            ChangeAnswer(what="merged", unit_id=each.unit_id, detail=f"{each.into} from {each.on}")
            for each in plan.merges
        ),
        *(
            ChangeAnswer(
                what="assigned",
                unit_id=each.unit_id,
                detail=f"{each.role}: {each.person or 'nobody'} from {each.valid_from}",
            )
            for each in plan.offices
        ),
    ]
    return PlanAnswer(changes=len(plan), items=items[:MOST_SHOWN])


async def _load_registry(body: LoadBody) -> None:
    """Put tables in force. Any fault refuses all of it; the same tables again change nothing."""


async def _compare_registry(body: TablesBody) -> None:
    """Compare tables with what is in force. Nothing is changed."""
