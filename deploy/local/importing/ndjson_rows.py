"""Rows of a file of JSON lines: one object each, with our own names, Chinese ones or the province's."""

import json
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from deploy.local.importing.columns import MAX_COLUMNS, Field, field_of
from deploy.local.importing.faults import Fault, Reason
from deploy.local.importing.rows import MAX_ROW_CHARS, WHOLE_ROW, Row

MAX_LINE_BYTES: Final = 4 * MAX_ROW_CHARS
_SHOWN: Final = 1_000
_REMEMBERED: Final = 10_000
_LONGEST_NAME: Final = 200

_TOO_LONG: Final = Fault(
    f"至多 {MAX_LINE_BYTES} 字节的一行", "缩短该行",
    f"a line of at most {MAX_LINE_BYTES} bytes", "shorten it",
)  # fmt: skip
_NO_OBJECT: Final = Fault(
    "一个 JSON 对象（UTF-8 编码，每行一个）", "改正该行的语法",
    "one JSON object on each line, in UTF-8", "correct the syntax of the line",
)  # fmt: skip
_TWICE: Final = Fault(
    "每个名称只出现一次", "只保留要用的那个值",
    "each name once in an object", "keep the value that is meant",
)  # fmt: skip
_NESTED: Final = Fault(
    "文本或数字", "去掉方括号或花括号",
    "a text or a number", "take it out of its brackets",
)  # fmt: skip


class _TwiceError(ValueError):
    """An object holds a name twice."""


def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; ValueError if it holds a name twice, and so says two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def refuse_constant(name: str) -> object:
    """ValueError: NaN and the infinities are no JSON."""
    raise ValueError(name)


# Numbers stay as they are written: 18 digits must not become a float.
_decode: Final = json.JSONDecoder(
    object_pairs_hook=members, parse_float=str, parse_int=str, parse_constant=refuse_constant
).decode


def read_ndjson(stream: BinaryIO, overrides: Mapping[str, Field | None] | None = None) -> Iterator[Row]:
    """The rows of `stream`; blank lines are passed over and counted.

    Lines that can't be read come with their reasons and never end the iteration.
    """
    fields: dict[str, Field | None] = {}
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) > MAX_LINE_BYTES:
            shown = raw[:_SHOWN]
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_LINE_BYTES + 1)
            yield _unreadable(number, shown, _TOO_LONG)
        elif raw.strip():
            yield _read(number, raw.strip(), fields, overrides)


def _unreadable(number: int, raw: bytes, fault: Fault) -> Row:
    shown = raw[:_SHOWN].decode("utf-8", "replace")
    return Row(number, (shown,), {}, (Reason(WHOLE_ROW, shown, fault),))


def _read(
    number: int, raw: bytes, fields: dict[str, Field | None], overrides: Mapping[str, Field | None] | None
) -> Row:
    value = _object(raw)
    if isinstance(value, Fault):
        return _unreadable(number, raw, value)
    values: dict[Field, str] = {}
    reasons: list[Reason] = []
    for name, member in _flat(value):
        field = fields.get(name)
        if field is None and name not in fields:
            field = field_of(name, overrides)
            if len(fields) < _REMEMBERED and len(name) < _LONGEST_NAME:
                fields[name] = field
        if field is None or field is Field.REASON or member is None:
            continue
        if not isinstance(member, str):
            reasons.append(Reason(name, type(member).__name__, _NESTED))
        elif field in values:
            reasons.append(Reason(name, member, _TWICE))
        elif member.strip():
            values[field] = member
    return Row(number, (raw.decode(),), values, tuple(reasons))


def _object(raw: bytes) -> dict[str, object] | Fault:
    try:
        value = _decode(raw.decode())
    except _TwiceError:
        return _TWICE
    except (ValueError, RecursionError):
        return _NO_OBJECT
    return value if isinstance(value, dict) and len(value) <= MAX_COLUMNS else _NO_OBJECT


def _flat(value: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Names and values; those of objects within, such as a contact, with a dot between the names."""
    for name, member in value.items():
        if isinstance(member, dict):
            for inner, each in member.items():
                yield f"{name}.{inner}", each
        else:
            yield name, member
