"""Between events, which travel, and the domain's values: the only place that knows both."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.notify.domain.alert import (
    Acknowledgement,
    Alert,
    Background,
    Delivery,
    Outcome,
    Snooze,
    Told,
)
from services.notify.domain.facts import Band, Cause, Divergence, Review, ScoreMove
from services.notify.domain.findings import DeadLetter, EndpointOff, Flag
from services.notify.domain.ledger import Held, Telling
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    AlertSnoozed,
    AlertTelling,
    Envelope,
    FeedbackSubmitted,
    MessageDeadLettered,
    Provenance,
    StreamDiverged,
    UnitFlagged,
    UnitScoreChanged,
    spec_for_data,
)
from shared.events.endpoints import EndpointDisabled
from shared.kernel.grades import Grade
from shared.kernel.units import ALL, UnitRegistry
from shared.rules import Severity

SERVICE = "notify"


def cause_of(event: Envelope[Any], unit_id: str, units: UnitRegistry) -> Cause:
    """Return `event` as the cause of what has to do with a unit: its place and name come from the registry.

    For a unit that the registry does not know, from an event that says its own place.
    """
    city, county, name = event.data.city, event.data.county, unit_id
    if unit_id in units:
        unit = units.get(unit_id)
        city, county, name = unit.city, unit.county, unit.name
    return Cause(event.id, event.receivedat, unit_id, name, city, county)


def review_of(event: Envelope[FeedbackSubmitted], units: UnitRegistry) -> Review:
    """Return the part of a rating that rules may see; the place is the one at the time of rating."""
    data = event.data
    name = units.get(data.unit_id).name if data.unit_id in units else data.unit_id
    cause = Cause(event.id, event.receivedat, data.unit_id, name, data.city, data.county)
    return Review(cause, Grade(data.grade))


def move_of(event: Envelope[UnitScoreChanged], units: UnitRegistry) -> ScoreMove:
    """Return the part of a score change that rules look at; the place comes from the registry."""
    data = event.data
    city = county = ALL
    if data.unit_id in units:
        unit = units.get(data.unit_id)
        city, county = unit.city, unit.county
    return ScoreMove(
        cause=Cause(event.id, event.receivedat, data.unit_id, data.name, city, county),
        ranking=data.list,
        window_days=data.window_days,
        rank=data.rank,
        previous_rank=data.previous_rank,
        day=data.as_of,
        day_start_rank=data.day_start_rank,
        score=data.score,
        band=_band(data.band),
        previous_band=_band(data.previous_band),
        ratings=data.ratings,
    )


def divergence_of(event: Envelope[StreamDiverged]) -> Divergence:
    """Return what the archive found."""
    data = event.data
    return Divergence(
        event.id,
        event.receivedat,
        data.stream,
        data.kind,
        data.raised,
        data.first,
        data.last,
        data.sequences,
    )


def flag_of(event: Envelope[UnitFlagged], units: UnitRegistry) -> Flag:
    """Return what scoring flagged; the place comes from the registry."""
    data = event.data
    city = county = ALL
    if data.unit_id in units:
        unit = units.get(data.unit_id)
        city, county = unit.city, unit.county
    return Flag(
        cause=Cause(event.id, event.receivedat, data.unit_id, data.name, city, county),
        signal=data.signal,
        raised=data.raised,
        statistic=data.statistic,
        threshold=data.threshold,
        probability=data.probability,
        window_days=data.window_days,
    )


def letter_of(event: Envelope[MessageDeadLettered]) -> DeadLetter:
    """Return which consumer gave up on what; never why in its own words, which may quote."""
    data = event.data
    return DeadLetter(
        event.id,
        event.receivedat,
        data.service,
        data.consumer,
        data.stream,
        data.sequence,
        data.error,
    )


def off_of(event: Envelope[EndpointDisabled]) -> EndpointOff:
    """Return which endpoint wants no more."""
    return EndpointOff(event.id, event.receivedat, event.data.endpoint, event.data.alert_id)


def _band(name: str | None) -> Band | None:
    return None if name is None else Band[name.upper()]


def raised_event(
    alert: Alert,
    channels: tuple[str, ...],
    now: datetime,
    *,
    rules: str,
    provenance: Provenance,
    background: Background | None = None,
    tellings: Sequence[Telling] = (),
) -> Envelope[AlertRaised]:
    """Return the event of `alert`: ``time`` is when its cause became known, ``receivedat`` the decision."""
    behind = background or Background()
    data = AlertRaised(
        rule=alert.rule,
        severity=alert.severity.value,
        unit_id=alert.unit_id,
        unit_name=alert.unit_name,
        city=alert.city,
        county=alert.county,
        title=alert.title,
        body=alert.body,
        evidence=alert.evidence,
        figures=dict(alert.figures),
        channels=channels,
        tellings=tuple(_telling(each) for each in tellings),
        about=behind.about,
        condition=behind.condition,
    )
    return spec_for_data(AlertRaised).wrap(
        data,
        event_id=alert.alert_id,
        source=SERVICE,
        subject=alert.unit_id or alert.rule,
        time=alert.known_at,
        received_at=now,
        provenance=provenance,
        rules=rules,
    )


def _telling(telling: Telling) -> AlertTelling:
    return AlertTelling.model_validate(
        {
            "recipient": telling.recipient,
            "role": telling.role,
            "step": telling.step,
            "channels": telling.channels,
            "held": None if telling.held is None else telling.held.value,
            "due_at": telling.due_at,
        }
    )


def tellings_of(event: Envelope[AlertRaised]) -> tuple[Telling, ...]:
    """Return who is told, as `raised_event` put it."""
    return tuple(
        Telling(
            each.recipient,
            each.role,
            each.step,
            each.channels,
            None if each.held is None else Held(each.held),
            each.due_at,
        )
        for each in event.data.tellings
    )


def background_of(event: Envelope[AlertRaised]) -> Background:
    """Return what the event says beside the alert."""
    tellings = tuple(
        Told(each.recipient, each.role, each.step, each.channels, each.held, each.due_at)
        for each in event.data.tellings
    )
    return Background(tellings, event.data.about, event.data.condition, event.rules)


def snooze_of(event: Envelope[AlertSnoozed]) -> Snooze:
    """Return who put an alert off, and until when."""
    return Snooze(event.data.by, event.data.until, event.data.note, event.time)


def alert_of(event: Envelope[AlertRaised]) -> Alert:
    """Return the alert that `raised_event` put into `event`."""
    data = event.data
    return Alert(
        alert_id=event.id,
        rule=data.rule,
        severity=Severity(data.severity),
        known_at=event.time,
        unit_id=data.unit_id,
        unit_name=data.unit_name,
        city=data.city,
        county=data.county,
        title=data.title,
        body=data.body,
        evidence=data.evidence,
        figures=data.figures,
    )


def delivery_of(event: Envelope[AlertDelivered] | Envelope[AlertDeliveryFailed]) -> Delivery:
    """Return a channel's outcome from its event."""
    data = event.data
    if isinstance(data, AlertDelivered):
        return Delivery(data.channel, Outcome.DELIVERED, data.attempt, event.time, data.detail)
    return Delivery(data.channel, Outcome.FAILED, data.attempts, event.time, data.reason)


def acknowledgement_of(event: Envelope[AlertAcknowledged]) -> Acknowledgement:
    """Return who took an alert over."""
    return Acknowledgement(event.data.by, event.data.note, event.time)
