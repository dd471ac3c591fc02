"""Query parameters of the event log: what may be asked for, and how a word about it is put."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Final

from fastapi import Depends, Query

from services.archive.application.ports import EventQuery, Order
from services.archive.domain.subjects import SubjectFilter
from shared.kernel.clock import parse_rfc3339, rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.regions import load_divisions
from shared.messaging.streams import ARCHIVED, STREAMS
from shared.observability.withholding import holds_number

MOST_ENTRIES: Final = 1 << 62
_PROVINCE_DIGITS: Final = 2
_CITY_DIGITS: Final = 4
_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)
_SUBJECTS: Final = tuple(subject for spec in STREAMS if spec.archived for subject in spec.subjects)

Text = Annotated[str | None, Query(min_length=1, max_length=256)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with the words that it was asked in.

    Attributes:
        words: by parameter, fit to be kept for good: nothing that could be a number of a person.
    """

    query: EventQuery
    words: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    region: str | None
    city: str | None
    county: str | None


def _place(
    region: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{4}([0-9]{2})?$",
            description="GB/T 2260 code, with everything below it: a county (360721), a city with its "
            "counties (360700 or 3607), the province (360000: all events, those of no place too).",
        ),
    ] = None,
) -> _Place:
    if region is None:
        return _Place(None, None, None)
    code = region.ljust(6, "0")
    if code.endswith("0000"):
        if code != _province():
            raise InvalidValueError(
                region, f"{_province()} or a code below it", "name the log's province", field="region"
            )
        return _Place(region, None, None)
    city = code[:_CITY_DIGITS]
    return _Place(region, city, None if code.endswith("00") else code)


@cache
def _province() -> str:
    return next(each.code for each in load_divisions().at() if each.level is Level.PROVINCE)


@dataclass(frozen=True, slots=True)
class _Period:
    start: datetime | None
    end: datetime | None


def _period(
    start: Annotated[
        str | None, Query(alias="from", description="Earliest time of the fact, RFC 3339 with offset.")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="Time before which the fact was, RFC 3339 with offset.")
    ] = None,
) -> _Period:
    first, last = _moment("from", start), _moment("to", end)
    if first is not None and last is not None and first > last:
        raise InvalidValueError(
            start, f"a time not after `to`, which is {end}", "swap the two or correct one", field="from"
        )
    return _Period(first, last)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except InvalidValueError as error:
        # A '+' that was not escaped arrives as a blank: the commonest mistake with times in addresses.
        remedy = "write + as %2B in an address" if " " in text else error.remedy
        raise InvalidValueError(text, error.expected, remedy, field=name) from error


@dataclass(frozen=True, slots=True)
class _Message:
    subject: SubjectFilter | None
    type: str | None
    stream: str | None


def _message(
    subject: Annotated[Text, Query(description="NATS subject, with * and > as wildcards.")] = None,
    event_type: Annotated[
        Text, Query(alias="type", description="CloudEvents type, one of docs/events.md.")
    ] = None,
    stream: Annotated[Text, Query(description="Archived stream.")] = None,
) -> _Message:
    if stream is not None and stream not in ARCHIVED:
        raise InvalidValueError(
            stream, f"one of {', '.join(ARCHIVED)}", "name an archived stream", field="stream"
        )
    wanted = None if subject is None else SubjectFilter.parse(subject)
    if wanted is not None and not any(wanted.overlaps(SubjectFilter.parse(each)) for each in _SUBJECTS):
        raise InvalidValueError(
            subject, f"a subject within {', '.join(_SUBJECTS)}", "see docs/events.md", field="subject"
        )
    return _Message(wanted, event_type, stream)


@dataclass(frozen=True, slots=True)
class _Ties:
    correlation_id: str | None
    case_id: str | None
    actor: str | None
    since: int


def _ties(
    correlation_id: Annotated[Text, Query(description="Correlation id of the first request.")] = None,
    case_id: Annotated[Text, Query(description="Rectification case that the event is about.")] = None,
    actor: Annotated[Text, Query(description="Account, post or role that did it.")] = None,
    since: Annotated[
        int,
        Query(
            ge=0,
            le=MOST_ENTRIES,
            description="Least index. The `size` of an earlier answer, to get what was archived since then.",
        ),
    ] = 0,
) -> _Ties:
    return _Ties(correlation_id, case_id, actor, since)


def asked(
    place: Annotated[_Place, Depends(_place)],
    period: Annotated[_Period, Depends(_period)],
    message: Annotated[_Message, Depends(_message)],
    ties: Annotated[_Ties, Depends(_ties)],
    unit_id: Annotated[Text, Query(description="Unit that the event is about: U and six digits.")] = None,
    order: Annotated[Order, Query(description="asc: oldest first; desc: newest first.")] = "asc",
) -> Asked:
    """The conditions of a request, all of which an entry must meet."""
    query = EventQuery(
        unit_id=unit_id,
        subject=message.subject,
        type=message.type,
        stream=message.stream,
        correlation_id=ties.correlation_id,
        case_id=ties.case_id,
        actor=ties.actor,
        city=place.city,
        county=place.county,
        start=period.start,
        end=period.end,
        since=ties.since,
        order=order,
    )
    words = {
        "region": place.region,
        "from": None if period.start is None else rfc3339(period.start),
        "to": None if period.end is None else rfc3339(period.end),
        "stream": message.stream,
        "since": str(ties.since) if ties.since else None,
    }
    free = {
        "unit_id": unit_id,
        "subject": None if message.subject is None else str(message.subject),
        "type": message.type,
        "correlation_id": ties.correlation_id,
        "case_id": ties.case_id,
        "actor": ties.actor,
    }
    kept = {name: value for name, value in words.items() if value is not None}
    return Asked(query, kept | in_words(free))


def in_words(values: Mapping[str, str | None]) -> dict[str, str]:
    """Values that a client was free to choose, without those that could be a number of a person."""
    return {
        name: value
        if _ID.fullmatch(value) is not None or not holds_number(value)
        else f"({len(value)} characters)"
        for name, value in values.items()
        if value is not None
    }
