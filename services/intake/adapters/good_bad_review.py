"""The province's 好差评 (good/bad review) interface, both ways: its field names and codes, and ours.

The one place that knows them. Identifiers (``projNo``, ``applicantName``, ``applicantCardNumber``,
``applicantPhone``) become the transaction and the contact of a submission, which intake hashes and seals like
everybody else's; from an event they can't be had back. Fields that say nothing about the rating itself (the
item's name and version, the state of the transaction) are known and left out.

Codes of ``evaluateChannel`` are those of the national interface (1 … 7); ``PJQ`` is what terminals (评价器)
send.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from shared.kernel.clock import SHANGHAI, parse_rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel
from shared.kernel.units import Unit

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "projNo": "transaction_id",
        "satisfaction": "grade",
        "writingEvaluation": "text",
        "evaluateChannel": "channel",
        "transactionTime": "occurred_at",
        "applicantName": "contact.name",
        "applicantPhone": "contact.phone",
        "applicantCardNumber": "contact.id_number",
    }
)
"""The interface's fields and the places of a submission that they fill."""

UNIT_FIELDS: Final = ("serviceDepartmentCode", "regionCode", "projName")
"""What the interface says about who is rated; only the receiver knows which unit that is."""

UNUSED_FIELDS: Final = ("serviceCode", "serviceVersion", "userProp", "handleStateCode", "applyTime")
"""Known, and not part of a rating."""

CHANNELS: Final[Mapping[str, Channel]] = MappingProxyType(
    {
        "1": Channel.WEB,
        "2": Channel.APP,
        "3": Channel.QR,
        "4": Channel.TERMINAL,
        "5": Channel.TERMINAL,
        "6": Channel.HOTLINE,
        "7": Channel.SMS,
        "PJQ": Channel.TERMINAL,
    }
)
"""``evaluateChannel``: website, mobile app, QR code, tablet in the hall, other device there, phone, SMS."""

_CODES: Final[Mapping[Channel, str]] = MappingProxyType(
    {
        Channel.WEB: "1",
        Channel.APP: "2",
        Channel.QR: "3",
        Channel.TERMINAL: "4",
        Channel.HOTLINE: "6",
        Channel.SMS: "7",
    }
)
_REGION_DIGITS: Final = 12
_LOCAL_TIME: Final = "%Y-%m-%d %H:%M:%S"


def to_submission(record: Mapping[str, str], unit_of: Callable[[Mapping[str, str]], str]) -> dict[str, Any]:
    """The body for ``POST /v1/feedback`` that a record of the interface stands for.

    Args:
        record: fields of the interface; blank ones count as absent.
        unit_of: the id of the unit that a record is about; raises `InvalidValueError` where it can't tell.

    Raises:
        InvalidValueError: a field is missing or has a value that the interface does not know.
    """
    given = {name: value.strip() for name, value in record.items() if value.strip()}
    body: dict[str, Any] = {"unit_id": unit_of(given)}
    for name, place in FIELDS.items():
        if name not in given:
            continue
        outer, _, inner = place.partition(".")
        if inner:
            body.setdefault(outer, {})[inner] = given[name]
        else:
            body[outer] = _TO_OURS.get(name, str)(given[name])
    if "grade" not in body:
        raise InvalidValueError(
            None, "a satisfaction from 1 to 5", "send only evaluated records", field="satisfaction"
        )
    return body


def from_submission(body: Mapping[str, Any], unit: Unit) -> dict[str, str]:
    """The record of the interface for a submission about `unit`; absent fields stay absent.

    The reverse of `to_submission`, for handing ratings on before their identifiers are hashed and sealed.

    Raises:
        InvalidValueError: the interface has no code for the channel.
    """
    record = {
        "regionCode": unit.division.ljust(_REGION_DIGITS, "0"),
        "serviceDepartmentCode": unit.unit_id,
    }
    for name, place in FIELDS.items():
        outer, _, inner = place.partition(".")
        value = body.get(outer)
        value = value.get(inner) if inner and value is not None else value
        if value is not None:
            record[name] = _FROM_OURS.get(name, str)(value)
    return record


def _grade(text: str) -> int:
    if text not in {"1", "2", "3", "4", "5"}:
        raise InvalidValueError(text, "a satisfaction from 1 to 5", "send the grade", field="satisfaction")
    return int(text)


def _channel(text: str) -> str:
    found = CHANNELS.get(text.upper())
    if found is None:
        raise InvalidValueError(
            text,
            f"one of the codes {', '.join(CHANNELS)}",
            "send the channel's code",
            field="evaluateChannel",
        )
    return found.value


def _code(channel: str) -> str:
    code = _CODES.get(Channel(channel))
    if code is None:
        raise InvalidValueError(
            channel,
            f"one of {', '.join(_CODES)}, which the interface has codes for",
            "hand on ratings of these channels only",
            field="channel",
        )
    return code


def _moment(text: str) -> str:
    try:
        return datetime.strptime(text, _LOCAL_TIME).replace(tzinfo=SHANGHAI).isoformat()
    except ValueError as error:
        raise InvalidValueError(
            text,
            "a local time such as 2026-03-01 09:30:00",
            "send the time like that",
            field="transactionTime",
        ) from error


def _local(moment: str) -> str:
    return parse_rfc3339(moment).astimezone(SHANGHAI).strftime(_LOCAL_TIME)


_TO_OURS: Final[Mapping[str, Callable[[str], Any]]] = {
    "satisfaction": _grade,
    "evaluateChannel": _channel,
    "transactionTime": _moment,
}
_FROM_OURS: Final[Mapping[str, Callable[[Any], str]]] = {
    "evaluateChannel": _code,
    "transactionTime": _local,
}
