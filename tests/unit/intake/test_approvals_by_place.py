"""Whose a request for approval is, over HTTP: before it is carried out and after."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.domain.approvals import common_place
from services.intake.entrypoints.approvals import ApprovalRoutes
from services.intake.entrypoints.doors import Doors
from services.intake.entrypoints.http import HttpParts
from services.intake.settings import Settings
from shared.auth.access import PRINCIPAL
from shared.auth.principals import Principal, Role
from shared.auth.principals import Scope as Subtree
from shared.observability.problem import install_handlers
from shared.observability.tracing import message_context
from tests.unit.intake.port_suites import UNITS
from tests.unit.intake.test_approvals import Office

ANYI, DONGHU = "U000200", "U000112"
"""Windows of two counties of one city, 3601."""


def served(office: Office) -> FastAPI:
    app = FastAPI()
    install_handlers(app)
    settings = Settings(max_batch_bytes=10_000, max_body_bytes=10_000, body_timeout_s=1.0)
    parts = SimpleNamespace(
        clock=office.clock, units=UNITS, reviser=office.reviser, random=None, settings=settings,
        desk=SimpleNamespace(preparer=office.preparer),
        doors=Doors(settings, lambda *_: None, Random(1)),
    )  # fmt: skip
    ApprovalRoutes(cast("HttpParts", parts), office.approvals, office.work).add_to(app)
    return app


def as_supervisor(app: ASGIApp, region: str) -> httpx.AsyncClient:
    scope = Subtree.parse(region)
    principal = Principal(f"{region}-supervisor", (Role.parse(f"{scope.tier}.supervisor"),), scope)

    async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, PRINCIPAL: principal}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(let_in), base_url="http://intake")


async def excluded(office: Office, *units: str) -> str:
    """Exclude two ratings of each unit; the id of the request."""
    targets = [each for unit in units for each in await office.rated(f"{unit}a", f"{unit}b", unit_id=unit)]
    granted = await office.grant(await office.ask(*targets))
    office.work.mine(granted.request.approval_id)
    assert await office.work.run_once() == 1
    return granted.request.approval_id


@pytest.mark.parametrize(
    ("units", "region", "status"),
    [
        ((ANYI,), "360123", 200),
        ((ANYI,), "360100", 200),
        ((ANYI,), "360102", 404),
        ((ANYI, DONGHU), "360100", 200),
        ((ANYI, DONGHU), "360123", 404),
        ((ANYI, DONGHU), "360700", 404),
        ((ANYI, DONGHU), "360000", 200),
    ],
)
async def test_a_bulk_exclusion_is_still_theirs_who_asked_once_it_is_carried_out(
    units: tuple[str, ...], region: str, status: int
) -> None:
    office = Office()
    approval_id = await excluded(office, *units)
    async with as_supervisor(served(office), region) as http:
        answer = await http.get(f"/v1/approvals/{approval_id}")
        listed = (await http.get("/v1/approvals")).json()["items"]
        again: dict[str, Any] = {"decided_by": f"{region}-supervisor"}
        repeated = await http.post(f"/v1/approvals/{approval_id}/approve", json=again)
    assert answer.status_code == status
    assert [each["stage"] for each in listed] == ["carried_out"] * (status == 200)
    # Somebody else has decided: said to those whose it is, and to nobody else.
    assert repeated.status_code == (409 if status == 200 else 404)


async def test_who_decides_is_whoever_proves_it_and_need_not_be_repeated() -> None:
    office = Office()
    asked = await office.ask(*await office.rated("one", unit_id=ANYI))
    path = f"/v1/approvals/{asked.request.approval_id}/approve"
    async with as_supervisor(served(office), "360100") as http:
        other = await http.post(path, json={"decided_by": "somebody-else"})
        above = await http.post(path, json={"level": "province"})
        with message_context(correlation_id="c-1"):
            granted = await http.post(path, json={})
    assert (other.status_code, above.status_code) == (403, 403)
    assert "leave it out" in other.text
    assert granted.status_code == 202, granted.text
    verdict = office.approvals.get(asked.request.approval_id).verdict
    assert verdict is not None
    assert (verdict.by.credential, verdict.by.level) == ("360100-supervisor", "county")


def test_the_common_place_is_as_small_as_holds_them_all() -> None:
    one, other, bureau, far = ("3601", "360123"), ("3601", "360102"), ("3601", "all"), ("3607", "360721")
    assert common_place([one, one]) == one
    assert common_place([one, other]) == common_place([one, bureau]) == ("3601", "all")
    assert common_place([one, far]) == common_place([]) == common_place([("all", "all")]) == ("all", "all")
