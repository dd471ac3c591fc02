"""The rules on closed lists: nominations go up the levels, candidates to whoever decides, checks to all."""

import json
from dataclasses import replace
from typing import Any

import pytest

from services.notify.application.list_alerts import RaiseListAlerts, named_alerts, quarter_alerts
from services.notify.domain.alert import Alert
from services.notify.domain.catalogue import CONFIDENTIAL, RULES
from services.notify.domain.channels import Language
from services.notify.domain.texts import render
from shared.events import EVENTS, Envelope, PeriodClosed, parse_envelope
from shared.events.catalogue import examples_of
from shared.kernel.grades import Level
from shared.rules import Severity, parse_pack
from shared.rules.loading import read_texts
from tests.unit.notify.people import UNITS, WINDOW, directory
from tests.unit.notify.support import NOW, PACK, SetClock, Stream
from tests.unit.notify.test_handlers import raising

SPECS = {
    spec.fact: spec for spec in EVENTS
    if spec.fact == "period-closed" or spec.topic in {"nomination", "candidate"}
}  # fmt: skip
NAMED = sorted(SPECS.keys() - {"period-closed"})
QUARTER: dict[str, Any] = {"level": "county", "kind": None, "list": "county.all.2026Q4", "period": "2026Q4"}


def example(name: str, state: dict[str, Any] | None = None, **data: Any) -> Envelope[Any]:  # noqa: ANN401 - fields
    body = examples_of(SPECS[name])["full"]
    body["data"] |= data
    if "unit_id" in body["data"]:
        body["data"] |= {"unit_id": WINDOW.unit_id, "city": WINDOW.city, "county": WINDOW.county}
    body["data"].get("nomination", {}).update(state or {})
    return parse_envelope(SPECS[name].envelope, json.dumps(body).encode())


def told_of(name: str, state: dict[str, Any] | None = None, **data: Any) -> tuple[Alert, ...]:  # noqa: ANN401 - likewise
    event = example(name, state, **data)
    if name == "period-closed":
        return quarter_alerts(event, PACK, UNITS)
    return named_alerts(event, PACK, UNITS)


def first_told(alert: Alert) -> list[str]:
    (step, *_) = directory().steps(alert, NOW.date())
    return [each.recipient_id for each in step.recipients]


def by_rule(alerts: tuple[Alert, ...]) -> dict[str, Alert]:
    return {each.rule: each for each in alerts}


def test_a_nominated_unit_hears_of_it_and_the_level_above_is_asked() -> None:
    found = by_rule(told_of("unit-nominated"))
    assert found.keys() == {"nomination_step", "nomination_to_confirm"}
    assert first_told(found["nomination_step"]) == ["officer"]
    assert first_told(found["nomination_to_confirm"]) == ["chief"]
    assert "第3名" in found["nomination_step"].body
    assert "请县级核实后确认推荐" in found["nomination_to_confirm"].body
    assert WINDOW.name in found["nomination_to_confirm"].title


def test_each_further_level_is_asked_when_it_is_its_turn() -> None:
    """The city is asked over the county's bureau, the province over the city's."""
    city = by_rule(told_of("nomination-confirmed"))["nomination_to_confirm"]
    assert first_told(city) == ["city"]
    assert city.unit_id == WINDOW.parent_id
    province = by_rule(told_of("nomination-confirmed", {"awaits": "province"}))["nomination_to_confirm"]
    assert province.unit_id == UNITS.get(WINDOW.parent_id or "").parent_id
    assert UNITS.get(province.unit_id or "").level is Level.CITY


def test_a_nomination_that_is_through_or_off_is_told_to_the_unit_alone() -> None:
    (through,) = told_of("nomination-confirmed", {"awaits": None, "status": "confirmed"})
    (off,) = told_of("nomination-withdrawn")
    assert {through.rule, off.rule} == {"nomination_step"}
    assert "已获各级确认" in through.body
    assert "一票否决" in off.body


@pytest.mark.parametrize(("proposable", "more"), [(True, "足以提出约谈建议"), (False, "尚不足以")])
def test_a_candidate_for_a_talk_is_told_one_level_up_and_not_to_the_unit(
    *, proposable: bool, more: str
) -> None:
    (alert,) = told_of("talk-candidate-named", proposable=proposable)
    assert (alert.rule, alert.severity) == ("talk_candidate", Severity.WARNING)
    assert first_told(alert) == ["chief"]
    assert "talk_candidate" in CONFIDENTIAL
    assert more in alert.body
    assert "99个单位中列第98名" in alert.body
    assert alert.figures["threshold"] == "rank>96"


def test_each_region_checks_what_is_below_it_once_a_quarter() -> None:
    alerts = told_of("period-closed", **QUARTER)
    regions = {level: len(UNITS.by_level(level)) for level in (Level.PROVINCE, Level.CITY, Level.COUNTY)}
    assert len(alerts) == sum(regions.values()) == 111
    assert len({each.alert_id for each in alerts}) == len(alerts)
    (mine,) = [each for each in alerts if each.county == WINDOW.county]
    assert first_told(mine) == ["chief"]
    assert mine.unit_id is None
    assert "pingyi sanctions check 2026Q4" in mine.body
    again = told_of("period-closed", **QUARTER | {"list_hash": "sha256:" + "b" * 64})
    assert [each.alert_id for each in again] == [each.alert_id for each in alerts]


@pytest.mark.parametrize(
    "changes",
    [{"level": "window"}, {"period": "2026-11"}, {"period": "2026"}, {"part": 2, "parts": 2}],
    ids=["another list", "a month", "a year", "another part"],
)
def test_other_lists_and_periods_ask_for_no_check(changes: dict[str, Any]) -> None:
    assert told_of("period-closed", **QUARTER | changes) == ()


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("language", list(Language))
def test_texts_are_whole_in_both_languages(name: str, language: Language) -> None:
    for alert in told_of(name):
        text = render(alert, language).joined()
        assert alert.figures["subject_id"] in text
        assert alert.evidence[0] == example(name).id
        assert len(alert.evidence) > 1, "it names what it rests on"
        assert "{" not in text


async def test_what_is_named_or_closed_becomes_durable_alerts_once_however_often_it_comes() -> None:
    stream = Stream()
    raise_list = RaiseListAlerts(raising(stream, SetClock(NOW)), UNITS)
    named = example("unit-nominated").model_copy(update={"receivedat": NOW})
    closed: Envelope[PeriodClosed] = example("period-closed", **QUARTER).model_copy(
        update={"receivedat": NOW}
    )
    for _ in range(2):
        ids = (*await raise_list.on_named(named), *await raise_list.on_closed(closed))
    assert [each.id for each in stream.events] == list(ids)
    assert stream.events[0].data.condition == RULES["nomination_step"].condition(PACK)


def test_how_urgent_it_is_is_the_packs_word_and_packs_need_not_say() -> None:
    ((_, text),) = read_texts(None)
    table = '[alerts.talk_candidate]\nseverity = "critical"\n\n[alerts.strike]'
    urgent = parse_pack(text.replace("[alerts.strike]", table, 1), "edited").alerts.sanctions
    assert urgent.candidate is Severity.CRITICAL
    assert replace(urgent, candidate=Severity.WARNING) == PACK.alerts.sanctions
