"""Facts about the endpoints that alerts are delivered to. Stream ``ALERTS``, producer notify."""

from typing import Annotated

from pydantic import Field

from shared.events.base import EventData, EventIdField

EndpointAddress = Annotated[
    str, Field(description="Address, such as 'webhook.partner'.", min_length=1, max_length=32)
]
EndpointMark = Annotated[
    str, Field(description="Keyless hash of where it goes; another place has another.", max_length=32)
]


class EndpointDisabled(EventData):
    """A receiver answered 410: its endpoint is used no more until it changes or a person enables it."""

    endpoint: EndpointAddress
    mark: EndpointMark
    alert_id: Annotated[EventIdField, Field(description="The alert that was answered so.")]
    reason: Annotated[str, Field(description="What the receiver said.", max_length=500)]


class EndpointEnabled(EventData):
    """A person enabled an endpoint again."""

    endpoint: EndpointAddress
    mark: EndpointMark
    by: Annotated[str, Field(description="Account or post of the person, not a citizen.", max_length=64)]
