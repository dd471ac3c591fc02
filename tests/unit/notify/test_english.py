"""Every rule and follow-up in both languages: real alerts, whole texts."""

import re
from dataclasses import replace
from string import Formatter
from typing import Final

import pytest

from services.notify.application.disabling import DisableEndpoint
from services.notify.domain.alert import Alert
from services.notify.domain.case_facts import ClockMark
from services.notify.domain.case_rules import case_alerts
from services.notify.domain.catalogue import CHANNEL_DISABLED, FOLLOW_UPS, RULES
from services.notify.domain.channels import Endpoint, Language
from services.notify.domain.duty import Recipient
from services.notify.domain.english import TITLES_EN, VARIANTS_EN, english, values_of
from services.notify.domain.facts import Band, Divergence
from services.notify.domain.findings import DeadLetter, Flag, HeldShare, Staleness, Surge
from services.notify.domain.follow_ups import digest_of, escalation_of
from services.notify.domain.ledger import Waiting
from services.notify.domain.rules import bad_review, band_change, rank_drop, stream_diverged
from services.notify.domain.texts import render
from services.notify.domain.watch_rules import dead_letter, quarantine_share, ranking_stale, surge, too_good
from shared.events import AlertRaised
from shared.rules import Severity
from tests.unit.notify.support import CAUSE, NOW, PACK, SetClock, Stream, alert, move, review
from tests.unit.notify.test_case_rules import fact
from tests.unit.notify.test_handlers import raised
from tests.unit.notify.test_list_rules import QUARTER, told_of
from tests.unit.notify.test_sanction_rules import SPECS as SANCTION_SPECS
from tests.unit.notify.test_sanction_rules import found

ROUTING: Final = PACK.routing
CASE_FACTS: Final = (
    fact("opened", origin="inspection"),
    fact("assigned"),
    fact(clock=ClockMark("solve", 100, NOW, overtaken=False)),
    fact("answer-refused", refused=3),
)
SANCTION_FACTS: Final = ("strike-counted", "proposed", "signed")


def found_alerts() -> dict[str, Alert]:
    """An alert of each rule over facts, by rule."""
    waiting = Waiting("a", Severity.CRITICAL, 1, NOW)
    who = Recipient("officer", "窗口负责人", ("wecom",))
    made = (
        bad_review(review(1), PACK),
        rank_drop(move(rank=40, previous_rank=8, day_start_rank=3), PACK),
        band_change(move(band=Band.BELOW, previous_band=Band.EXCELLENT), PACK),
        surge(Surge("3601", "360102", "marriage", 14, 1.0, 1e-9, 28, ("r1",), NOW), "南昌市东湖区", PACK),
        too_good(
            Flag(CAUSE, "burst", raised=True, statistic=9, threshold=4, probability=0.01, window_days=7), PACK
        ),
        quarantine_share(HeldShare("U000112", "3601", "360102", 10, 30, ("h1",), NOW), "东湖区", PACK),
        ranking_stale(Staleness(3, 25, NOW, 28), PACK),
        dead_letter(DeadLetter("d1", NOW, "scoring", "scoring-fold", "FEEDBACK", 7, "no JSON"), PACK),
        stream_diverged(Divergence("s1", NOW, "FEEDBACK", "went_back", True, 1, 2, 2)),
        *(each for one in CASE_FACTS for each in case_alerts(one, PACK)),
        *(each for name in SANCTION_FACTS for each in found(name)),
        *told_of("unit-nominated"),
        *told_of("talk-candidate-named"),
        *told_of("period-closed", **QUARTER)[:1],
        escalation_of(alert(), 2, waiting, ROUTING, NOW),
        digest_of(who, [alert(1), alert(2)], 3, 1, ROUTING, NOW),
    )
    return {each.rule: each for each in made if each is not None}


async def disabled() -> AlertRaised:
    stream = Stream()
    cause = await raised(stream)
    disable = DisableEndpoint(publisher=stream, clock=SetClock(), in_use=lambda: ("email",))
    await disable(Endpoint("webhook.a", "example.org", "m", (5.0,)), cause, "410")
    data = stream.of(AlertRaised)[-1].data
    assert isinstance(data, AlertRaised)
    return data


async def an_alert_of(rule: str) -> Alert:
    if rule != "channel_disabled":
        return found_alerts()[rule]
    data = await disabled()
    return alert(rule=data.rule, title=data.title, body=data.body, unit_name=None, figures=data.figures)


@pytest.mark.parametrize("rule", [*RULES, *FOLLOW_UPS])
async def test_every_rule_speaks_both_languages_and_leaves_no_placeholder(rule: str) -> None:
    told = await an_alert_of(rule)
    fields = {name for part in TITLES_EN[rule] for _, name, _, _ in Formatter().parse(part) if name}
    assert fields <= values_of(told).keys(), "the rule gives what its template wants"
    chinese, english = render(told), render(told, Language.EN)
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese.title)
    assert told.title in chinese.title
    first = english.body[0].replace(told.unit_name or "", "").replace("通报批评", "")
    for value in told.figures.values():
        first = first.replace(value, "")
    assert first
    assert not any("\u4e00" <= char <= "\u9fff" for char in first)
    for text in (chinese, english):
        assert not set(text.joined()) & set("{}")
        labels = {re.split("[:\uff1a]", line)[0] for line in text.facts} & told.figures.keys()
        assert not labels, "figures have names for people"


def alert_that_says(rule: str, variant: str) -> Alert:
    made = (
        *case_alerts(fact(variant), PACK),
        *case_alerts(fact(clock=ClockMark(variant, 100, NOW, overtaken=False)), PACK),
        *(found(variant) if variant in SANCTION_SPECS else ()),
        *(told_of(variant) if variant.startswith("nomination") else ()),
        *((stream_diverged(Divergence("s1", NOW, "FEEDBACK", "went_back", False, 1, 2, 2)),)),
    )
    (one,) = [each for each in made if each.rule == rule]
    return one


@pytest.mark.parametrize(("rule", "variant"), VARIANTS_EN)
def test_what_a_rule_says_of_other_facts_has_its_own_words(rule: str, variant: str) -> None:
    told = alert_that_says(rule, variant)
    title, body = english(told)
    assert title == VARIANTS_EN[rule, variant][0].format_map(values_of(told))
    template = VARIANTS_EN[rule, variant]
    fields = {name for part in template for _, name, _, _ in Formatter().parse(part) if name}
    assert fields <= values_of(told).keys(), "the rule gives what its template wants"
    assert title != TITLES_EN[rule][0].format_map(values_of(told))
    assert body


@pytest.mark.parametrize(("granted", "said"), [(True, "yes"), (False, "no")])
def test_whether_an_appeal_was_granted_is_said(*, granted: bool, said: str) -> None:
    (told,) = found("appeal-decided", granted=granted)
    assert english(told)[1].endswith(f"holds no more: {said}.")


def test_a_lost_place_is_told_from_where_the_day_began_or_from_the_announcement_before() -> None:
    since_morning = found_alerts()["rank_drop"]
    assert "From place 3 to place 40" in render(since_morning, Language.EN).body[0]
    before = rank_drop(move(rank=40, previous_rank=8), PACK)
    assert before is not None
    assert "From place 8 to place 40" in render(before, Language.EN).body[0]


def test_a_digest_in_english_names_its_alerts_and_says_how_many_more_there_are() -> None:
    body = render(found_alerts()["digest"], Language.EN).body
    assert body[0].startswith("3 alerts were held back")
    assert body[1:] == (
        *["· [warning] 东湖区婚姻登记处收到差评"] * 2,
        "And 1 more: see them on the platform.",
    )


def test_a_template_whose_figure_is_missing_shows_a_dash() -> None:
    bare = replace(found_alerts()["rank_drop"], figures={})
    assert "From place - to place -" in render(bare, Language.EN).body[0]


async def test_an_endpoint_that_wants_no_more_is_told_with_condition_and_threshold() -> None:
    data = await disabled()
    assert data.condition == CHANNEL_DISABLED == RULES[data.rule].condition(PACK)
    assert data.figures["threshold"] == "HTTP 410"
