"""The province's 好差评 (good/bad review) interface, both ways: its field names and codes, and ours.

The one place that knows them. Identifiers (``projNo``, ``applicantName``, ``applicantCardNumber``,
``applicantPhone``) become the transaction and the contact of a submission, which intake hashes and seals like
everybody else's; from an event they can't be had back. Codes are looked up in tables, both ways; one that is
in none is refused with what there is. Fields that say nothing about the rating itself (the item's name and
version, the state of the transaction) are checked where they have codes, and left out.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Final

from services.intake.domain.revisions import Move
from shared.kernel.clock import SHANGHAI, business_day, parse_rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel
from shared.kernel.regions import Division, DivisionRegistry, load_divisions
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

NAME_OF: Final[Mapping[str, str]] = MappingProxyType(
    {place: name for name, place in FIELDS.items()}
    | {"unit_id": "serviceDepartmentCode", "client_ref": "projNo"}
)
"""The interface's field for a place of a submission, for telling what is wrong."""

UNIT_FIELDS: Final = ("serviceDepartmentCode", "regionCode", "projName")
"""What the interface says about who is rated; only the receiver knows which unit that is."""

CODED_FIELDS: Final = ("userProp", "handleStateCode")
"""Checked, and no part of a rating by themselves."""

UNUSED_FIELDS: Final = ("serviceCode", "serviceVersion", "applyTime")
"""Known, and not part of a rating."""


CODES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "evaluateChannel": {
            "1": "网上大厅", "2": "移动端", "3": "二维码", "4": "大厅平板电脑", "5": "大厅其他终端",
            "6": "电话", "7": "短信", "PJQ": "评价器",
        },
        "userProp": {
            "1": "自然人", "2": "企业法人", "3": "事业法人", "4": "社会组织法人", "5": "非法人企业",
            "6": "行政机关", "9": "其他组织",
        },
        "handleStateCode": {"1": "收件", "2": "受理", "3": "办结"},
        "satisfaction": {"5": "非常满意", "4": "满意", "3": "基本满意", "2": "不满意", "1": "非常不满意"},
    }
)  # fmt: skip
"""The interface's codes by field, and what they mean there."""

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
"""Our channel for each ``evaluateChannel``; of several codes for one the first is what we hand on."""

NATURAL_PERSON: Final = "1"
"""The ``userProp`` whose card number is a person's; of all others it is an organisation's."""

SUBMITTED: Final = "submitted"
"""The ``evaluationState`` of a rating as it was submitted."""

STATES: Final[Mapping[Move, str]] = MappingProxyType(
    {
        Move.CORRECT: "corrected",
        Move.WITHDRAW: "withdrawn",
        Move.EXCLUDE: "excluded",
        Move.REINSTATE: "reinstated",
        Move.QUARANTINE: "held",
        Move.RELEASE: "released",
    }
)
"""The ``evaluationState`` of a record that tells what became of a rating."""

_CODE_OF: Final[Mapping[Channel, str]] = MappingProxyType(
    {channel: code for code, channel in reversed(tuple(CHANNELS.items()))}
)
_REGION_DIGITS: Final = 12
_DIVISION_DIGITS: Final = 6
_LOCAL_TIME: Final = "%Y-%m-%d %H:%M:%S"


def to_submission(
    record: Mapping[str, str],
    unit_of: Callable[[Mapping[str, str]], Unit],
    divisions: DivisionRegistry | None = None,
) -> dict[str, Any]:
    """The body for ``POST /v1/feedback`` that a record of the interface stands for.

    Args:
        record: fields of the interface; blank ones count as absent.
        unit_of: the unit that a record is about; raises `InvalidValueError` where it can't tell.
        divisions: those in force; the committed ones if None.

    Raises:
        InvalidValueError: a field is missing or has a value that the interface does not know.
    """
    given = {name: value.strip() for name, value in record.items() if value.strip()}
    unit = unit_of(given)
    if "regionCode" in given:
        _require_region(given["regionCode"], unit, divisions or load_divisions())
    for name in CODED_FIELDS:
        if name in given:
            _code(name, given[name])
    body: dict[str, Any] = {"unit_id": unit.unit_id}
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
            None, _known("satisfaction"), "send only evaluated records", field="satisfaction"
        )
    if given.get("userProp", NATURAL_PERSON) != NATURAL_PERSON and "id_number" in body.get("contact", {}):
        body["contact"]["account"] = body["contact"].pop("id_number")
    return body


def from_submission(
    body: Mapping[str, Any], unit: Unit, divisions: DivisionRegistry | None = None
) -> dict[str, str]:
    """The record of the interface for a submission about `unit`; absent fields stay absent.

    The reverse of `to_submission`, for handing ratings on before their identifiers are hashed and sealed. The
    region's code is that of the day of the service: codes change. `divisions` are the committed ones if None.

    Raises:
        InvalidValueError: the interface has no code for the channel.
    """
    moment = body.get("occurred_at")
    on = None if moment is None else business_day(parse_rfc3339(moment))
    record = {
        "regionCode": _region_on(unit, on, divisions or load_divisions()).ljust(_REGION_DIGITS, "0"),
        "serviceDepartmentCode": unit.unit_id,
    }
    for name, place in FIELDS.items():
        outer, _, inner = place.partition(".")
        value = body.get(outer)
        value = value.get(inner) if inner and value is not None else value
        if value is not None:
            record[name] = _FROM_OURS.get(name, str)(value)
    return record


def _known(name: str) -> str:
    return "one of " + ", ".join(f"{code} {meaning}" for code, meaning in CODES[name].items())


def _code(name: str, text: str) -> str:
    if text.upper() not in CODES[name]:
        raise InvalidValueError(text, _known(name), "send one of the interface's codes", field=name)
    return text.upper()


def _grade(text: str) -> int:
    return int(_code("satisfaction", text))


def _channel(text: str) -> str:
    return CHANNELS[_code("evaluateChannel", text)].value


def _code_of(channel: str) -> str:
    code = _CODE_OF.get(Channel(channel))
    if code is None:
        raise InvalidValueError(
            channel,
            f"one of {', '.join(_CODE_OF)}, which the interface has codes for",
            "hand on ratings of these channels only",
            field="channel",
        )
    return code


def _require_region(text: str, unit: Unit, divisions: DivisionRegistry) -> None:
    """Twelve digits: those of the unit's division, as they are or were, and of a township in it."""
    codes = [row.code for row in _codes_over_time(unit.division, divisions)]
    proper = len(text) == _REGION_DIGITS and text.isascii() and text.isdecimal()
    if not proper or text[:_DIVISION_DIGITS] not in codes:
        raise InvalidValueError(
            text,
            f"12 digits, of which the first six are {' or '.join(codes)}, the region of {unit.unit_id}",
            "correct the region, or name the unit that is there in serviceDepartmentCode",
            field="regionCode",
        )


def _region_on(unit: Unit, on: date | None, divisions: DivisionRegistry) -> str:
    rows = _codes_over_time(unit.division, divisions)
    return next((row.code for row in rows if on is not None and row.in_force(on)), unit.division)


def _codes_over_time(code: str, divisions: DivisionRegistry) -> list[Division]:
    """The rows of a division, and those that took its place: on the day, under the same parent and stem."""
    found = [row for row in divisions if row.code == code]
    for row in divisions:
        follows = any(
            row.valid_from == before.valid_to
            and row.parent == before.parent
            and row.name[:-1] == before.name[:-1]
            for before in found
        )
        if follows and row not in found:
            found.append(row)
    return found


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
    "evaluateChannel": _code_of,
    "transactionTime": _local,
}
