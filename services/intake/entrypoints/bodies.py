"""What clients send: the JSON of one rating, strictly read; errors never repeat a citizen's words."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from services.intake.application.errors import RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.domain.measures import Size, size_of
from services.intake.domain.submission import Contact, Submission
from services.intake.domain.tokens import MAX_TEXT
from services.intake.entrypoints.plain_rating import (
    CONTROLS,
    MAX_DEVICE,
    MAX_REFERENCE,
    MAX_UNIT,
    read_plain,
)
from shared.kernel.clock import parse_rfc3339, whole_ms
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Source
from shared.kernel.plain_text import composed
from shared.observability.problem import field_errors

# Fields whose values an error may repeat. Everything else could hold a name, a number or an opinion, also
# fields that we don't know: a phone number at the wrong place is still a phone number.
_SHOWN: Final = frozenset({"unit_id", "grade", "dimensions", "source", "channel", "occurred_at"})

TOKEN_HEADER: Final = "X-Rating-Token"  # noqa: S105 - the name of a header

MAX_LINE_BYTES: Final = 64 * 1024
"""Largest line of a batch unless the settings say otherwise: as much as a rating by itself."""
ERRORS_SHOWN: Final = 20
"""A body can be made of thousands of unknown fields; the answer must not be."""


# Objects become tuples of (name, value), arrays stay lists. No digit string is too long for `str`.
_read_members: Final = json.JSONDecoder(object_pairs_hook=tuple, parse_int=str).decode


def _moment(value: object) -> object:
    """Only RFC 3339 text: pydantic by itself would take the number 5 for five seconds after 1970."""
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise InvalidValueError(
            value, "a time in RFC 3339 with its offset", "write it as 2026-01-31T09:30:00+08:00"
        )
    return whole_ms(parse_rfc3339(value))


def _visible(value: str) -> str:
    """Only text that people can see and copy: a blank number would stand for a real transaction."""
    if value.isprintable() and not value.isspace():
        return value
    if not any(char.isprintable() and not char.isspace() for char in value):
        raise InvalidValueError(value, "a value that isn't blank", "fill it in or leave the field out")
    if any(unicodedata.category(char) == "Cc" for char in value):
        raise InvalidValueError(
            value, "text without control characters", "remove tabs, line ends and other control characters"
        )
    return value


def _uncontrolled(value: str) -> str:
    """Text as given, whatever it looks like, but without control characters."""
    if CONTROLS.search(value) is None:
        return value
    raise InvalidValueError(
        size_of(value),
        "text without control characters other than tab and line ends",
        "remove them; nothing was stored",
    )


_Words = Annotated[str, AfterValidator(_uncontrolled)]
Reference = Annotated[str, Field(min_length=1, max_length=MAX_REFERENCE), AfterValidator(_visible)]
SubGrade = Annotated[int | None, Field(strict=True, ge=1, le=5)]


class ContactBody(BaseModel):
    """How to call the citizen back. Kept encrypted, apart from the rating, and shown to nobody else."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[_Words | None, Field(description="Name 姓名.")] = None
    phone: Annotated[_Words | None, Field(description="Telephone number 电话.")] = None
    id_number: Annotated[_Words | None, Field(description="Identity-card number 身份证号.")] = None
    email: Annotated[_Words | None, Field(description="E-mail address.")] = None
    account: Annotated[_Words | None, Field(description="Account within the channel.")] = None


class DimensionsBody(BaseModel):
    """Sub-grades 1 to 5 beside the overall grade (五比)."""

    model_config = ConfigDict(extra="forbid")

    service: SubGrade = None
    efficiency: SubGrade = None
    quality: SubGrade = None
    conduct: SubGrade = None
    image: SubGrade = None


class FeedbackBody(BaseModel):
    """One rating of one unit."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "unit_id": "U000112",
                    "grade": 5,
                    "channel": "qr",
                    "client_ref": "kiosk-7-000042",
                    "text": "工作人员很耐心，十分钟就办好了。",
                }
            ]
        },
    )

    unit_id: Annotated[
        str, Field(description="Id of the unit, see GET /v1/units.", min_length=1, max_length=MAX_UNIT)
    ]
    grade: Annotated[
        int, Field(description="5 very satisfied … 1 very dissatisfied", strict=True, ge=1, le=5)
    ]
    dimensions: Annotated[DimensionsBody | None, Field(description="Optional sub-grades.")] = None
    source: Annotated[Source, Field(description="Who appraises.")] = Source.PUBLIC
    channel: Annotated[Channel, Field(description="The way the rating came in.")] = Channel.WEB
    transaction_id: Annotated[
        Reference | None, Field(description="Number of the service transaction 办件号.")
    ] = None
    client_ref: Annotated[
        Reference | None,
        Field(description="The client's own reference: the same one again is the same rating."),
    ] = None
    text: Annotated[
        _Words | None, Field(description="Comment; numbers of people are taken out, then sealed.")
    ] = None
    contact: Annotated[ContactBody | None, Field(description="For a call-back.")] = None
    device_id: Annotated[
        Annotated[str, Field(min_length=1, max_length=MAX_DEVICE), AfterValidator(_visible)] | None,
        Field(description="Stable id of the device or browser."),
    ] = None
    occurred_at: Annotated[
        AwareDatetime | None,
        BeforeValidator(_moment),
        Field(description="When the service was rated, RFC 3339 with offset; now if left out."),
    ] = None
    token: Annotated[
        Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None,
        Field(
            description="One-time token, see POST /v1/tokens: proves the service, and is good for one rating."
        ),
    ] = None


def parse_feedback(raw: bytes) -> Submission:
    """Read one rating.

    Raises:
        ValidationError: see `describe_errors`; never let its own text out, it quotes the input.
        RejectedError: a name comes twice, so that the rating says two things.
    """
    return read_plain(raw) or read_any(raw)


def read_any(raw: bytes) -> Submission:
    """`parse_feedback` for every rating, and for what is wrong with one."""
    body = FeedbackBody.model_validate_json(raw)
    # Each member has one colon outside of strings, and a time, unless escaped, at least two within: with no
    # more colons than that there is no repeat, and most ratings need no second reading.
    explained = _members_of(body)
    if body.occurred_at is not None and b"\\" not in raw:
        explained += 2
    if raw.count(b":") != explained:
        refuse_repeats(raw)
    text = None if body.text is None or not body.text.strip() else composed(body.text)
    return Submission(
        unit_id=body.unit_id,
        grade=body.grade,
        source=body.source,
        channel=body.channel,
        dimensions=_given(body.dimensions) if body.dimensions is not None else {},
        transaction_id=body.transaction_id,
        client_ref=body.client_ref,
        text=text,
        contact=_contact(body.contact) if body.contact is not None else None,
        device_id=body.device_id,
        occurred_at=body.occurred_at,
        token=None if body.token is None else body.token.strip(),
    )


def with_token(submission: Submission, header: bytes) -> Submission:
    """`submission` with the token of the request's header.

    Raises:
        InvalidValueError: the body has another one.
    """
    token = header.decode("latin-1").strip()
    if submission.token is not None and submission.token != token:
        raise InvalidValueError(
            Size("two different tokens"),
            f"one token, in the body or in the header {TOKEN_HEADER}",
            "leave one of them out",
            field="token",
        )
    return submission._replace(token=token)


def _members_of(body: FeedbackBody) -> int:
    """How many different members the JSON of `body` has."""
    count = len(body.model_fields_set)
    if body.dimensions is not None:
        count += len(body.dimensions.model_fields_set)
    if body.contact is not None:
        count += len(body.contact.model_fields_set)
    return count


def refuse_repeats(raw: bytes) -> None:
    """Check that no object of `raw`, which is valid JSON, holds a name twice.

    Raises:
        RejectedError: one does, and so says two things.
    """
    name = _repeated(_read_members(raw.decode()))
    if name is not None:
        raise RejectedError(
            (
                Issue(
                    name,
                    "the name more than once",
                    "each name once in an object",
                    "send only the value that is meant",
                ),
            )
        )


def _repeated(members: Iterable[tuple[str, object]]) -> str | None:
    """The path of the first member that its object holds twice."""
    seen: set[str] = set()
    for name, value in members:
        if name in seen:
            return name
        seen.add(name)
        if isinstance(value, tuple) and (inner := _repeated(value)) is not None:
            return f"{name}.{inner}"
    return None


def _given(dimensions: DimensionsBody) -> dict[str, int]:
    return {name: grade for name, grade in dimensions if grade is not None}


def _contact(body: ContactBody) -> Contact | None:
    given = {name: value for name, value in body if value is not None and value.strip()}
    return Contact(**given) if given else None


def parse_line(raw: bytes, most_bytes: int = MAX_LINE_BYTES) -> Submission:
    """Read one line of a batch, of at most `most_bytes`.

    Longer ones are not looked into: a million unknown names keep a processor busy for half a minute, only to
    list what is wrong.

    Raises:
        RejectedError: it isn't a valid rating.
    """
    if len(raw) > most_bytes:
        issue = Issue("body", f"{len(raw)} bytes", f"a line of at most {most_bytes} bytes", "shorten it")
        raise RejectedError((issue,))
    try:
        return parse_feedback(raw)
    except ValidationError as error:
        found = field_errors(describe_errors(error))
        broken = error.errors(include_url=False)[0]["type"] == "json_invalid"
        nothing = f"{len(raw)} bytes" if broken else "nothing"
        raise RejectedError(
            tuple(
                Issue(
                    item.field,
                    item.value or nothing,
                    # What was read is one line; its number in the batch stands beside.
                    item.expected.replace(" at line 1 column ", " at column "),
                    item.remedy,
                )
                for item in found
            )
        ) from None


def describe_errors(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    """The errors of `error`, with every value that could identify somebody replaced by its size."""
    described = []
    for issue in error.errors(include_url=False)[:ERRORS_SHOWN]:
        place = issue["loc"]
        shown = issue["type"] != "extra_forbidden" and bool(place) and place[0] in _SHOWN
        value = issue["input"]
        if not shown or isinstance(value, dict | list):
            value = size_of(value)
        described.append({**issue, "input": value})
    return described
