"""The rules on cases: what fires, who hears of it, and that nothing of the citizen is in it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.notify.application.case_alerts import RaiseCaseAlerts, case_fact_of
from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.case_facts import CaseFact, ClockMark
from services.notify.domain.case_rules import LOOKED_AT, case_alerts
from services.notify.domain.catalogue import CONFIDENTIAL, RULES
from services.notify.domain.channels import Language
from services.notify.domain.texts import render
from services.notify.entrypoints.case_messages import needs_a_look
from shared.events import EVENTS, Envelope, parse_event
from shared.events.cases import CaseChanged
from shared.events.catalogue import examples_of
from shared.rules import Severity, parse_pack
from shared.rules.loading import read_texts
from tests.unit.notify.people import UNITS, WINDOW, directory
from tests.unit.notify.support import CAUSE, NOW, PACK, SetClock, Stream
from tests.unit.notify.test_handlers import raising

CASE_SPECS = {spec.fact: spec for spec in EVENTS if spec.context == "cases"}
CASE_RULES = [name for name in RULES if name.startswith("case_")]


def fact(name: str = "clock-reached", **fields: Any) -> CaseFact:  # noqa: ANN401 - fields of CaseFact
    usual = CaseFact(
        cause=CAUSE, fact=name, case_id="case-1", about="东湖区婚姻登记处", handler="窗口负责人",
        origin="rating", status="in_progress", case_class="A", refused=1, due_at=NOW + timedelta(days=2),
    )  # fmt: skip
    return replace(usual, **fields)


def reached(clock: str, percent: int, *, overtaken: bool = False, **fields: Any) -> CaseFact:  # noqa: ANN401 - fields of CaseFact
    return fact(clock=ClockMark(clock, percent, NOW, overtaken), **fields)


def rules_of(found: CaseFact) -> list[str]:
    return [alert.rule for alert in case_alerts(found, PACK)]


def one(found: CaseFact, rule: str) -> Alert:
    (alert,) = [alert for alert in case_alerts(found, PACK) if alert.rule == rule]
    return alert


def example(name: str, **data: Any) -> Envelope[CaseChanged]:  # noqa: ANN401 - fields of the case
    """The committed full example of a fact, with other fields of the case."""
    body = examples_of(CASE_SPECS[name])["full"]
    body["data"]["case"] |= data
    return parse_event(json.dumps(body).encode())


@pytest.mark.parametrize("clock", ["contact", "classify", "solve"])
@pytest.mark.parametrize(
    ("percent", "rules", "severity"),
    [
        (50, ["case_clock"], Severity.INFO),
        (80, ["case_clock"], Severity.WARNING),
        (100, ["case_clock", "case_overdue"], Severity.WARNING),
    ],
)
def test_the_unit_is_reminded_and_the_level_above_hears_of_what_is_late(
    clock: str, percent: int, rules: list[str], severity: Severity
) -> None:
    assert rules_of(reached(clock, percent)) == rules
    reminder = one(reached(clock, percent), "case_clock")
    assert reminder.severity is severity
    assert reminder.alert_id == alert_id("case_clock", CAUSE.event_id)
    assert reminder.figures["percent"] == str(percent)
    assert reminder.figures["threshold"] == "50%,80%,100%"


def test_what_is_overdue_is_told_one_level_up_only_and_reminders_along_the_chain() -> None:
    late = {alert.rule: alert for alert in case_alerts(reached("solve", 100), PACK)}
    late = {rule: replace(alert, unit_id=WINDOW.unit_id) for rule, alert in late.items()}
    up = directory().steps(late["case_overdue"], NOW.date())
    chain = directory().steps(late["case_clock"], NOW.date())
    assert [[each.recipient_id for each in step.recipients] for step in up] == [["chief"]]
    assert [step.recipients[0].recipient_id for step in chain] == ["officer", "deputy", "head", "chief"]


def test_a_unit_may_see_what_its_supervisor_was_told_of_its_cases() -> None:
    assert not CONFIDENTIAL & set(CASE_RULES)
    assert {"too_good", "quarantine_share"} <= CONFIDENTIAL


def test_the_citizens_own_time_reminds_nobody_until_it_is_over() -> None:
    assert rules_of(reached("confirm", 50)) == rules_of(reached("confirm", 80)) == []


def test_a_silent_citizens_case_goes_to_the_level_that_may_confirm_it_and_not_to_the_unit() -> None:
    assert rules_of(reached("confirm", 100)) == ["case_overdue"]
    told = one(reached("confirm", 100), "case_overdue")
    assert "反馈期已满" in told.title
    assert "可按逾期未反馈确认" in told.body
    up = directory().steps(replace(told, unit_id=WINDOW.unit_id), NOW.date())
    assert [[each.recipient_id for each in step.recipients] for step in up] == [["chief"]]
    checked = one(reached("confirm", 100, origin="inspection"), "case_overdue")
    assert "没有评价人" in checked.body


def test_the_end_of_a_wait_is_told_as_the_case_going_on_and_not_as_a_missed_deadline() -> None:
    assert rules_of(reached("pause", 80)) == ["case_clock"]
    assert "等待群众" in one(reached("pause", 80), "case_clock").title
    assert rules_of(reached("pause", 100)) == ["case_clock", "case_overdue"]
    for rule in ("case_clock", "case_overdue"):
        assert "逾期" not in one(reached("pause", 100), rule).title
    assert "自动恢复办理" in one(reached("pause", 100), "case_overdue").body
    assert "质询" in one(reached("inquiry", 100), "case_overdue").title


def test_another_look_at_class_c_is_the_supervisors_business() -> None:
    assert rules_of(reached("review", 80)) == []
    assert rules_of(reached("review", 100)) == ["case_overdue"]
    assert "复核" in one(reached("review", 100), "case_overdue").title


def test_a_reminder_that_a_later_one_has_overtaken_is_not_told() -> None:
    assert rules_of(reached("solve", 50, overtaken=True)) == []
    event = example("clock-reached")
    assert not (case_fact_of(event, UNITS).clock or pytest.fail("a mark")).overtaken
    after_an_outage = event.model_copy(update={"receivedat": datetime(2026, 12, 2, tzinfo=UTC)})
    assert (case_fact_of(after_an_outage, UNITS).clock or pytest.fail("a mark")).overtaken


@pytest.mark.parametrize(
    ("name", "fields", "rules"),
    [
        ("opened", {"origin": "inspection"}, ["case_opened"]),
        ("opened", {"origin": "manual"}, ["case_opened"]),
        ("opened", {"origin": "rating"}, []),
        ("assigned", {}, ["case_assigned"]),
        ("transfer-proposed", {}, ["case_assigned"]),
        ("transfer-refused", {}, ["case_assigned"]),
        ("transfer-accepted", {}, []),
        ("inquired", {}, ["case_assigned"]),
        ("inquiry-answered", {}, []),
        ("answer-refused", {"refused": 1}, ["case_reopened"]),
        ("answer-refused", {"refused": 2}, ["case_reopened", "case_refused_again"]),
        ("spot-checked", {"passed": False}, ["case_reopened"]),
        ("spot-checked", {"passed": True, "refused": 5}, []),
        ("answered", {}, []),
        ("annulled", {}, []),
    ],
)
def test_steps_of_a_case_are_told_where_somebody_has_to_act(
    name: str, fields: dict[str, Any], rules: list[str]
) -> None:
    assert rules_of(fact(name, **fields)) == rules
    assert not rules or name in LOOKED_AT


@pytest.mark.parametrize("name", sorted(CASE_SPECS))
def test_only_facts_that_a_rule_may_fire_on_get_a_look(name: str) -> None:
    body = json.dumps(examples_of(CASE_SPECS[name])["full"]).encode()
    assert needs_a_look(body) is (name in LOOKED_AT)


def test_what_is_no_event_gets_a_look_so_that_it_becomes_a_dead_letter() -> None:
    assert needs_a_look(b"{")
    assert needs_a_look(b'{"type": 3}')


def test_who_is_asked_to_take_a_case_over_is_told_and_before_an_assignment_the_unit_itself() -> None:
    asked = case_fact_of(
        example("transfer-proposed", pending_transfer={"unit_id": "U000533", "handler": "分管领导"}), UNITS
    )
    assert (asked.cause.unit_id, asked.handler, asked.about) == (
        "U000533", "分管领导", "赣州市章贡区婚姻登记处",
    )  # fmt: skip
    opened = case_fact_of(example("opened", responsible=None), UNITS)
    assert (opened.cause.unit_id, opened.cause.county, opened.handler) == ("U000532", "360702", None)


@pytest.mark.parametrize("name", sorted(LOOKED_AT))
@pytest.mark.parametrize("language", list(Language))
def test_no_text_of_a_case_gets_into_an_alert_in_any_language(name: str, language: Language) -> None:
    event = example(name, origin="inspection", reopened=3)
    for alert in case_alerts(case_fact_of(event, UNITS), PACK):
        text = render(alert, language).joined()
        assert "3kHk1mYx0bJr5mQh0n1Y2cT6v8sO9b0dU5m3qg" not in text
        assert alert.figures["case_id"] in text
        assert len(alert.title) <= 200
        if language is Language.EN:
            assert not any("\u4e00" <= char <= "\u9fff" for char in text.splitlines()[1])


async def test_a_fact_about_a_case_becomes_durable_alerts_once_with_rule_pack_and_condition() -> None:
    stream = Stream()
    late = example("clock-reached").model_copy(update={"receivedat": NOW})
    late = late.model_copy(update={"data": late.data.model_copy(update={"percent": 100})})
    for _ in range(2):
        ids = await RaiseCaseAlerts(raising(stream, SetClock(NOW)), UNITS)(late)
    assert ids == tuple(event.id for event in stream.events)
    assert [event.data.rule for event in stream.events] == ["case_clock", "case_overdue"]
    assert {event.causationid for event in stream.events} == {late.id}
    assert stream.events[0].data.condition == RULES["case_clock"].condition(PACK)
    assert len(stream.events[1].data.condition or "") <= 500


async def test_what_is_overdue_is_told_also_after_notify_was_away_for_months() -> None:
    stream = Stream()
    late = example("clock-reached").model_copy(update={"receivedat": NOW})
    late = late.model_copy(update={"data": late.data.model_copy(update={"percent": 100})})
    await RaiseCaseAlerts(raising(stream, SetClock(NOW + timedelta(days=200))), UNITS)(late)
    assert [event.data.rule for event in stream.events] == ["case_clock", "case_overdue"]


def test_the_pack_says_when_and_how_urgently_and_old_packs_need_not() -> None:
    ((_, text),) = read_texts(None)
    assert "[alerts.case_clock]" in text
    edited = text.replace("percents = [50, 80, 100] #", "percents = [80] #").replace("times = 2", "times = 4")
    pack = parse_pack(edited, "edited")
    assert [alert.rule for alert in case_alerts(reached("solve", 50), pack)] == []
    assert [alert.rule for alert in case_alerts(fact("answer-refused", refused=3), pack)] == ["case_reopened"]
    head, rest = text.split("# Cases 整改件.", 1)
    old = parse_pack(head + rest[rest.index("# Who is told when.") :], "old")
    assert old.alerts.cases == PACK.alerts.cases
    with pytest.raises(Exception, match=r"alerts\.case_clock\.percent"):
        parse_pack(text.replace("percents = [50, 80, 100] #", "percent = [80] #"), "wrong")


@pytest.mark.parametrize("name", CASE_RULES)
def test_every_rule_has_a_condition_in_words_by_the_packs_numbers(name: str) -> None:
    assert 10 <= len(RULES[name].condition(PACK)) <= 500
    assert set(RULES[name].watches) <= {spec.name for spec in CASE_SPECS.values()}


@pytest.mark.parametrize("name", sorted(LOOKED_AT))
def test_every_rule_says_which_facts_it_watches(name: str) -> None:
    said = {rule for rule in CASE_RULES if CASE_SPECS[name].data.__name__ in RULES[rule].watches}
    clock = ClockMark("solve", 100, NOW, overtaken=False) if name == "clock-reached" else None
    assert said == set(rules_of(fact(name, origin="manual", refused=2, passed=False, clock=clock)))
