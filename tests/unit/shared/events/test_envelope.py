import json
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from shared.events import (
    EVENTS,
    Envelope,
    EventSpec,
    FeedbackSubmitted,
    InvalidEventError,
    Provenance,
    parse_envelope,
    spec_for_data,
    spec_for_type,
)
from shared.events.cases import CaseChanged
from shared.testing import builders, people_builders
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.cases import case_fact
from shared.testing.clock import FixedClock
from shared.testing.registry_builders import example_of

BUILDERS = {
    spec.name: getattr(module, name)
    for spec in EVENTS
    for module in (builders, people_builders)
    for name in dir(module)
    if name.replace("_", "") == spec.name.lower()
} | {
    spec.name: partial(example_of, spec.data)
    for spec in EVENTS
    if spec.stream == "REGISTRY" or spec.name in {"AlertSnoozed", "EndpointDisabled", "EndpointEnabled"}
}


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_every_event_has_a_builder_whose_event_survives_the_wire(spec: EventSpec) -> None:
    built = case_fact(spec.data) if issubclass(spec.data, CaseChanged) else BUILDERS[spec.name]()
    envelope = envelope_of(built)
    assert parse_envelope(spec.envelope, envelope.to_json()) == envelope
    assert envelope.type == spec.event_type


def test_times_travel_in_utc_with_milliseconds_whatever_their_zone() -> None:
    shanghai = datetime(2026, 11, 21, 9, 12, 33, 123456, tzinfo=timezone(timedelta(hours=8)))
    written = json.loads(envelope_of(feedback_submitted(), time=shanghai).to_json())
    assert written["time"] == "2026-11-21T01:12:33.123Z"


def test_absent_optional_attributes_are_left_out() -> None:
    written = json.loads(envelope_of(feedback_submitted()).to_json())
    assert "causationid" not in written
    assert "kind" in written["data"]
    assert "text" not in written["data"]


def test_what_an_event_leads_to_keeps_its_correlation_and_names_it_as_the_cause() -> None:
    event = envelope_of(feedback_submitted(), correlation_id="request-7")
    assert Provenance.caused_by(event) == Provenance("request-7", event.id, None)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", "specversion"),
        (b"\xff", "body"),
    ],
)
def test_a_body_that_is_no_event_is_refused_with_the_fields_at_fault(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidEventError, match=told):
        parse_envelope(Envelope[FeedbackSubmitted], raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grade", "5"),
        ("grade", 0),
        ("grade", 6),
        ("grade", 4.5),
        ("city", "36"),
        ("county", "３６０７０２"),
        ("level", "x"),
    ],
)
def test_a_value_outside_of_the_contract_is_refused_without_guessing(field: str, value: object) -> None:
    document = json.loads(envelope_of(feedback_submitted()).to_json())
    document["data"][field] = value
    with pytest.raises(InvalidEventError, match=f"data.{field}"):
        parse_envelope(Envelope[FeedbackSubmitted], json.dumps(document).encode())


def test_a_time_without_a_zone_is_refused() -> None:
    document = json.loads(envelope_of(feedback_submitted()).to_json())
    document["time"] = "2026-11-21T01:12:33"
    with pytest.raises(InvalidEventError, match="time"):
        parse_envelope(Envelope[FeedbackSubmitted], json.dumps(document).encode())


def test_a_spec_is_found_by_its_data_and_by_its_type() -> None:
    spec = spec_for_data(FeedbackSubmitted)
    assert spec_for_type("cn.pingyi.feedback.submitted.v1") is spec
    assert spec.subject_for("3607", "360702") == "feedback.v1.submitted.3607.360702"
    assert spec.subject_for() == "feedback.v1.submitted.all.all"


def test_an_unknown_type_is_told_with_the_known_ones() -> None:
    with pytest.raises(InvalidEventError, match=r"expected one of cn\.pingyi\.alerts\.acknowledged\.v1"):
        spec_for_type("cn.pingyi.feedback.invented.v1")


def test_the_fixed_clock_moves_only_when_told() -> None:
    start = datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=8)))
    clock = FixedClock(start)
    assert clock.now() == start
    clock.advance(days=1, seconds=5)
    assert clock.now() == datetime(2026, 3, 3, 4, 0, 5, tzinfo=UTC)
