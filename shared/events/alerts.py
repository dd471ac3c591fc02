"""Facts about alerts. Stream ``ALERTS``, producer notify."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, Instant, UnitIdField

Severity = Literal["info", "warning", "critical"]
RecipientId = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Opaque reference of who is told; names and addresses are in no event.",
    ),
]


class AlertTelling(EventData):
    """One recipient of an alert, and when they are told."""

    recipient: RecipientId
    role: Annotated[
        Literal["officer", "deputy", "head", "supervisor", "operator", "subscription", "digest"],
        Field(description="Why they are told."),
    ]
    step: Annotated[
        int | None, Field(description="Step of the chain, from 0; null for the others.", ge=0)
    ] = None
    channels: Annotated[tuple[str, ...], Field(description="Ways that reach them, by name.")]
    held: Annotated[
        Literal["quiet", "quota", "grouped"] | None,
        Field(description="Why not at once but in a digest; null: at once."),
    ] = None
    due_at: Annotated[Instant, Field(description="When they are told, or when the digest may come.")]


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
    tellings: Annotated[
        tuple[AlertTelling, ...], Field(description="Who is told; empty where no recipients are named.")
    ] = ()
    about: Annotated[
        tuple[EventIdField, ...],
        Field(description="Alerts that an escalation or a digest is about; empty for a rule's own alert."),
    ] = ()
    condition: Annotated[
        str | None, Field(description="When the rule fires, in Chinese, by the rule pack.", max_length=500)
    ] = None


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


class AlertSnoozed(EventData):
    """A person put the alert off: it is not escalated before then."""

    alert_id: Annotated[EventIdField, Field(description="Id of the AlertRaised event.")]
    by: Annotated[str, Field(description="Account or post of the person, not a citizen.", max_length=64)]
    until: Annotated[Instant, Field(description="When it wakes up again.")]
    note: Annotated[str, Field(description="Free note of staff.", max_length=500)] = ""
