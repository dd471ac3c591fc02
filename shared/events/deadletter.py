"""Facts about messages that no retry can save. Stream ``DEADLETTER``, produced by every consumer."""

from typing import Annotated

from pydantic import Field

from shared.events.base import EventData


class MessageDeadLettered(EventData):
    """A consumer gave up on a message; it can be shown and replayed (docs/operations.md)."""

    service: Annotated[str, Field(description="Service that gave up.", max_length=32)]
    consumer: Annotated[str, Field(description="Durable consumer or fold that was reading.", max_length=64)]
    stream: Annotated[str, Field(description="Stream of the message.", max_length=64)]
    sequence: Annotated[int, Field(description="Its sequence in that stream.", ge=1)]
    message_subject: Annotated[str, Field(description="Subject it was published on.", max_length=512)]
    error: Annotated[str, Field(description="Class of the error.", max_length=128)]
    reason: Annotated[
        str, Field(description="What was found, what was expected, what to do.", max_length=2000)
    ]
    attempts: Annotated[int, Field(description="Deliveries before giving up.", ge=1)]
    payload_sha256: Annotated[
        str, Field(description="SHA-256 of the raw body, hex.", pattern="^[0-9a-f]{64}$")
    ]
    payload_size: Annotated[int, Field(description="Length of the raw body, in bytes.", ge=0)]
