from datetime import date, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.notify.application.ages import MaxAges
from services.notify.application.handlers import AcknowledgeAlert, DeliverAlert, RaiseAlerts, ReadAlerts
from services.notify.application.ports import RulePacks
from services.notify.application.translation import raised_event
from services.notify.domain.alert import Alert, Outcome, alert_id
from services.notify.metrics import NotifyMetrics
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    Envelope,
    Provenance,
    StreamDiverged,
)
from shared.kernel.errors import ConflictError, NotFoundError, PermanentError, TransientError
from shared.kernel.units import load_units
from shared.messaging.publisher import BrokerUnavailableError
from shared.rules import RulePack
from shared.testing.builders import envelope_of, stream_diverged
from tests.unit.notify.support import NOW, OnePack, SetClock, Stream, alert, feedback, score_changed

UNITS = load_units()


class Scripted:
    """A channel that fails with what it is given, then delivers."""

    name = "webhook"

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.delivered: list[str] = []

    async def deliver(self, alert: Alert) -> str:
        if self.faults:
            raise self.faults.pop(0)
        self.delivered.append(alert.alert_id)
        return "HTTP 204"


def raising(stream: Stream, clock: SetClock | None = None, packs: RulePacks | None = None) -> RaiseAlerts:
    return RaiseAlerts(
        publisher=stream,
        states=stream,
        packs=packs or OnePack(),
        units=UNITS,
        channels=lambda: ("webhook",),
        max_ages=MaxAges(timedelta(days=30), reviews=timedelta(days=1)),
        clock=clock or SetClock(),
        metrics=NotifyMetrics(),
    )


def delivering(stream: Stream, channel: Scripted) -> DeliverAlert:
    return DeliverAlert(
        channel,
        states=stream,
        publisher=stream,
        clock=SetClock(),
        metrics=NotifyMetrics(),
        retry_delays_s=(1, 5),
    )


async def raised(stream: Stream, *channels: str) -> Envelope[Any]:
    event = raised_event(
        alert(), channels or ("webhook",), NOW, rules="sha256:00", provenance=Provenance("request-1")
    )
    await stream.publish(event)
    return event


async def test_a_bad_review_becomes_a_durable_alert_that_names_its_cause() -> None:
    stream, event = Stream(), feedback(1)
    assert await raising(stream).on_feedback(event) == (alert_id("bad_review", event.id),)
    (stored,) = stream.events
    assert (stored.causationid, stored.correlationid, stored.traceparent) == (
        event.id,
        "request-1",
        event.traceparent,
    )
    assert stored.rules == OnePack().on(NOW.date()).hash
    assert stored.data.unit_name == UNITS.get("U000112").name


def diverged(**fields: object) -> Envelope[StreamDiverged]:
    return envelope_of(stream_diverged(**fields), time=NOW, received_at=NOW)


@pytest.mark.parametrize(("began", "severity"), [(True, "critical"), (False, "info")])
async def test_a_stream_that_differs_from_the_archive_becomes_an_alert_and_its_end_another(
    *, began: bool, severity: str
) -> None:
    stream, event = Stream(), diverged(raised=began)
    assert await raising(stream).on_stream_diverged(event) == (alert_id("stream_diverged", event.id),)
    (stored,) = stream.events
    data = stored.data
    assert isinstance(data, AlertRaised)
    assert (data.rule, data.severity, data.evidence) == ("stream_diverged", severity, (event.id,))
    assert (stored.causationid, stored.correlationid) == (event.id, event.correlationid)
    assert (data.unit_id, data.channels) == (None, ("webhook",))
    assert data.figures["stream"] == "FEEDBACK"
    assert "FEEDBACK" in data.title
    await raising(stream).on_stream_diverged(event)
    assert len(stream.events) == 1, "the same report again is no news"


async def test_a_drill_or_an_old_report_of_a_stream_that_differs_raises_nothing() -> None:
    stream, event = Stream(), diverged()
    assert await raising(stream, SetClock(NOW + timedelta(days=31))).on_stream_diverged(event) == ()
    assert await raising(stream).on_stream_diverged(event.model_copy(update={"synthetic": True})) == ()
    assert stream.events == []


async def test_an_alert_carries_nothing_about_the_citizen() -> None:
    stream, event = Stream(), feedback(1, occurred_before=timedelta(hours=5))
    await raising(stream).on_feedback(event)
    text = stream.events[0].to_json().decode()
    assert str(event.data.citizen_hmac) not in text
    assert event.data.digest not in text
    assert "hotline" not in text
    assert "热线" not in text
    assert "2026-11-19T21:30" not in text, "with few ratings the time of one points at a person"


async def test_the_same_event_again_raises_nothing_new() -> None:
    stream = Stream()
    first = await raising(stream).on_feedback(feedback(2))
    assert await raising(stream).on_feedback(feedback(2)) == first
    assert len(stream.events) == 1


async def test_age_counts_from_reception_so_yesterdays_rating_is_news_today() -> None:
    stream = Stream()
    assert await raising(stream).on_feedback(feedback(1, occurred_before=timedelta(days=20)))


async def test_what_was_received_too_long_ago_raises_nothing() -> None:
    stream = Stream()
    handler = raising(stream, SetClock(NOW + timedelta(days=1, seconds=1)))
    assert await handler.on_feedback(feedback(1)) == ()
    assert stream.events == []


async def test_what_is_dropped_for_its_age_is_logged_with_the_count() -> None:
    handler = raising(Stream(), SetClock(NOW + timedelta(days=2)))
    with capture_logs() as logs:
        for number in range(250):
            await handler.on_feedback(feedback(1, number=number))
    assert [entry["dropped"] for entry in logs] == [*range(1, 101), 200]
    assert logs[0]["event"] == "event_too_old_for_an_alert"
    assert (logs[0]["kind"], logs[0]["event_id"]) == ("feedback", "feedback-0")


@pytest.mark.parametrize(
    ("kind", "days"),
    [("feedback", 1), ("score_changed", 30), ("dead_letter", 30), ("case", None), ("sanction", None)],
)
def test_cases_and_sanctions_have_no_age_and_ratings_may_have_their_own(kind: str, days: int | None) -> None:
    limit = MaxAges(timedelta(days=30), reviews=timedelta(days=1)).of(kind)
    assert limit == (None if days is None else timedelta(days=days))
    assert MaxAges(timedelta(days=30)).of("feedback") == timedelta(days=30)


async def test_a_score_change_is_news_after_a_week_without_notify_and_none_after_a_month() -> None:
    moved = score_changed(rank=40, previous_rank=3)
    assert await raising(Stream(), SetClock(NOW + timedelta(days=7))).on_score_changed(moved)
    assert not await raising(Stream(), SetClock(NOW + timedelta(days=31))).on_score_changed(moved)


async def test_a_drill_raises_nothing() -> None:
    stream = Stream()
    assert await raising(stream).on_feedback(feedback(1, synthetic=True)) == ()


async def test_a_unit_that_the_registry_does_not_know_is_named_by_its_id() -> None:
    stream = Stream()
    await raising(stream).on_feedback(feedback(1, unit_id="U999999"))
    assert stream.events[0].data.title == "U999999收到差评"


@pytest.mark.parametrize(("grade", "passes"), [(1, False), (2, False), (3, True), (4, True), (5, True)])
async def test_only_ratings_that_no_rule_fires_on_are_let_pass(grade: int, *, passes: bool) -> None:
    handler, event = raising(Stream()), feedback(grade)
    assert handler.is_quiet(event.data.grade, event.receivedat) is passes
    assert bool(await handler.on_feedback(event)) is not passes


@pytest.mark.parametrize(("rank", "passes"), [(2, True), (60, False)])
async def test_only_score_changes_that_no_rule_fires_on_are_let_pass(rank: int, *, passes: bool) -> None:
    handler, event = raising(Stream()), score_changed(rank=rank, previous_rank=1)
    assert handler.lets_move_pass(event) is passes
    assert bool(await handler.on_score_changed(event)) is not passes


async def test_a_drill_is_not_let_pass_but_counted_as_one() -> None:
    stream = Stream()
    handler, event = raising(stream), score_changed(rank=60, previous_rank=1, synthetic=True)
    assert not handler.lets_move_pass(event)
    assert await handler.on_score_changed(event) == ()
    assert stream.events == []


def test_a_day_without_rules_is_not_let_pass_but_left_to_say_so() -> None:
    class NoPack:
        def on(self, day: date) -> RulePack:
            raise PermanentError(f"no pack covers {day}")

    handler = raising(Stream(), packs=NoPack())
    assert not handler.is_quiet(5, feedback(5).receivedat)
    assert not handler.lets_move_pass(score_changed(rank=1, previous_rank=1))


async def test_an_alert_that_cannot_be_stored_is_the_policys_business() -> None:
    stream = Stream()

    def away(_event: Envelope[Any]) -> None:
        raise BrokerUnavailableError("away")

    stream.fault = away
    with pytest.raises(BrokerUnavailableError):
        await raising(stream).on_feedback(feedback(1))


async def test_a_delivery_is_recorded_once_and_never_repeated() -> None:
    stream, channel = Stream(), Scripted()
    event = await raised(stream)
    deliver = delivering(stream, channel)
    await deliver(event, 1)
    await deliver(event, 2)
    await delivering(stream, channel)(event, 3)
    assert channel.delivered == [event.id]
    (record,) = stream.of(AlertDelivered)
    assert (record.data.attempt, record.data.detail, record.causationid) == (1, "HTTP 204", event.id)


async def test_an_alert_for_another_channel_is_left_alone() -> None:
    stream, channel = Stream(), Scripted()
    await delivering(stream, channel)(await raised(stream, "email"), 1)
    assert channel.delivered == []
    assert stream.of(AlertDelivered) == []


async def test_a_failed_attempt_is_handed_to_the_policy_and_not_recorded() -> None:
    stream, channel = Stream(), Scripted(TransientError("away"))
    event = await raised(stream)
    with pytest.raises(TransientError, match="away"):
        await delivering(stream, channel)(event, 1)
    assert stream.of(AlertDeliveryFailed) == []


@pytest.mark.parametrize(("fault", "attempt"), [(TransientError("away"), 3), (PermanentError("gone"), 1)])
async def test_giving_up_is_recorded_before_the_dead_letter(fault: Exception, attempt: int) -> None:
    stream, channel = Stream(), Scripted(fault)
    event = await raised(stream)
    with pytest.raises(type(fault)):
        await delivering(stream, channel)(event, attempt)
    (record,) = stream.of(AlertDeliveryFailed)
    assert (record.data.attempts, record.data.reason) == (attempt, str(fault))
    status = stream.get(event.id)
    assert status is not None
    assert status.deliveries[0].outcome is Outcome.FAILED


async def test_a_replayed_dead_letter_is_delivered_after_all() -> None:
    stream, channel = Stream(), Scripted(PermanentError("gone"))
    event = await raised(stream)
    deliver = delivering(stream, channel)
    with pytest.raises(PermanentError):
        await deliver(event, 1)
    await deliver(event, 1)
    assert channel.delivered == [event.id]
    status = stream.get(event.id)
    assert status is not None
    assert status.deliveries[0].outcome is Outcome.DELIVERED


async def test_when_only_the_record_failed_the_next_attempt_does_not_deliver_again() -> None:
    stream, channel = Stream(), Scripted()
    event = await raised(stream)
    deliver = delivering(stream, channel)

    def away(_event: Envelope[Any]) -> None:
        raise BrokerUnavailableError("away")

    stream.fault = away
    with pytest.raises(BrokerUnavailableError):
        await deliver(event, 1)
    stream.fault = lambda _event: None
    await deliver(event, 2)
    assert channel.delivered == [event.id]
    assert stream.of(AlertDelivered)[0].data.attempt == 1


def acknowledging(stream: Stream) -> AcknowledgeAlert:
    return AcknowledgeAlert(ReadAlerts(stream), states=stream, publisher=stream, clock=SetClock())


async def test_the_first_person_takes_the_alert_and_a_second_one_is_refused() -> None:
    stream = Stream()
    event = await raised(stream)
    acknowledge = acknowledging(stream)
    status = await acknowledge(event.id, by="zhang", note="核实", provenance=Provenance("r"))
    assert status.acknowledgement is not None
    assert status.acknowledgement.by == "zhang"
    assert await acknowledge(event.id, by="zhang", note="", provenance=Provenance("r")) == status
    with pytest.raises(ConflictError, match="zhang"):
        await acknowledge(event.id, by="li", note="", provenance=Provenance("r"))
    assert len(stream.of(AlertAcknowledged)) == 1


async def test_numbers_of_people_do_not_get_into_the_log_with_an_acknowledgement() -> None:
    stream = Stream()
    event = await raised(stream)
    who, note = "王 １３８１２３４５６７８", "已联系 13812345678 身份证360102199003074514"
    status = await acknowledging(stream)(event.id, by=who, note=note, provenance=Provenance("r"))
    (stored,) = stream.of(AlertAcknowledged)
    assert (stored.data.by, stored.data.note) == ("王 [手机号]", "已联系 [手机号] 身份证[身份证号]")
    assert await acknowledging(stream)(event.id, by=who, note="", provenance=Provenance("r")) == status


async def test_an_unknown_alert_cannot_be_acknowledged() -> None:
    with pytest.raises(NotFoundError, match="GET /v1/alerts"):
        await acknowledging(Stream())("nonsense", by="zhang", note="", provenance=Provenance("r"))


async def test_an_alert_survives_the_way_through_its_event() -> None:
    stream = Stream()
    event = await raised(stream)
    assert isinstance(event.data, AlertRaised)
    status = stream.get(event.id)
    assert status is not None
    assert status.alert == alert()
