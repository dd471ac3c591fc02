"""Feedback events for the fold's measurements: cheap to make, the same for the same seed, not all alike.

Six of ten are ratings of a verified transaction on a window's terminal, a quarter QR ratings on site, the
rest anonymous ones from the web; one of a hundred is delivered twice.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple

from shared.events import FeedbackSubmitted, spec_for_data
from shared.kernel.clock import SHANGHAI
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.units import Unit, UnitRegistry, load_units

LAST_DAY: Final = date(2026, 11, 20)
"""The day that the windows end on."""
DAYS: Final = 365
"""A year: over how many days of event time the events are spread, in the order of receipt."""

_DAY_MS: Final = 86_400_000
_LATE_SHARE: Final = 0.1
_LATE_MS: Final = 3_600_000
_TWICE_SHARE: Final = 0.01
_GRADES: Final = (5,) * 60 + (4,) * 22 + (3,) * 9 + (2,) * 5 + (1,) * 4
_SPEC: Final = spec_for_data(FeedbackSubmitted)

_HEAD: Final = (
    b'{"specversion":"1.0","id":"%(id)s","source":"/pingyi/intake","type":"'
    + _SPEC.event_type.encode()
    + b'","subject":"%(unit)s","time":"%(occurred)s","datacontenttype":"application/json","dataschema":"'
    + _SPEC.dataschema.encode()
    + b'","correlationid":"%(id)s","receivedat":"%(received)s","synthetic":false,"data":{%(place)s,'
    b'"grade":%(grade)d,"source":"public",'
)
_TAIL: Final = b',"has_contact":false,"digest":"k1.%(first)032x"}}'
_TRANSACTION: Final = (
    _HEAD + b'"channel":"terminal","verification":"transaction","citizen_hmac":"k1.%(second)032x",'
    b'"device_hmac":"k1.%(shared)032x","transaction_hmac":"k1.%(third)032x"' + _TAIL
)
_ON_SITE: Final = (
    _HEAD + b'"channel":"qr","verification":"onsite","device_hmac":"k1.%(second)032x",'
    b'"address_hmac":"k1.%(third)032x"' + _TAIL
)
_ANONYMOUS: Final = (
    _HEAD + b'"channel":"web","verification":"anonymous","device_hmac":"k1.%(second)032x",'
    b'"address_hmac":"k1.%(third)032x"' + _TAIL
)
_TEMPLATES: Final = (_TRANSACTION,) * 60 + (_ON_SITE,) * 25 + (_ANONYMOUS,) * 15


class Stored(NamedTuple):
    """One message as the stream hands it out."""

    subject: str
    data: bytes
    sequence: int


class _Target(NamedTuple):
    subject: str
    unit: bytes
    place: bytes
    terminal: int


def windows_of(registry: UnitRegistry) -> tuple[Unit, ...]:
    """The units that are rated."""
    return registry.by_level(Level.WINDOW)


def registry_of(windows: int) -> UnitRegistry:
    """The committed registry with so many windows: the first ones, or all of them and more like them."""
    known = load_units()
    real = windows_of(known)
    above = [unit for unit in known if unit.level is not Level.WINDOW]
    first = 1 + max(int(unit.unit_id[1:]) for unit in known)
    more = (
        replace(
            real[number % len(real)],
            unit_id=UnitId(f"U{first + number:06d}"),
            name=f"{real[number % len(real)].name} {number}",
        )
        for number in range(windows - len(real))
    )
    return UnitRegistry([*above, *real[:windows], *more])


def stored_events(units: Sequence[Unit], count: int, days: int = DAYS, seed: int = 1) -> Iterator[Stored]:
    """``count`` messages about ``units``, spread over the ``days`` up to :data:`LAST_DAY`."""
    chance = random.Random(seed)
    targets = [_target(unit, place) for place, unit in enumerate(units)]
    start = datetime.combine(LAST_DAY - timedelta(days=days - 1), time(), SHANGHAI)
    start_ms, step_ms = int(start.timestamp() * 1000), days * _DAY_MS / count
    before: tuple[str, bytes] | None = None
    for number in range(count):
        target = targets[int(chance.random() * len(targets))]
        if before is not None and chance.random() < _TWICE_SHARE:
            yield Stored(*before, number + 1)
            continue
        received_ms = start_ms + int(number * step_ms)
        received = occurred = _rfc3339(received_ms)
        if chance.random() < _LATE_SHARE:
            occurred = _rfc3339(received_ms - int(chance.random() * _LATE_MS))
        bits = chance.getrandbits(128)
        body = _TEMPLATES[bits % 100] % {
            b"id": _uuid(bits),
            b"unit": target.unit,
            b"place": target.place,
            b"occurred": occurred,
            b"received": received,
            b"grade": _GRADES[(bits >> 64) % 100],
            b"first": bits,
            b"second": chance.getrandbits(128),
            b"third": chance.getrandbits(128),
            b"shared": target.terminal,
        }
        before = (target.subject, body)
        yield Stored(*before, number + 1)


def _target(unit: Unit, place: int) -> _Target:
    where = (
        f'"unit_id":"{unit.unit_id}","level":"window","kind":"{unit.kind}",'
        f'"city":"{unit.city}","county":"{unit.county}"'
    )
    return _Target(
        _SPEC.subject_for(unit.city, unit.county), unit.unit_id.encode(), where.encode(), place + 1
    )


def _uuid(bits: int) -> bytes:
    digits = b"%032x" % bits
    return b"%s-%s-4%s-8%s-%s" % (digits[:8], digits[8:12], digits[13:16], digits[17:20], digits[20:])


def _rfc3339(moment_ms: int) -> bytes:
    day, rest = divmod(moment_ms, _DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    date_text = date.fromordinal(day + _UNIX_DAY).isoformat().encode()
    return b"%sT%02d:%02d:%02d.%03dZ" % (date_text, hour, minute, second, millis)


_UNIX_DAY: Final = date(1970, 1, 1).toordinal()
