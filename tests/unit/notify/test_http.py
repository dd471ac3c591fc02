"""The HTTP side over a stream in memory: what is refused before anything is stored."""

from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.notify.application.handlers import AcknowledgeAlert, ReadAlerts
from services.notify.application.translation import raised_event
from services.notify.domain.catalogue import RULES
from services.notify.domain.follow_ups import escalation_of
from services.notify.domain.ledger import Waiting
from services.notify.entrypoints.http import make_router
from services.notify.entrypoints.places import AlertPlaces
from shared.events import AlertAcknowledged, Provenance
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry, load_units
from shared.observability.problem import install_handlers
from tests.support.access import as_staff, guard, proofs
from tests.unit.notify.support import NOW, PACK, SetClock, Stream, alert


class Api:
    """A stream with one alert, and the routes over it."""

    def __init__(self, units: UnitRegistry | None = None) -> None:
        units = units or load_units()
        self.stream = Stream()
        self.app = FastAPI()
        install_handlers(self.app)
        read = ReadAlerts(self.stream)
        acknowledge = AcknowledgeAlert(read, states=self.stream, publisher=self.stream, clock=SetClock())
        self.app.include_router(make_router(read, acknowledge, AlertPlaces(read, units, SetClock())))
        guard(self.app)
        self.event = raised_event(
            alert(), ("webhook",), NOW, rules="sha256:00", provenance=Provenance("request-1")
        )

    async def ack(self, body: dict[str, Any], subject: str = "duty-officer") -> httpx.Response:
        await self.stream.publish(self.event)
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
            headers = as_staff("province.admin", "360000", subject)
            return await client.post(f"/v1/alerts/{self.event.id}/ack", json=body, headers=headers)

    async def list(self, **query: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://notify", auth=proofs()) as client:
            return await client.get("/v1/alerts", params=query)


@pytest.mark.parametrize("field", ["by", "note"])
@pytest.mark.parametrize(
    ("hidden", "name"),
    [("\n", "U+000A"), ("\x00", "U+0000"), ("\x1b", "U+001B"), ("\u200b", "U+200B"), ("\u202e", "U+202E")],
)
async def test_invisible_characters_are_refused_and_named(field: str, hidden: str, name: str) -> None:
    api = Api()
    answer = await api.ack({field: f"138{hidden}12345678"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert f"{name} at character 4" in error["expected"]
    assert "remove" in error["remedy"]
    assert "12345678" not in answer.text
    assert api.stream.of(AlertAcknowledged) == []


async def test_numbers_of_people_are_neither_stored_nor_answered() -> None:
    api = Api()
    answer = await api.ack({"note": "已联系 13812345678 身份证360102199003074514"})
    assert answer.status_code == 200
    assert answer.json()["acknowledgement"]["note"] == "已联系 [手机号] 身份证[身份证号]"
    assert (await api.ack({"note": "已联系 13812345678"})).status_code == 200
    (stored,) = api.stream.of(AlertAcknowledged)
    assert "13812345678" not in stored.to_json().decode()
    assert "360102199003074514" not in stored.to_json().decode()


async def test_who_comes_second_learns_which_field_contradicts_what() -> None:
    api = Api()
    await api.ack({"by": "zhang"}, "zhang")
    answer = await api.ack({}, "li")
    assert answer.status_code == 409
    (error,) = answer.json()["errors"]
    assert (error["field"], error["value"]) == ("by", "'li'")
    assert "zhang" in error["expected"]
    assert error["remedy"]


@pytest.mark.parametrize("rule", RULES)
async def test_every_rule_can_be_asked_for(rule: str) -> None:
    assert (await Api().list(rule=rule)).status_code == 200


async def test_an_unknown_rule_is_answered_with_the_known_ones() -> None:
    answer = await Api().list(rule="rank_dorp")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "rule"
    assert all(rule in error["expected"] for rule in RULES)


async def test_an_unknown_unit_is_refused_and_one_that_has_ended_or_has_alerts_is_not() -> None:
    ended = load_units().by_level(Level.WINDOW)[-1]
    others = (each for each in load_units() if each is not ended)
    api = Api(UnitRegistry([*others, replace(ended, valid_to=date(2026, 1, 1))]))
    answer = await api.list(unit_id="U00112")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["value"]) == ("unit_id", "'U00112'")
    assert error["expected"] == "the id of a registered unit"
    assert "did you mean U000112" in error["remedy"]
    assert (await api.list(unit_id="U000112")).json()["items"] == []
    assert (await api.list(unit_id=ended.unit_id)).json()["items"] == []
    gone = alert(3, unit_id="U999999")
    assert (await api.list(unit_id=gone.unit_id or "")).status_code == 422
    await api.stream.publish(raised_event(gone, (), NOW, rules="sha256:00", provenance=Provenance("r")))
    assert len((await api.list(unit_id=gone.unit_id or "")).json()["items"]) == 1


@pytest.mark.parametrize("cursor", ["-1", "0x1f", "1_0", " f", "f\n", "F", "0", "", "１", "1" * 17])
async def test_only_a_cursor_as_it_was_given_out_is_taken(cursor: str) -> None:
    answer = await Api().list(cursor=cursor)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_nobody_takes_an_alert_over_in_the_name_of_somebody_else() -> None:
    api = Api()
    answer = await api.ack({"by": "zhang"}, "li")
    assert answer.status_code == 403
    assert "by names somebody else than who asks, li" in answer.json()["detail"]
    assert api.stream.of(AlertAcknowledged) == []


@pytest.mark.parametrize(
    ("rule", "role", "region", "seen"),
    [
        ("too_good", "unit.supervisor", "U000112", False),
        ("quarantine_share", "unit.handler", "U000112", False),
        ("bad_review", "unit.handler", "U000112", True),
        ("too_good", "county.supervisor", "360102", True),
        ("too_good", "province.admin", "360000", True),
    ],
)
@pytest.mark.parametrize("escalated", [False, True])
async def test_a_unit_does_not_see_that_its_ratings_look_made_up_and_those_above_do(
    rule: str, role: str, region: str, *, seen: bool, escalated: bool
) -> None:
    api = Api()
    about = alert(2, rule=rule, unit_id="U000112")
    if escalated:
        waiting = Waiting(about.alert_id, about.severity, 0, NOW)
        about = escalation_of(about, 1, waiting, PACK.routing, NOW)
    event = raised_event(about, (), NOW, rules="sha256:00", provenance=Provenance("r"))
    await api.stream.publish(event)
    transport = httpx.ASGITransport(api.app)
    headers = as_staff(role, region)
    async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
        one = await client.get(f"/v1/alerts/{event.id}", headers=headers)
        page = (await client.get("/v1/alerts", headers=headers)).json()
    assert (one.status_code == 200) is seen
    assert [each["alert_id"] for each in page["items"]] == ([event.id] if seen else [])
