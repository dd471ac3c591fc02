"""Escalations and digests: each due one once, whatever is repeated, folded anew or killed."""

import asyncio
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.adapters.alert_fold import AlertFold
from services.notify.application.ages import MaxAges
from services.notify.application.following import FollowUp
from services.notify.application.handlers import AcknowledgeAlert, RaiseAlerts, ReadAlerts
from services.notify.application.routing import Router
from services.notify.application.snoozing import SnoozeAlert, TakenOverError
from services.notify.domain.book import AlertBook
from services.notify.metrics import NotifyMetrics
from shared.events import AlertRaised, Envelope, Provenance, spec_for_type
from shared.kernel.errors import InvalidValueError
from shared.messaging.stored import StoredMessage
from tests.unit.notify.people import CHANNELS, DEPUTY, OFFICER, UNITS, book, minutes, router
from tests.unit.notify.support import NOW, OnePack, SetClock, feedback

WAIT = 240
"""Minutes that a warning waits, by the rule pack."""


class Life:
    """One life of notify on a stream that outlives it: everything it knows comes from the fold."""

    def __init__(self, stream: list[Envelope[Any]], clock: SetClock, people: Router | None = None) -> None:
        self.stream, self.clock = stream, clock
        self.router = people or router()
        self.metrics = NotifyMetrics()
        self.fold = AlertFold(AlertBook(), self.metrics, self.router.ledger)
        self.fold._caught_up.set()  # noqa: SLF001 - there is no broker to catch up with
        self.folded = 0
        self.catch_up()
        packs = OnePack()
        self.raise_alerts = RaiseAlerts(
            publisher=self, states=self.fold, packs=packs, units=UNITS, channels=lambda: ("email",),
            max_ages=MaxAges(minutes(60 * 24)), clock=clock, metrics=self.metrics, router=self.router,
        )  # fmt: skip
        self.follow = FollowUp(
            router=self.router, states=self.fold, publisher=self, packs=packs, clock=clock,
            metrics=self.metrics,
        )  # fmt: skip
        read = ReadAlerts(self.fold)
        self.ack = AcknowledgeAlert(read, states=self, publisher=self, clock=clock)  # type: ignore[arg-type]  # the rest is never asked for
        self.snooze = SnoozeAlert(read, states=self, publisher=self, packs=packs, clock=clock)  # type: ignore[arg-type]  # likewise

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        del city, county
        ids = [each.id for each in self.stream]
        if envelope.id not in ids:
            self.stream.append(envelope)
            ids.append(envelope.id)
        self.catch_up()
        return ids.index(envelope.id) + 1

    async def reach(self, sequence: int) -> None:
        assert sequence <= self.folded

    def catch_up(self) -> None:
        for number, each in enumerate(self.stream[self.folded :], self.folded + 1):
            subject = spec_for_type(each.type).subject_for()
            self.fold.fold(StoredMessage(subject, each.to_json(), "ALERTS", number, number, 1, 0, 0, ""))
        self.folded = len(self.stream)

    async def bad_review(self, number: int) -> str:
        (found,) = await self.raise_alerts.on_feedback(feedback(number=number, received_at=self.clock.now()))
        return found

    def raised(self, rule: str) -> list[AlertRaised]:
        return [
            each.data for each in self.stream if isinstance(each.data, AlertRaised) and each.data.rule == rule
        ]


def told(alerts: list[AlertRaised]) -> list[list[str]]:
    return [[each.recipient for each in alert.tellings] for alert in alerts]


async def test_an_alert_that_nobody_acknowledges_goes_up_step_by_step_and_ends_at_the_top() -> None:
    life = Life([], SetClock())
    alert = await life.bad_review(1)
    assert await life.follow.sweep() == 0
    for hours in range(1, 30):
        life.clock.moment = NOW + minutes(60 * hours)
        await life.follow.sweep()
        await life.follow.sweep()
    assert told(life.raised("escalation")) == [["deputy"], ["head"], ["chief"]]
    assert all(each.about == (alert,) for each in life.raised("escalation"))
    assert "未确认" in life.raised("escalation")[0].title


async def test_an_escalation_to_somebody_whom_no_channel_reaches_goes_to_every_channel() -> None:
    life = Life([], SetClock(), router(book(replace(DEPUTY, channels=("wecom.gone",)))))
    await life.bad_review(1)
    life.clock.moment = NOW + minutes(WAIT)
    await life.follow.sweep()
    (escalation,) = life.raised("escalation")
    assert [each.recipient for each in escalation.tellings] == ["deputy"]
    assert escalation.channels == CHANNELS, "better told to the wrong person than to nobody"


@pytest.mark.parametrize("through_the_escalation", [False, True])
async def test_an_acknowledgement_ends_it_and_covers_escalations_and_what_they_are_about(
    *, through_the_escalation: bool
) -> None:
    life = Life([], SetClock())
    alert = await life.bad_review(1)
    life.clock.moment = NOW + minutes(WAIT)
    await life.follow.sweep()
    escalation = life.stream[-1].id
    asked = escalation if through_the_escalation else alert
    await life.ack(asked, by="duty", note="", provenance=Provenance("p"))
    for each in (alert, escalation):
        status = life.fold.get(each)
        assert status is not None
        assert status.acknowledgement is not None
    life.clock.moment = NOW + minutes(WAIT * 9)
    assert await life.follow.sweep() == 0
    assert await Life(life.stream, life.clock).follow.sweep() == 0, "nor after a restart"


async def test_a_snoozed_alert_waits_until_then_also_after_a_restart() -> None:
    life = Life([], SetClock())
    alert = await life.bad_review(1)
    until = NOW + minutes(600)
    status = await life.snooze(alert, by="duty", until=until, note="下午", provenance=Provenance("p"))
    assert status.snooze is not None
    assert status.snooze.until == until
    again = Life(life.stream, life.clock)
    again.clock.moment = NOW + minutes(599)
    assert await again.follow.sweep() == 0
    again.clock.moment = until
    assert await again.follow.sweep() == 1


@pytest.mark.parametrize("until", [NOW, NOW - minutes(1), NOW + minutes(4321)])
async def test_nothing_is_put_off_into_the_past_or_for_too_long(until: datetime) -> None:
    life = Life([], SetClock())
    alert = await life.bad_review(1)
    with pytest.raises(InvalidValueError):
        await life.snooze(alert, by="duty", until=until, note="", provenance=Provenance("p"))


async def test_what_is_taken_over_is_not_put_off() -> None:
    life = Life([], SetClock())
    alert = await life.bad_review(1)
    await life.ack(alert, by="duty", note="", provenance=Provenance("p"))
    with pytest.raises(TakenOverError):
        await life.snooze(alert, by="x", until=NOW + minutes(5), note="", provenance=Provenance("p"))


async def test_what_is_over_the_quota_comes_in_one_digest_with_everything_in_it() -> None:
    life = Life([], SetClock())
    alerts = [await life.bad_review(number) for number in range(100)]
    at_once = [each for each in life.raised("bad_review") if each.channels]
    assert len(at_once) == 30
    assert await life.follow.sweep() == 0, "the digest has its time"
    life.clock.moment = NOW + minutes(60)
    assert await life.follow.sweep() == 1
    (digest,) = life.raised("digest")
    assert set(digest.about) == set(alerts[30:])
    assert digest.channels == ("email",)
    assert "70条" in digest.title
    assert len(digest.body) <= 2000
    assert await life.follow.sweep() == 0


async def test_the_digest_of_somebody_who_left_goes_to_the_operators() -> None:
    life = Life([], SetClock())
    for number in range(40):
        await life.bad_review(number)
    people = {name: each for name, each in book().recipients.items() if name != "officer"}
    life.router.directory.book = book(recipients={}, chains={})
    life.router.directory.book = type(book())(recipients=people, operators=("duty",))
    life.clock.moment = NOW + minutes(60)
    await life.follow.sweep()
    (digest,) = life.raised("digest")
    assert [each.recipient for each in digest.tellings] == ["duty"]
    assert len(digest.about) == 10
    assert await life.follow.sweep() == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kills=st.integers(0, 6))
def test_whatever_is_killed_everybody_is_told_of_every_alert_and_of_each_step_once(
    seed: int, kills: int
) -> None:
    """A life may end between any two events; the next one has the stream alone."""

    async def play() -> None:
        random, stream, clock = Random(seed), list[Envelope[Any]](), SetClock()
        people = book(replace(OFFICER, quota=2), replace(DEPUTY, quota=3))
        life, raised = Life(stream, clock, router(people)), list[str]()
        moments = sorted(random.random() * 600 for _ in range(60))
        deaths = set(random.sample(range(60), kills))
        for number, moment in enumerate(moments):
            clock.moment = NOW + minutes(moment)
            raised.append(await life.bad_review(number))
            if random.random() < 0.5:
                await life.follow.sweep()
            if number in deaths:
                life = Life(stream, clock, router(people))
                await life.bad_review(number)  # redelivered: it was not acknowledged
        for hour in range(11, 40):
            clock.moment = NOW + minutes(60 * hour)
            await life.follow.sweep()
        ids = [each.id for each in stream]
        assert len(ids) == len(set(ids))
        assert len(life.raised("bad_review")) == 60
        held = [
            (telling.recipient, each.id)
            for each in stream
            if isinstance(each.data, AlertRaised)
            for telling in each.data.tellings
            if telling.held is not None
        ]
        assert len(held) >= 20
        digested = [
            (alert.figures["recipient"], each) for alert in life.raised("digest") for each in alert.about
        ]
        assert sorted(digested) == sorted(held), "what was held back is told once, and nothing else"
        steps = [(each.about[0], each.figures["step"]) for each in life.raised("escalation")]
        assert sorted(steps) == sorted((each, step) for each in raised for step in "123")

    asyncio.run(play())
