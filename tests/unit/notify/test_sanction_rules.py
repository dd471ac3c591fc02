"""The rules on strikes and sanctions: who hears of which step, and what nobody hears of too early."""

import json
from dataclasses import replace
from typing import Any

import pytest

from services.notify.application.sanction_alerts import RaiseSanctionAlerts, sanction_fact_of
from services.notify.domain.alert import Alert
from services.notify.domain.catalogue import CONFIDENTIAL, RULES
from services.notify.domain.channels import Language
from services.notify.domain.sanction_rules import sanction_alerts
from services.notify.domain.texts import render
from shared.events import EVENTS, Envelope, parse_event
from shared.events.catalogue import examples_of
from shared.rules import Severity, parse_pack
from shared.rules.loading import read_texts
from tests.unit.notify.people import UNITS, WINDOW, directory
from tests.unit.notify.support import NOW, PACK, SetClock, Stream
from tests.unit.notify.test_handlers import raising

SPECS = {
    spec.fact: spec for spec in EVENTS if spec.context == "sanctions" and spec.topic in {"strike", "sanction"}
}
STEPS = {
    "strike-counted": ("strike", Severity.WARNING),
    "strike-withdrawn": ("strike", Severity.INFO),
    "proposed": ("sanction_to_decide", Severity.WARNING),
    "appealed": ("sanction_to_decide", Severity.WARNING),
    "signed": ("sanction_step", Severity.WARNING),
    "withdrawn": ("sanction_step", Severity.INFO),
    "veto-imposed": ("sanction_step", Severity.WARNING),
    "veto-lifted": ("sanction_step", Severity.INFO),
}


def example(name: str, **data: Any) -> Envelope[Any]:  # noqa: ANN401 - fields of the event
    body = examples_of(SPECS[name])["full"]
    body["data"] |= data
    return parse_event(json.dumps(body).encode())


def found(name: str, **data: Any) -> tuple[Alert, ...]:  # noqa: ANN401 - fields of the event
    return sanction_alerts(sanction_fact_of(example(name, **data), UNITS), PACK)


def told(alert: Alert) -> list[list[str]]:
    """Who hears of it if it is about the window of the tests, step by step."""
    steps = directory().steps(replace(alert, unit_id=WINDOW.unit_id), NOW.date())
    return [[each.recipient_id for each in step.recipients] for step in steps]


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_has_its_rule_and_its_urgency(name: str) -> None:
    (alert,) = found(name)
    assert (alert.rule, alert.severity) == STEPS[name]
    assert alert.evidence[0] == example(name).id
    assert len(alert.evidence) > 1, "it names what it rests on"


@pytest.mark.parametrize(("granted", "severity"), [(True, Severity.INFO), (False, Severity.WARNING)])
def test_an_appeal_that_is_decided_is_told_either_way(*, granted: bool, severity: Severity) -> None:
    (alert,) = found("appeal-decided", granted=granted)
    assert (alert.rule, alert.severity) == ("sanction_step", severity)


def test_that_nobody_signed_is_told_by_the_strike_that_falls_away() -> None:
    assert found("rejected") == ()


def test_who_is_to_sign_hears_of_a_proposal_and_the_unit_does_not_before_it_is_signed() -> None:
    (proposal,), (signed,), (strike,) = found("proposed"), found("signed"), found("strike-counted")
    assert told(proposal) == [["chief"]]
    assert told(signed)[0] == told(strike)[0] == ["officer"]
    assert "sanction_to_decide" in CONFIDENTIAL
    assert not {"strike", "sanction_step"} & CONFIDENTIAL


def test_a_signed_sanction_says_until_when_the_unit_may_appeal() -> None:
    (alert,) = found("signed")
    assert alert.figures["appeal_until"] in alert.body


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("language", list(Language))
def test_texts_are_whole_in_both_languages(name: str, language: Language) -> None:
    for alert in found(name):
        text = render(alert, language).joined()
        assert alert.figures["subject_id"] in text
        assert len(alert.title) <= 200
        assert "{" not in text


async def test_a_fact_about_a_sanction_becomes_one_durable_alert_however_often_it_comes() -> None:
    stream = Stream()
    event = example("proposed").model_copy(update={"receivedat": NOW})
    for _ in range(2):
        ids = await RaiseSanctionAlerts(raising(stream, SetClock(NOW)), UNITS)(event)
    assert [each.id for each in stream.events] == list(ids)
    assert stream.events[0].data.condition == RULES["sanction_to_decide"].condition(PACK)


def test_how_urgent_it_is_is_the_packs_word_and_old_packs_need_not_say() -> None:
    ((_, text),) = read_texts(None)
    head, rest = text.split("[alerts.strike]", 1)
    old = parse_pack(head + rest[rest.index("# Who is told when.") :], "old")
    assert old.alerts.sanctions == PACK.alerts.sanctions
    place = text.index("[alerts.sanction_step]")
    urgent = text[:place] + text[place:].replace('severity = "warning"', 'severity = "critical"', 1)
    assert parse_pack(urgent, "edited").alerts.sanctions.step is Severity.CRITICAL
