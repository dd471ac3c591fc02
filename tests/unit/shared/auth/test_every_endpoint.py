"""Every endpoint of every service, as every role, in and out of its scope: what is let in and what is not.

The apps tell which endpoints there are; the table says what is expected of each, written out by hand and
derived from nothing: a grant that is changed by mistake fails here.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from shared.auth.access import OPEN, declared
from shared.auth.page import PAGE, rendered
from shared.auth.principals import STAFF, Duty, Tier
from shared.observability.http import declared_parameters
from tests.support.access import as_channel, as_staff
from tests.unit.shared.auth.apps import (
    CITY,
    COUNTY,
    OTHER_CITY,
    OTHER_COUNTY,
    OTHER_UNIT,
    UNIT,
    Served,
    serve,
)

LETTERS = {"V": Duty.VIEWER, "H": Duty.HANDLER, "S": Duty.SUPERVISOR, "A": Duty.AUDITOR, "D": Duty.ADMIN}
INSIDE = {Tier.PROVINCE: "360000", Tier.CITY: CITY, Tier.COUNTY: COUNTY, Tier.UNIT: UNIT}
OUTSIDE = {Tier.CITY: OTHER_CITY, Tier.COUNTY: OTHER_COUNTY, Tier.UNIT: OTHER_UNIT}


@dataclass(frozen=True)
class Expected:
    """What an endpoint is expected to answer about a window of the county.

    Attributes:
        may: letters of the duties that are let in, for province, city, county, unit: "VHSAD VHSAD VHSAD -".
        sees: the same for those who are in the scope but are refused (403) there, and get 404 elsewhere.
        elsewhere: what those of `may` get where the window is not theirs: 404, or 200 without it; None: the
            endpoint is about nothing that has a place.
        nothing: letters of those of `may` for whom nothing of it is theirs, there as elsewhere: what is about
            divisions does not lie in a unit.
        request: what is sent: query parameters, a body.
    """

    may: str
    sees: str = "- - - -"
    elsewhere: int | None = None
    systems: str = ""
    nothing: str = "- - - -"
    request: dict[str, Any] = field(default_factory=dict)


OPEN_TO_ALL = Expected("public")
_ALL = "VHSAD VHSAD VHSAD VHSAD"
_UNITS = "- - - VHSAD"
RATING = {"unit_id": UNIT, "grade": 2, "channel": "qr", "client_ref": "matrix"}

CAMPAIGN = {
    "campaign_id": "matrix", "title": "走访", "teams": 1, "cadres": 1,
    "targets": [{"county": COUNTY, "households": 1}],
    "mobilise_from": "2026-01-01", "run_from": "2026-02-01", "consolidate_from": "2026-03-01",
    "ends": "2026-04-01",
}  # fmt: skip
VISIT = {
    "county": COUNTY, "team": "t1", "target": "household", "whom": "h1",
    "visited_at": "2026-02-02T09:00:00+08:00",
}  # fmt: skip
INSPECTION = {
    "unit_id": UNIT, "undercover": False, "finding": "minor", "issues": [], "evidence": ["doc-1"],
    "occurred_at": "2026-02-02T09:00:00+08:00",
}  # fmt: skip
INCIDENT = {
    "unit_id": UNIT, "kind": "crime", "severity": "major", "evidence": ["doc-1"],
    "occurred_at": "2026-02-02T09:00:00+08:00",
}  # fmt: skip
PANEL = {"numbers": ["1"], "panel": "county", "division": COUNTY, "year": 2026, "group": "deputy"}

BULLETIN: dict[str, Any] = {
    "json": {
        "region": COUNTY, "period": "2026-10", "title": "东湖区民主评议情况", "pdf_sha256": "a" * 64,
        "html_sha256": "b" * 64, "figures_sha256": "c" * 64, "rules": f"sha256:{'1f' * 32}",
        "positions": {"FEEDBACK": 7},
    }
}  # fmt: skip


def acts(**fields: object) -> dict[str, Any]:
    """A body that somebody acts by: `as_staff` is everybody's name here."""
    return {"json": {"decided_by": "somebody", "level": "window", **fields}}


TABLE: dict[str, Expected] = {
    # intake
    "intake POST /v1/feedback": Expected("- - - -", systems="channel", request={"json": RATING}),
    "intake POST /v1/feedback/batch": Expected(
        "- - - -", systems="channel",
        request={"content": b"", "headers": {"content-type": "application/x-ndjson"}},
    ),
    "intake GET /v1/receipts/{code}": OPEN_TO_ALL,
    "intake POST /v1/receipts/{code}/withdrawal": OPEN_TO_ALL,
    "intake POST /v1/receipts/{code}/erasure": OPEN_TO_ALL,
    "intake POST /v1/feedback/{event_id}/erasure": Expected("D D D -", elsewhere=404),
    "intake POST /v1/vault/{record}/erasure": Expected("D - - -"),
    "intake POST /v1/feedback/{event_id}/unmaskings": Expected(
        "S S S -", elsewhere=404, request={"json": {"reason": "call_back", "parts": ["text"]}}
    ),
    "intake GET /v1/unmaskings/{request_id}": Expected("S S S -"),
    "intake POST /v1/unmaskings/{request_id}/approval": Expected("S S S -"),
    "intake POST /v1/unmaskings/{request_id}/refusal": Expected("S S S -"),
    "intake POST /v1/unmaskings/{request_id}/disclosure": Expected("S S S -"),
    "intake GET /v1/vault": Expected("D - - -"),
    "intake POST /v1/tokens": Expected(
        "D D HSD HSD", sees="HS HS - -", elsewhere=404, systems="hotline",
        request={"json": {"unit_id": UNIT}},
    ),
    "intake GET /v1/tokens/{token}": OPEN_TO_ALL,
    "intake GET /v1/tokens/{token}/qr.{form}": OPEN_TO_ALL,
    "intake GET /v1/units": OPEN_TO_ALL,
    "intake GET /v1/units/{unit_id}": OPEN_TO_ALL,
    "intake GET /v1/feedback/{event_id}/state": Expected(_ALL, elsewhere=404),
    "intake POST /v1/feedback/{event_id}/corrections": Expected(
        "D D HSD -", sees="HS HS - -", elsewhere=404, request=acts(reason="mistyped", grade=3)
    ),
    "intake POST /v1/feedback/{event_id}/exclusion": Expected(
        "D D SD -", sees="S S - -", elsewhere=404, request=acts(reason="no_service")
    ),
    "intake POST /v1/feedback/{event_id}/appeal": Expected(
        "D D HSD HSD", sees="HS HS - -", elsewhere=404, request=acts()
    ),
    "intake POST /v1/receipts/{code}/appeal": OPEN_TO_ALL,
    "intake POST /v1/approvals/exclusions": Expected(
        "D D SD -", sees="S S - -", elsewhere=404, request=acts(reason="no_service", targets=["one"])
    ),
    "intake POST /v1/approvals/rules": Expected("D - - -", request=acts(pack="x")),
    "intake POST /v1/approvals/{approval_id}/approve": Expected("SD SD SD -", request=acts()),
    "intake POST /v1/approvals/{approval_id}/reject": Expected(
        "SD SD SD -", request=acts(reason="unfounded")
    ),
    "intake GET /v1/approvals": Expected("SD SD SD -"),
    "intake GET /v1/approvals/{approval_id}": Expected("SD SD SD -"),
    "intake GET /v1/quarantine": Expected("SD SD SD -"),
    "intake GET /v1/quarantine/clusters": Expected("SD SD SD -"),
    "intake POST /v1/quarantine/decisions": Expected(
        "SD SD SD -", request={"json": {"move": "release", "reason": "found_genuine", "event_ids": ["x"]}}
    ),
    "intake POST /v1/campaigns": Expected("HSD HSD HSD -", elsewhere=404, request=acts(**CAMPAIGN)),
    "intake POST /v1/campaigns/{campaign_id}/visits": Expected(
        "HSD HSD HSD -", elsewhere=404, request=acts(visits=[VISIT])
    ),
    "intake GET /v1/campaigns": Expected(_ALL, elsewhere=200, nothing=_UNITS),
    "intake GET /v1/campaigns/{campaign_id}": Expected(_ALL, elsewhere=404, nothing=_UNITS),
    "intake POST /v1/inspections": Expected(
        "D D HSD -", sees="HS HS - -", elsewhere=404, request=acts(**INSPECTION)
    ),
    "intake POST /v1/incidents": Expected(
        "D D HSD -", sees="HS HS - -", elsewhere=404, request=acts(**INCIDENT)
    ),
    "intake POST /v1/findings/{finding_id}/verification": Expected(
        "HSD HSD HSD -", request=acts(verification="verified", evidence=["doc-1"])
    ),
    "intake GET /v1/findings": Expected(_ALL),
    "intake POST /v1/assessors": Expected("SD SD SD -", elsewhere=404, request=acts(**PANEL)),
    "intake GET /v1/assessors/panels": Expected(_ALL, elsewhere=200, nothing=_UNITS),
    "intake POST /v1/registry/loads": Expected("D - - -", request=acts(units="x")),
    "intake POST /v1/registry/differences": Expected("D - - -", request={"json": {"units": "x"}}),
    "intake GET /v1/registry": OPEN_TO_ALL,
    "intake GET /v1/registry/units.csv": OPEN_TO_ALL,
    "intake GET /v1/units/{unit_id}/responsible": Expected(_ALL, elsewhere=404),
    "intake POST /v1/adapters/good-bad-review": Expected(
        "- - - -", systems="qr hotline", request={"json": {}}
    ),
    "intake POST /v1/adapters/good-bad-review/batch": Expected(
        "- - - -", systems="qr hotline", request={"json": {"records": [{}]}}
    ),
    "intake GET /v1/adapters/good-bad-review": Expected("D - - -", systems="scoring"),
    "intake POST /v1/feedback/{event_id}/reinstatement": Expected(
        "D D SD -", sees="S S - -", elsewhere=404, request={"json": {"reason": "appeal_upheld"}}
    ),
    "intake POST /v1/feedback/{event_id}/quarantine": Expected(
        "D D SD -", sees="S S - -", elsewhere=404, request={"json": {"reason": "burst"}}
    ),
    "intake POST /v1/feedback/{event_id}/release": Expected(
        "D D SD -", sees="S S - -", elsewhere=404, request={"json": {"reason": "found_genuine"}}
    ),
    # scoring
    "scoring GET /v1/rankings": OPEN_TO_ALL,
    "scoring GET /v1/rankings/{key}/changes": OPEN_TO_ALL,
    "scoring GET /v1/rankings/{key}/stream": OPEN_TO_ALL,
    "scoring GET /v1/units/{unit_id}/score": OPEN_TO_ALL,
    "scoring GET /v1/units/{unit_id}/history": OPEN_TO_ALL,
    "scoring GET /v1/books": OPEN_TO_ALL,
    "scoring GET /v1/awards": Expected(_ALL, request={"params": {"period": "2026Q3"}}),
    "scoring GET /v1/integrity": Expected("SAD SAD SAD -", elsewhere=200),
    # notify
    "notify GET /v1/channels": Expected("AD - - -"),
    "notify POST /v1/channels/{address}/enable": Expected("D - - -", request={"json": {}}),
    "notify GET /v1/alerts": Expected(_ALL, elsewhere=200),
    "notify GET /v1/alerts/{alert_id}": Expected(_ALL, elsewhere=404),
    "notify POST /v1/alerts/{alert_id}/ack": Expected(
        "D D HSD HSD", sees="HS HS - -", elsewhere=404, request={"json": {}}
    ),
    "notify GET /v1/alerts/{alert_id}/explain": Expected(_ALL, elsewhere=404),
    "notify POST /v1/alerts/{alert_id}/snooze": Expected(
        "D D HSD HSD", sees="HS HS - -", elsewhere=404, request={"json": {"until": "2026-11-20T05:00:00Z"}}
    ),
    "notify GET /v1/recipients": Expected(_ALL),
    # archive
    "archive GET /v1/events": Expected("SAD SAD SAD -", elsewhere=200),
    "archive GET /v1/events/{event_id}": Expected("SAD SAD SAD -", elsewhere=404),
    "archive GET /v1/trace/{asked}": Expected("SAD SAD SAD -", elsewhere=404),
    "archive GET /v1/head": OPEN_TO_ALL,
    "archive GET /v1/verify": Expected("AD - - -"),
    "archive GET /v1/log/checkpoint": OPEN_TO_ALL,
    "archive GET /v1/log/checkpoints": OPEN_TO_ALL,
    "archive GET /v1/log/tile/{level}/{index}": OPEN_TO_ALL,
    "archive GET /v1/log/tile/{level}/{index}.p/{width}": OPEN_TO_ALL,
    "archive GET /v1/log/inclusion": OPEN_TO_ALL,
    "archive GET /v1/log/entries/{index}/inclusion": Expected("AD - - -"),
    "archive GET /v1/log/consistency": OPEN_TO_ALL,
    "archive GET /v1/log/keys": OPEN_TO_ALL,
    "archive GET /v1/log/entries": Expected("AD - - -", request={"params": {"first": 0, "end": 1}}),
    "archive POST /v1/log/cosignatures": OPEN_TO_ALL,
    "archive GET /v1/streams/{stream}/messages": Expected("D - - -", systems="scoring"),
    "archive GET /v1/streams/{stream}/fork": Expected("AD - - -"),
    # rectify
    "rectify GET /v1/cases": Expected(_ALL, elsewhere=200),
    "rectify GET /v1/cases/worklist": Expected(_ALL, elsewhere=200),
    "rectify GET /v1/cases/figures": Expected(_ALL, elsewhere=200),
    "rectify POST /v1/cases": Expected(
        "- - HS -", sees="HS HS - -", elsewhere=404,
        request={"json": {"unit_id": UNIT, "reason": "x"}, "headers": {"Idempotency-Key": "matrix"}},
    ),
    "rectify GET /v1/cases/{case_id}": Expected(_ALL, elsewhere=404),
    "rectify POST /v1/cases/{case_id}/moves": Expected(
        "- - HS HS", sees="HS HS - -", elsewhere=404, request={"json": {"move": "contact"}}
    ),
    "rectify DELETE /v1/cases/{case_id}/texts": Expected("D D D -", elsewhere=404),
    "rectify GET /v1/sanctions": Expected(_ALL, elsewhere=200),
    "rectify GET /v1/sanctions/{sanction_id}": Expected(_ALL, elsewhere=404),
    "rectify POST /v1/sanctions/{sanction_id}/signature": Expected(
        "- - S -", sees="S S - -", elsewhere=404, request={"json": {}}
    ),
    "rectify POST /v1/sanctions/{sanction_id}/rejection": Expected(
        "- - S -", sees="S S - -", elsewhere=404, request={"json": {"reason": "facts_wrong"}}
    ),
    "rectify POST /v1/sanctions/{sanction_id}/appeal": Expected(
        "- - - HS", sees="HS HS HS -", elsewhere=404, request={"json": {"reason": "facts_wrong"}}
    ),
    "rectify POST /v1/sanctions/{sanction_id}/decision": Expected(
        "- - S -", sees="S S - -", elsewhere=404, request={"json": {"granted": True}}
    ),
    "rectify GET /v1/nominations": Expected(_ALL, elsewhere=200),
    "rectify POST /v1/nominations/{nomination_id}/confirmation": Expected(
        "- - S -", sees="S S - -", elsewhere=404, request={"json": {}}
    ),
    "rectify GET /v1/checks": Expected(_ALL),
    "rectify GET /v1/checks/{quarter}": Expected(_ALL, elsewhere=200),
    "rectify POST /v1/checks/{quarter}": Expected("S S S -", request={"json": {}}),
    "rectify GET /v1/bulletins/cases": Expected(
        "VHSAD VHSAD VHSAD -", elsewhere=404,
        request={"params": {"region": COUNTY, "first": "2026-10-01", "last": "2026-10-31"}},
    ),
    "rectify POST /v1/bulletins": Expected("- S S -", sees="S - - -", elsewhere=404, request=BULLETIN),
    "rectify GET /v1/bulletins": OPEN_TO_ALL,
    "rectify GET /v1/bulletins/files/{sha256}": OPEN_TO_ALL,
    "rectify GET /v1/receipts/{code}/case": OPEN_TO_ALL,
    "rectify POST /v1/receipts/{code}/case/confirm": OPEN_TO_ALL,
    "rectify POST /v1/receipts/{code}/case/refuse": OPEN_TO_ALL,
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        yield serve(tmp_path_factory.mktemp("served"), patch)


@pytest.fixture(scope="module")
def rated(served: Served) -> str:
    """Event id of a rating that intake knows of."""

    async def submit() -> str:
        async with client(served, "intake") as http:
            answer = await http.post("/v1/feedback", json=RATING, headers=as_channel("qr"))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["event_id"])

    return asyncio.run(submit())


def client(served: Served, service: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(served.apps[service], raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{service}")


def test_the_table_has_every_endpoint_that_there_is_and_no_other(served: Served) -> None:
    found = {
        f"{service} {method} {context.path}"
        for service, app in served.apps.items()
        for context in iter_route_contexts(app.routes)
        if context.path not in OPEN
        for method in context.methods or ()
    }
    assert found == TABLE.keys()


def test_the_parameters_that_are_known_of_an_endpoint_are_those_of_its_openapi(served: Served) -> None:
    for service, app in served.apps.items():
        documented = {
            path: {
                method.upper(): {
                    each["name"]: '"array"' in json.dumps(each["schema"])
                    for each in one.get("parameters", ())
                    if each["in"] == "query"
                }
                for method, one in operations.items()
            }
            for path, operations in app.openapi()["paths"].items()
        }
        assert list(declared_parameters(app)) == list(documented), service
        assert declared_parameters(app) == documented, service
    assert any("limit" in names for by_method in documented.values() for names in by_method.values())


def test_the_page_on_access_has_every_guarded_endpoint_with_its_permission(served: Served) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| `(\w+) (\S+)` \| `([\w.]+)` \|", page, re.MULTILINE)
    found = {
        (service, method, str(context.path), permission.value)
        for service, app in served.apps.items()
        for context in iter_route_contexts(app.routes)
        if (permission := declared(context)) is not None
        for method in context.methods or ()
    }
    assert set(rows) == found


def test_the_page_on_access_has_the_grants_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(page), "run make docs"


@pytest.mark.parametrize("endpoint", [name for name, row in TABLE.items() if row is not OPEN_TO_ALL])
async def test_a_guarded_endpoint_lets_in_who_it_should_and_nobody_else(
    served: Served, rated: str, endpoint: str
) -> None:
    service, method, template = endpoint.split(" ")
    ids = served.ids
    path = template.format(
        event_id=rated if service == "intake" else ids["archived_id"],
        alert_id=ids["alert_id"],
        case_id=ids["case_id"],
        sanction_id=ids["sanction_id"],
        nomination_id=ids["nomination_id"],
        quarter="2026Q4",
        address="console",
        asked=ids["archived_id"],
        stream="FEEDBACK",
        request_id=rated,
        record="0" * 32,
        approval_id=rated,
        finding_id=rated,
        campaign_id="matrix",
        unit_id=UNIT,
        index=0,
    )
    async with client(served, service) as http:
        door = Door(http, method, path, TABLE[endpoint], rated)
        wrong = [
            *[each for tier in Tier for duty in STAFF for each in await door.staff(tier, duty)],
            *[each for system in ("qr", "hotline", "scoring") for each in await door.system(system)],
            *await door.nobody(),
            *(await door.head() if method == "GET" else ()),
        ]
    assert not wrong, "\n".join(wrong)


@dataclass
class Door:
    """One endpoint, and what it answers otherwise than expected."""

    http: httpx.AsyncClient
    method: str
    path: str
    row: Expected
    rated: str

    async def knock(self, headers: dict[str, str]) -> httpx.Response:
        request = self.row.request
        if self.path.endswith("/approvals/exclusions"):
            request = {"json": {**request["json"], "targets": [self.rated]}}
        given = {**request, "headers": {**self.row.request.get("headers", {}), **headers}}
        return await self.http.request(self.method, self.path, **given)

    async def staff(self, tier: Tier, duty: Duty) -> list[str]:
        role, wrong = f"{tier}.{duty}", []
        inside = await self.knock(as_staff(role, INSIDE[tier]))
        if not self._fits_inside(inside, (tier, duty)):
            wrong.append(f"{role} there: {inside.status_code} {inside.text[:200]}")
        if tier in OUTSIDE:
            outside = await self.knock(as_staff(role, OUTSIDE[tier]))
            if not self._fits_outside(outside, (tier, duty)):
                wrong.append(f"{role} elsewhere: {outside.status_code} {outside.text[:200]}")
        return wrong

    async def head(self) -> list[str]:
        """HEAD is let in as GET is."""
        wrong = []
        for headers in ({}, as_staff("county.viewer", "360102"), as_staff("province.admin", "360000")):
            whole = await self.knock(headers)
            alone = await replace(self, method="HEAD").knock(headers)
            if (alone.status_code, alone.content) != (whole.status_code, b""):
                wrong.append(f"HEAD: {alone.status_code} {alone.text[:200]}, and GET: {whole.status_code}")
        return wrong

    def _fits_inside(self, answer: httpx.Response, one: tuple[Tier, Duty]) -> bool:
        if one not in _roles(self.row.may):
            return answer.status_code == 403
        if one in _roles(self.row.nothing):
            return self._fits_outside(answer, one)
        return _let_in(answer) and (self.row.elsewhere is None or _shows(answer))

    def _fits_outside(self, answer: httpx.Response, one: tuple[Tier, Duty]) -> bool:
        may, elsewhere = one in _roles(self.row.may), self.row.elsewhere
        if not may and one not in _roles(self.row.sees):
            return answer.status_code == 403
        if may and elsewhere is None:
            return _let_in(answer)
        if may and elsewhere == 200:
            return answer.status_code == 200 and not _shows(answer)
        return answer.status_code == 404

    async def system(self, name: str) -> list[str]:
        answer = await self.knock(as_channel(name))
        # Each line of a batch is judged by itself, so that the batch of another channel is let in.
        of_batch = self.path.endswith("/batch") and name == "hotline"
        taken = name in self.row.systems or (self.row.systems == "channel" and name == "qr") or of_batch
        fits = _let_in(answer) if taken else answer.status_code == 403
        return [] if fits else [f"{name}: {answer.status_code} {answer.text[:200]}"]

    async def nobody(self) -> list[str]:
        wrong = []
        for proof in (None, "Bearer pk_aaaaaaaaaaaa.x", "Bearer a.b.c", "Basic YTpi"):
            answer = await self.knock({} if proof is None else {"Authorization": proof})
            if answer.status_code != 401 or "Bearer" not in answer.headers["www-authenticate"]:
                wrong.append(f"nobody: {answer.status_code} {answer.text[:200]}")
        return wrong


@pytest.mark.parametrize("endpoint", [name for name, row in TABLE.items() if row is OPEN_TO_ALL])
async def test_a_public_endpoint_asks_nobody_who_they_are(served: Served, endpoint: str) -> None:
    service, method, template = endpoint.split(" ")
    path = template.format(
        code="23N5-F9ZE-AWKC-XA7K",
        sha256="a" * 64,
        token="x",
        form="svg",
        unit_id=UNIT,
        key="county.all.30",
        level=0,
        index=0,
        width=1,
    )
    async with client(served, service) as http:
        answer = await http.request(method, path)
    assert answer.status_code not in {401, 403}, answer.text


def _roles(text: str) -> set[tuple[Tier, Duty]]:
    found = {
        (tier, LETTERS[letter])
        for tier, letters in zip(Tier, text.split(" "), strict=True)
        for letter in letters
        if letter != "-"
    }
    assert text.count(" ") == 3
    return found


def _let_in(answer: httpx.Response) -> bool:
    return answer.status_code not in {401, 403, 404}


def _shows(answer: httpx.Response) -> bool:
    """Whether a list has the window's item, or figures count it; other answers show what they are about."""
    body = answer.json()
    for held in ("items", "cases"):
        if isinstance(body, dict) and held in body:
            return bool(body[held])
    return answer.status_code != 404
