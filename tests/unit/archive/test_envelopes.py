"""What counts as an event, and what is read out of one."""

import json

import pytest

from services.archive.application.envelopes import read_attributes
from shared.events import EVENTS
from shared.testing.builders import alert_raised, envelope_of, feedback_submitted

VALID = json.loads(envelope_of(feedback_submitted()).to_json())


def raw(**changes: object) -> bytes:
    return json.dumps({**VALID, **changes}).encode()


def test_the_attributes_of_a_rating_are_read() -> None:
    envelope = envelope_of(feedback_submitted(unit_id="U000007", channel="hotline"))
    found = read_attributes(envelope.to_json())
    assert found is not None
    assert (found.event_id, found.type, found.source) == (envelope.id, envelope.type, envelope.source)
    assert (found.time, found.received_at) == (envelope.time, envelope.receivedat)
    assert (found.unit_id, found.channel, found.synthetic) == ("U000007", "hotline", False)


def test_an_event_without_a_unit_is_an_event() -> None:
    found = read_attributes(envelope_of(alert_raised(unit_id=None)).to_json())
    assert found is not None
    assert found.unit_id is None


def test_an_event_of_a_contract_that_is_newer_than_the_archive_is_an_event() -> None:
    newer = "cn.pingyi.feedback.withdrawn.v2"
    assert newer not in {spec.event_type for spec in EVENTS}
    assert read_attributes(raw(type=newer, data={"target": "x"}, extra=[1, {"a": None}])) is not None


@pytest.mark.parametrize(
    ("data", "actor"),
    [
        ({"actor": "clerk-7"}, "clerk-7"),
        ({"decided_by": "integrity-desk"}, "integrity-desk"),
        ({"by": "county-head"}, "county-head"),
        ({"decided_by": None}, None),
        ({"by": 7}, None),
        ({"actor": {"name": "x"}}, None),
        ({"actor": ""}, None),
        ({"actor": "x" * 257}, None),
    ],
)
def test_who_did_it_is_read_where_the_event_says_so_in_a_word(data: dict[str, object], actor: str) -> None:
    found = read_attributes(raw(data=data))
    assert found is not None
    assert found.actor == actor


def test_the_case_is_read_where_the_event_names_one() -> None:
    found = read_attributes(raw(data={"case_id": "C-2026-7"}))
    assert found is not None
    assert found.case_id == "C-2026-7"


def test_times_are_cut_to_milliseconds_as_stored() -> None:
    found = read_attributes(raw(time="2026-03-02T12:00:00.123987+08:00"))
    assert found is not None
    assert found.time.microsecond == 123_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        raw()[:-1],
        raw() + b"x",
        raw().replace(b'"data"', b'"date"'),
        raw(id=""),
        raw(id=None),
        raw(id=7),
        raw(specversion="0.3"),
        raw(time="2026-03-02T12:00:00"),
        raw(time="yesterday"),
        raw(time="0001-01-01T00:00:00+23:00"),
        raw(data=None),
        raw(data=[1]),
        raw(data={"unit_id": {"name": "x"}}),
        raw(synthetic="no"),
        raw()[:-1] + b',"x":"\xff"}',
        raw()[:-1] + b',"x":"\x01"}',
        raw()[:-1] + b',"x":"\\ud800"}',
        raw()[:-1] + b',"x":NaN}',
        raw()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_anything_else_is_no_event_and_no_error(body: bytes) -> None:
    assert read_attributes(body) is None
