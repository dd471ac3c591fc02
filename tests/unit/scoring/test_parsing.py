import json
from datetime import timedelta
from typing import Any

import pytest

from services.scoring.application.parsing import RatingParser, repeat_key
from shared.events import InvalidEventError
from shared.kernel.grades import Level, Verification
from shared.kernel.units import load_units
from shared.rules import load_pack
from tests.unit.scoring.feedback import NOW, feedback, hmac

UNITS = load_units()
WINDOW = UNITS.by_level(Level.WINDOW)[7]
PARSER = RatingParser({WINDOW.unit_id: 42}, load_pack(None, NOW.date()))


@pytest.mark.parametrize(
    ("verification", "weight_milli"),
    [
        (Verification.TRANSACTION, 1000),
        (Verification.REAL_NAME, 800),
        (Verification.ONSITE, 400),
        (Verification.ANONYMOUS, 200),
    ],
)
def test_an_event_of_the_contract_is_read(verification: Verification, weight_milli: int) -> None:
    event = feedback(
        WINDOW,
        number=3,
        grade=2,
        verification=verification,
        received_at=NOW + timedelta(seconds=1.234),
        citizen=1,
        transaction=2,
    )
    rating = PARSER.parse(event.payload)
    assert rating.event_id.hex() == event.message_id.replace("-", "")
    assert (rating.unit, rating.grade, rating.weight_milli) == (42, 2, weight_milli)
    assert rating.occurred_ms == int(NOW.timestamp()) * 1000
    assert rating.received_ms - rating.occurred_ms == 1234
    assert rating.repeat_key == repeat_key(hmac(1), hmac(2))
    assert not rating.synthetic


@pytest.mark.parametrize(
    ("text", "unix_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-20T20:00:00.123999+08:00", 1_795_176_000_123),
        ("2026-11-20T11:59:59.999-00:01", 1_795_176_059_999),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999),
    ],
)
def test_times_are_read_to_the_millisecond_with_finer_digits_cut_off(text: str, unix_ms: int) -> None:
    event = json.loads(feedback(WINDOW, number=1).payload)
    for field, other in (("time", "receivedat"), ("receivedat", "time")):
        changed = event | {field: text, other: "2026-01-01T00:00:00Z"}
        rating = PARSER.parse(json.dumps(changed).encode())
        assert {rating.occurred_ms, rating.received_ms} == {unix_ms, 1_767_225_600_000}


def test_a_probe_is_known_as_one() -> None:
    assert PARSER.parse(feedback(WINDOW, number=1, synthetic=True).payload).synthetic


def test_without_citizen_or_transaction_nothing_is_replaced() -> None:
    assert PARSER.parse(feedback(WINDOW, number=1, citizen=1).payload).repeat_key is None
    assert PARSER.parse(feedback(WINDOW, number=1, transaction=1).payload).repeat_key is None
    assert repeat_key(hmac(1), hmac(2)) != repeat_key(hmac(2), hmac(1))


def test_fields_that_come_later_are_ignored() -> None:
    event = json.loads(feedback(WINDOW, number=1).payload)
    event["news"] = event["data"]["news"] = {"a": 1}
    assert PARSER.parse(json.dumps(event).encode()).grade == 5


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"type": "cn.pingyi.feedback.conflicted.v1"},
        {"id": "not-a-uuid"},
        {"id": "01A201CA-F6A7-7BCC-9110-C6CBF2D8E87A"},
        {"time": "2026-11-20T12:00:00"},
        {"time": "1969-12-31T23:59:58Z"},
        {"receivedat": "1969-12-31T23:59:59.999Z"},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"receivedat": "yesterday"},
        {"synthetic": "no"},
        {"data": {"grade": 9}},
        {"data": {"grade": "5"}},
        {"data": {"unit_id": "U999999"}},
        {"data": {"verification": "promised"}},
        {"data": {"citizen_hmac": "x" * 65}},
        {"data": {"citizen_hmac": f"k1.{'x' * 32}", "transaction_hmac": hmac(1)}},
        {"data": {"citizen_hmac": hmac(1), "transaction_hmac": f"k1.{'0 ' * 16}"}},
        {"data": {"verification": "onsite", "device_hmac": f"k1.{'0 ' * 16}"}},
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_refused(change: dict[str, Any]) -> None:
    event = json.loads(feedback(WINDOW, number=1).payload)
    for key, value in change.items():
        if isinstance(value, dict):
            event[key].update(value)
        else:
            event[key] = value
    with pytest.raises(InvalidEventError):
        PARSER.parse(json.dumps(event).encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id":"\xff"}', b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_event_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        PARSER.parse(body)


def test_an_error_tells_what_is_wrong_without_repeating_the_body() -> None:
    event = json.loads(feedback(WINDOW, number=1).payload)
    event["data"]["grade"] = 9
    event["data"]["text"] = "secret words"
    with pytest.raises(InvalidEventError, match=r"data\.grade") as caught:
        PARSER.parse(json.dumps(event).encode())
    assert "secret" not in str(caught.value)
