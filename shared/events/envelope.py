"""The CloudEvents 1.0 envelope, in structured JSON mode, around every event's data.

Extension attributes follow the spec's naming (lower case, no separators). ``time`` is when the fact
happened, ``receivedat`` when the platform learned of it.
"""

from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.events.base import EventData, EventIdField, Instant
from shared.kernel.errors import PermanentError, describe

D = TypeVar("D", bound=EventData)

ISSUES_SHOWN = 5


class InvalidEventError(PermanentError):
    """A message on the bus is not an event of the catalogue; no retry can mend it."""


class Envelope(BaseModel, Generic[D]):
    """One event as it travels and as it is stored. ``D`` is the data model."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    specversion: Annotated[Literal["1.0"], Field(description="Version of the CloudEvents spec.")]
    id: Annotated[EventIdField, Field(description="Event id, a UUID; also the broker's Nats-Msg-Id.")]
    source: Annotated[str, Field(description="Producer, '/pingyi/<service>'.", pattern="^/pingyi/[a-z]+$")]
    type: Annotated[
        str,
        Field(
            description="'cn.pingyi.<context>.<fact>.v<major>'.",
            pattern=r"^cn\.pingyi\.[a-z]+\.[a-z]+(-[a-z]+)*\.v[1-9][0-9]*$",
            max_length=128,
        ),
    ]
    subject: Annotated[
        str, Field(description="What the event is about: a unit id, a list, an alert id.", min_length=1)
    ]
    time: Annotated[Instant, Field(description="When the fact happened; RFC 3339 UTC, milliseconds.")]
    datacontenttype: Annotated[Literal["application/json"], Field(description="Media type of data.")] = (
        "application/json"
    )
    dataschema: Annotated[
        str,
        Field(description="URN of the JSON Schema of the data.", pattern="^urn:pingyi:schema:[a-z0-9.-]+$"),
    ]
    correlationid: Annotated[
        str, Field(description="The same from the first request to the archive.", min_length=1)
    ]
    causationid: Annotated[str | None, Field(description="Id of the event or request that led to it.")] = None
    traceparent: Annotated[str | None, Field(description="W3C trace context.")] = None
    rules: Annotated[str | None, Field(description="Hash of the rule pack in force.")] = None
    receivedat: Annotated[Instant, Field(description="When the platform received or decided it.")]
    importid: Annotated[str | None, Field(description="Bulk import that it came with.")] = None
    synthetic: Annotated[bool, Field(description="Probe or drill: never counted.")] = False
    data: Annotated[D, Field(description="The fact itself.")]

    def to_json(self) -> bytes:
        """The bytes that go on the bus; absent optional attributes are left out."""
        return self.model_dump_json(exclude_none=True).encode()


class Provenance(NamedTuple):
    """Where an event comes from; copied into every envelope that a request or message leads to."""

    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def caused_by(cls, event: "Envelope[Any]") -> "Provenance":
        """The provenance of an event that ``event`` led to: same correlation, ``event`` as the cause."""
        return cls(event.correlationid, event.id, event.traceparent)


def parse_envelope(model: type[Envelope[D]], raw: bytes) -> Envelope[D]:
    """Parse one message body as ``model``, for example ``Envelope[FeedbackSubmitted]``.

    Strict, as the JSON Schema is: the text ``"5"`` is not the grade 5, a number is not a time.

    Raises:
        InvalidEventError: the body is not JSON, not a CloudEvent, or its data breaks the contract; the
            message names the first few fields with what was expected.
    """
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in issue['loc']) or 'body'}: {issue['msg']}"
            for issue in error.errors(include_url=False, include_input=False)[:ISSUES_SHOWN]
        )
        raise InvalidEventError(
            describe(
                f"{len(raw)} bytes", f"a valid {model.__name__} ({found})", "fix the producer, then replay"
            )
        ) from error
