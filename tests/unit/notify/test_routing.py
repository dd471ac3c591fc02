"""Who is told: chains, covers, one level up, subscriptions, quiet hours, grouping, quotas."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.notify.domain.alert import Alert
from services.notify.domain.directory import Directory, Subscription
from services.notify.domain.duty import Absence, Quiet, Recipient
from services.notify.domain.ledger import Held, Ledger
from services.notify.domain.offices import Offices
from services.notify.domain.routing import channels_of, next_step, route
from services.notify.domain.watch_rules import beside_failing
from shared.kernel.clock import business_day
from shared.kernel.ids import UnitId
from shared.kernel.units import UnitRegistry
from shared.rules import Severity
from shared.rules.alerting import RoutingRules
from tests.unit.notify.people import (
    CHIEF,
    CITY,
    DEPUTY,
    HEAD,
    OFFICER,
    UNITS,
    WINDOW,
    book,
    directory,
    given,
    minutes,
    person,
)
from tests.unit.notify.support import NOW, alert

TODAY = business_day(NOW)
AWAY = (Absence(TODAY, TODAY + timedelta(days=1)),)


def about(rule: str = "bad_review", **changes: object) -> Alert:
    fields = {"unit_id": WINDOW.unit_id, "city": WINDOW.city, "county": WINDOW.county, "rule": rule}
    return alert(1, **fields | changes)


def names(of: Alert, people: object = None) -> list[list[str]]:
    chosen = directory(people) if people is not None else directory()  # type: ignore[arg-type]  # a Book
    return [[each.recipient_id for each in step.recipients] for step in chosen.steps(of, TODAY)]


def test_a_bad_review_goes_up_the_units_chain_and_then_one_level_up() -> None:
    assert names(about()) == [["officer"], ["deputy"], ["head"], ["chief"]]


@pytest.mark.parametrize("rule", ["too_good", "quarantine_share"])
def test_the_unit_is_not_told_that_its_ratings_look_made_up(rule: str) -> None:
    assert names(about(rule)) == [["chief"]]


def test_a_surge_goes_to_the_county_and_then_to_the_city() -> None:
    assert names(about("surge", unit_id=None, figures={"kind": "marriage"})) == [["chief"], ["city"]]


@pytest.mark.parametrize("rule", ["dead_letters", "ranking_stale", "stream_diverged", "no_such_rule"])
def test_what_is_about_the_platform_goes_to_its_operators(rule: str) -> None:
    assert names(about(rule, unit_id=None, city="all", county="all")) == [["duty"]]


@pytest.mark.parametrize(
    ("wanted", "all_of", "told"),
    [
        (("email", "wecom.duty"), ("email",), ("email",)),
        (("wecom.duty",), ("console", "wecom.duty"), ("console",)),
        (("wecom.duty", "wecom.night"), (), ("wecom.duty", "wecom.night")),
        (("wecom",), ("wecom",), ()),
    ],
)
def test_a_channels_failure_is_told_by_the_others_as_long_as_there_are_any(
    wanted: tuple[str, ...], all_of: tuple[str, ...], told: tuple[str, ...]
) -> None:
    letter = about("dead_letters", figures={"consumer": "notify-deliver-wecom"})
    assert beside_failing(letter, wanted, all_of) == told
    elsewhere = about("dead_letters", figures={"consumer": "scoring-fold"})
    assert beside_failing(elsewhere, wanted, all_of) == wanted


def test_the_operators_are_told_what_nobody_else_is_there_for() -> None:
    assert names(about(), book(chains={}, supervisors={})) == [["duty"]]


def test_b_is_told_while_a_is_away() -> None:
    deputy_covers = book(replace(OFFICER, absences=AWAY, cover="deputy"))
    assert names(about(), deputy_covers) == [["deputy"], ["head"], ["chief"]]
    backup = book(
        replace(OFFICER, absences=AWAY), person("b"),
        chains={WINDOW.unit_id: {"officer": "officer", "backup": "b", "head": "head"}},
    )  # fmt: skip
    assert names(about(), backup) == [["b"], ["head"], ["chief"]]
    nobody = book(replace(OFFICER, absences=AWAY))
    assert names(about(), nobody) == [["deputy"], ["head"], ["chief"]]


def test_covers_that_lead_in_a_circle_end() -> None:
    circle = book(replace(OFFICER, absences=AWAY, cover="x"), person("x", absences=AWAY, cover="officer"))
    assert names(about(), circle) == [["deputy"], ["head"], ["chief"]]


def test_the_registrys_people_count_from_their_day_and_the_file_wins() -> None:
    offices = Offices()
    for load, (who, day) in enumerate((("chief", date(2026, 1, 1)), ("city", TODAY + timedelta(days=1))), 1):
        offices.part(f"l{load}")
        offices.assigned(f"l{load}", WINDOW.unit_id, "officer", who, day)
        assert offices.loaded(f"l{load}", load, 1)
    chosen = directory(book(chains={}, supervisors={}), offices)
    assert [step.recipients for step in chosen.steps(about(), TODAY)] == [(CHIEF,)]
    assert directory(None, offices).steps(about(), TODAY)[0].recipients == (OFFICER,)


def test_a_load_counts_as_a_whole_or_not_at_all() -> None:
    offices = Offices()
    offices.part("l1")
    offices.assigned("l1", "U1", "officer", "a", TODAY)
    assert offices.person("U1", "officer", TODAY) is None, "not loaded yet"
    assert not offices.loaded("l1", 1, 2), "a part is missing"
    assert offices.person("U1", "officer", TODAY) is None
    offices.part("l2")
    assert not offices.loaded("l2", 3, 1), "it builds on another load"


def test_subscribers_hear_what_they_asked_for_and_outside_people_never_stand_in_a_chain() -> None:
    told = route(about("rank_drop"), directory(), Ledger(), given())
    assert [(each.recipient, each.role) for each in told] == [
        ("officer", "officer"), ("press", "subscription"),
    ]  # fmt: skip
    assert [each.recipient for each in route(about(), directory(), Ledger(), given())] == ["officer"]


def test_a_subscription_tells_nobody_what_is_not_for_their_own_unit() -> None:
    curious = book(subscriptions=(Subscription("head"), Subscription("city")))
    told = [each.recipient_id for each in directory(curious).subscribers(about("too_good"), TODAY)]
    assert told == ["city"]
    told = [each.recipient_id for each in directory(curious).subscribers(about(), TODAY)]
    assert told == ["head", "city"]


def test_a_critical_alert_goes_to_two_at_once_through_quiet_hours_and_quota() -> None:
    always = Quiet(NOW.time().replace(hour=0), NOW.time().replace(hour=23, minute=59))
    quiet = book(replace(OFFICER, quiet=always, quota=1))
    ledger = Ledger()
    for number in range(5):
        critical = replace(about(), alert_id=f"a{number}", severity=Severity.CRITICAL)
        told = route(critical, directory(quiet), ledger, given())
        ledger.decided(critical.alert_id, critical.rule, "s", told)
        assert [(each.recipient, each.held) for each in told] == [("officer", None), ("deputy", None)]


def test_quiet_hours_hold_back_until_they_end() -> None:
    quiet = Quiet((NOW + timedelta(hours=7)).time(), (NOW + timedelta(hours=9)).time())  # 10:30 in Shanghai
    (told,) = route(about(), directory(book(replace(OFFICER, quiet=quiet))), Ledger(), given())
    assert told.held is Held.QUIET
    assert told.due_at == NOW + timedelta(hours=1)


def test_further_alerts_about_the_same_unit_are_grouped_and_bad_reviews_are_not() -> None:
    ledger = Ledger()
    held = []
    for number, rule in enumerate(["rank_drop", "rank_drop", "bad_review", "bad_review"]):
        each = replace(about(rule), alert_id=f"a{number}")
        told = route(each, directory(book(subscriptions=())), ledger, given(NOW + minutes(number)))
        ledger.decided(each.alert_id, each.rule, WINDOW.unit_id, told)
        held += [telling.held for telling in told]
    assert held == [None, Held.GROUPED, None, None]
    later = replace(about("rank_drop"), alert_id="later")
    (told_later,) = route(later, directory(book(subscriptions=())), ledger, given(NOW + minutes(61)))
    assert told_later.held is None


def test_what_is_over_the_quota_waits_for_the_digest_and_a_repeated_decision_is_the_same() -> None:
    ledger, rules = Ledger(), RoutingRules(quota=3)
    held = []
    for number in range(5):
        each = replace(about(), alert_id=f"a{number}")
        for _ in range(2):  # the first time the broker was away
            (told,) = route(each, directory(), ledger, given(rules=rules))
            ledger.decided(each.alert_id, each.rule, WINDOW.unit_id, [told])
        held.append(told.held)
    assert held == [None, None, None, Held.QUOTA, Held.QUOTA]
    assert NOW < told.due_at <= NOW + minutes(rules.digest_minutes)
    after = given(NOW + minutes(rules.quota_minutes + 1), rules)
    (told,) = route(replace(about(), alert_id="a9"), directory(), ledger, after)
    assert told.held is None


def test_the_next_step_is_the_next_person_and_the_chain_ends() -> None:
    steps = [next_step(about(), step, directory(), Ledger(), given()) for step in range(4)]
    assert [[each.recipient for each in step] for step in steps] == [["deputy"], ["head"], ["chief"], []]


def test_nobody_is_passed_over_because_somebody_else_is_away_since() -> None:
    tomorrow = (Absence(TODAY + timedelta(days=1), TODAY + timedelta(days=2)),)
    people = directory(book(replace(OFFICER, absences=tomorrow)))
    (told,) = route(about(), people, Ledger(), given())
    assert (told.recipient, told.step) == ("officer", 0)
    (later,) = next_step(about(), 0, people, Ledger(), given(NOW + timedelta(days=1)))
    assert (later.recipient, later.step) == ("deputy", 1)
    without_deputy = directory(book(replace(DEPUTY, absences=AWAY)))
    (later,) = next_step(about(), 0, without_deputy, Ledger(), given())
    assert (later.recipient, later.step) == ("head", 2)


def test_only_channels_that_are_switched_on_and_not_held_back_deliver() -> None:
    people = book(replace(OFFICER, channels=("webhook", "robot", "email")))
    told = route(about(), directory(people), Ledger(), given())
    assert channels_of(told, ("console", "email", "webhook")) == ("email", "webhook")
    assert channels_of([replace(each, held=Held.QUIET) for each in told], ("email",)) == ()


def test_of_a_unit_that_was_merged_its_successors_people_are_told() -> None:
    heir, bureau = WINDOW.unit_id[:-1] + "3", UNITS.get(WINDOW.parent_id or "")
    merged = replace(WINDOW, valid_to=TODAY, successor=UnitId(heir))
    units = UnitRegistry(merged if each.unit_id == WINDOW.unit_id else each for each in UNITS)
    people = book(chains={WINDOW.unit_id: {"officer": "officer"}, heir: {"officer": "deputy"}})

    def told(directory: Directory, day: date, rule: str = "bad_review") -> list[tuple[Recipient, ...]]:
        return [step.recipients for step in directory.steps(about(rule), day)]

    both = Directory(people, units, Offices())
    assert told(both, TODAY - timedelta(days=1)) == [(OFFICER,), (CHIEF,)]
    assert told(both, TODAY) == [(DEPUTY,), (CHIEF,)]
    nobody_yet = Directory(replace(people, chains={WINDOW.unit_id: {"officer": "officer"}}), units, Offices())
    assert told(nobody_yet, TODAY) == [(OFFICER,), (CHIEF,)], "better those of before than nobody"
    wants = (Subscription("officer"), Subscription("deputy"), Subscription("city"))
    barred = Directory(replace(people, subscriptions=wants), units, Offices())
    assert barred.subscribers(about("too_good"), TODAY) == (CITY,), "neither those of before nor of now"

    city = "U000003"
    moved = replace(bureau, valid_to=TODAY, successor=UnitId("U000014"))
    units = UnitRegistry(moved if each.unit_id == bureau.unit_id else each for each in UNITS)
    chains = {bureau.unit_id: {"head": "head"}, "U000014": {"head": "city"}, city: {"head": "duty"}}
    above = Directory(book(chains=chains, supervisors={}), units, Offices())
    assert told(above, TODAY - timedelta(days=1), "too_good") == [(HEAD,)]
    assert told(above, TODAY, "too_good") == [(CITY,)], "one level up is who took over there"
    place = about("surge", unit_id=None, figures={"kind": "marriage"})
    assert next(iter(above.steps(place, TODAY))).recipients == (CITY,)
