"""Between events, which travel, and the domain's values: the only place that knows both."""

from datetime import datetime

from services.notify.domain.alert import Acknowledgement, Alert, Delivery, Outcome
from services.notify.domain.facts import Band, Cause, Divergence, Review, ScoreMove
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    Envelope,
    FeedbackSubmitted,
    Provenance,
    StreamDiverged,
    UnitScoreChanged,
    spec_for_data,
)
from shared.kernel.grades import Grade
from shared.kernel.units import ALL, UnitRegistry
from shared.rules import Severity

SERVICE = "notify"


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


def _band(name: str | None) -> Band | None:
    return None if name is None else Band[name.upper()]


def raised_event(
    alert: Alert, channels: tuple[str, ...], now: datetime, *, rules: str, provenance: Provenance
) -> Envelope[AlertRaised]:
    """Return the event of `alert`: ``time`` is when its cause became known, ``receivedat`` the decision."""
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
