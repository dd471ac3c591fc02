"""One matter from a bad review to its close, on real servers, with days that pass in seconds."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.history.alerts import Asked, replay_rule
from shared.kernel.units import load_units
from shared.rules import load_pack
from shared.testing.builders import UNIT
from tests.integration.scenario.stage import (
    WORDS,
    County,
    a_bad_review,
    answered,
    good_reviews,
    planned,
    says,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def _tells_it_in_order(steps: Sequence[Mapping[str, Any]]) -> None:
    assert [step["type"].split(".")[3] for step in steps if step["stage"] in {"received", "case"}] == [
        "submitted", "opened", "contacted", "classified", "assigned", "planned", "clock-reached",
        "clock-reached", "clock-reached", "progress-reported", "answered", "answer-refused", "answered",
        "confirmed", "closed",
    ]  # fmt: skip
    raised = [step["summary"].split()[0] for step in steps if step["stage"] == "alert"]
    assert [rule for rule in raised if rule.startswith(("bad_", "case_"))] == [
        "bad_review", "case_assigned", "case_clock", "case_clock", "case_clock", "case_overdue",
        "case_reopened",
    ]  # fmt: skip
    moments = [step["received_at"] for step in steps]
    assert moments == sorted(moments)
    place = {step["event_id"]: number for number, step in enumerate(steps)}
    by_cause = [(place[step["causation_id"]], number) for number, step in enumerate(steps)
                if step["stage"] == "alert"]  # fmt: skip
    assert all(cause < effect for cause, effect in by_cause), "nobody is told before it happens"


async def test_a_bad_review_is_followed_until_the_citizen_confirms_and_the_archive_tells_it_in_order(
    here: County, tmp_path: Path
) -> None:
    await good_reviews(here, 11)
    rating, code, case_id = await a_bad_review(here, 1)
    before = await here.standing(tmp_path)
    (reviewed,) = await here.told("bad_review", "officer")
    assert reviewed.causationid == rating
    await planned(here, case_id)
    await here.told("case_assigned", "officer")

    # Nobody does anything: reminders, and after five working days the county's supervisor hears of it.
    await here.time.passes(case_id, days=20)
    assert [(timer.clock, timer.percent) for timer in here.time.fired] == [
        ("solve", 50), ("solve", 80), ("solve", 100),
    ]  # fmt: skip
    reminders = await here.told("case_clock", "officer", 3)
    assert [each.data.severity for each in reminders] == ["info", "warning", "warning"]
    (overdue,) = await here.told("case_overdue", "county-supervisor")
    assert {each.recipient for each in overdue.data.tellings} == {"county-supervisor"}
    assert overdue.data.figures["case_id"] == case_id
    listed = (await here.rectify.http.get("/v1/cases", params={"overdue": True})).json()["items"]
    assert [each["case_id"] for each in listed] == [case_id]
    why = (await here.notify.get(f"/v1/alerts/{overdue.id}/explain")).json()
    assert (why["numbers"]["percent"], why["threshold"]) == ("100", "100%")
    assert why["told"][0]["label"] == "县区监督员"

    await here.rectify.moved(case_id, "report", text="已增设窗口")
    late = await answered(here, case_id, "已整改")
    assert (late["overdue"], late["on_time"]) == (True, False)
    refused = await says(here, case_id, code, "refuse", reason="还是要等")
    assert refused["status"] == "in_progress"
    await here.told("case_reopened", "officer")
    await answered(here, case_id, "已当面道歉并整改")
    confirmed = await says(here, case_id, code, "confirm")
    assert confirmed["confirmed_by"] == "citizen"
    await here.time.passes(case_id, minutes=10)
    closed = await here.rectify.moved(case_id, "close")
    assert (closed["status"], closed["reopened"], closed["overdue"]) == ("closed", 1, True)

    _tells_it_in_order(await here.story(rating))
    text = (await here.archive.get(f"/v1/trace/{rating}", params={"format": "text"})).text
    assert f"clock-reached solve 100 %, of {UNIT}: planned, overdue" in text
    for secret in (WORDS, "王某", "13912345678", "还是要等", "道歉"):
        assert secret not in text

    # `pingyi rules test` finds the same in history, and sends nothing.
    end = here.time.clock.now() + timedelta(days=1)
    asked = Asked("case_overdue", end - timedelta(days=90), end, load_pack(None, end.date()))
    again, _ = await replay_rule(here.layout, asked, load_units())
    assert [each.alert_id for each in again] == [overdue.id]

    # A missed deadline and a refused answer are part of what the unit is worth, beside its ratings.
    await good_reviews(here, 1)
    after = await here.standing(tmp_path)
    weight = load_pack(None, end.date()).composite.by_part()["rectification"]
    assert before.rectification is None
    assert before.composite == before.score
    assert after.score is not None
    assert after.rectification is not None
    assert after.rectification < after.score
    assert after.composite == pytest.approx(
        (1 - weight) * after.score + weight * after.rectification, abs=0.005
    )
