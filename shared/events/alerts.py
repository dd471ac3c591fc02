"""Facts about alerts. Stream ``ALERTS``, producer notify."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, UnitIdField

Severity = Literal["info", "warning", "critical"]


class AlertRaised(EventData):
    """A rule fired. The event id is the alert id, derived from rule and cause, so a repeat is the same."""

    rule: Annotated[str, Field(description="Name of the rule in the rule pack.", min_length=1, max_length=64)]
    severity: Annotated[Severity, Field(description="info, warning or critical.")]
    unit_id: Annotated[UnitIdField | None, Field(description="Unit concerned; null for platform alerts.")] = (
        None
    )
    unit_name: Annotated[str | None, Field(description="Name of the unit.")] = None
    city: Annotated[CityCode, Field(description="Prefecture code or 'all'.")]
    county: Annotated[CountyCode, Field(description="County code or 'all'.")]
    title: Annotated[str, Field(description="One line, Chinese.", max_length=200)]
    body: Annotated[str, Field(description="What happened and what to do, Chinese.", max_length=2000)]
    evidence: Annotated[tuple[str, ...], Field(description="Ids of the events that it rests on.")]
    figures: Annotated[dict[str, str], Field(description="The numbers and the threshold behind it.")]
    channels: Annotated[tuple[str, ...], Field(description="Delivery channels that it is addressed to.")]


class AlertDelivered(EventData):
    """A channel's receiver took the alert."""

    alert_id: Annotated[EventIdField, Field(description="Id of the AlertRaised event.")]
    channel: Annotated[str, Field(description="Delivery channel, such as 'webhook'.", max_length=32)]
    attempt: Annotated[int, Field(description="Attempt that succeeded, from 1.", ge=1)]
    detail: Annotated[str, Field(description="What the receiver said, shortened.", max_length=200)] = ""


class AlertDeliveryFailed(EventData):
    """A channel gave up on the alert; the message is in the dead letters too."""

    alert_id: Annotated[EventIdField, Field(description="Id of the AlertRaised event.")]
    channel: Annotated[str, Field(description="Delivery channel.", max_length=32)]
    attempts: Annotated[int, Field(description="Attempts made.", ge=1)]
    reason: Annotated[str, Field(description="Why the last attempt failed.", max_length=500)]


class AlertAcknowledged(EventData):
    """A person took the alert over."""

    alert_id: Annotated[EventIdField, Field(description="Id of the AlertRaised event.")]
    by: Annotated[str, Field(description="Account or post of the person, not a citizen.", max_length=64)]
    note: Annotated[str, Field(description="Free note of staff.", max_length=500)] = ""
