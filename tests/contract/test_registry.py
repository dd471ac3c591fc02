"""One test for each rule of the registry: what an event must have before it may exist."""

import re

import pytest

from shared.events import EVENTS, EventSpec
from shared.events.catalogue import (
    contract_name,
    examples_of,
    folded_streams,
    producers_of,
    services,
    stream_of,
    subject_covers,
)
from shared.messaging.streams import CONSUMERS, DAY_S, STREAMS, ConsumerSpec, StreamSpec
from shared.messaging.subjects import Subject
from tests.contract.contracts import committed_schema, each_event, fields

KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")
IRREGULAR_PAST = {"sent", "taken", "withdrawn", "held", "lost", "found", "put", "set", "read"}

each_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
each_consumer = pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.durable)


@each_event
def test_an_event_has_a_committed_schema_with_its_urn(spec: EventSpec) -> None:
    assert committed_schema(spec)["$id"] == spec.dataschema
    assert committed_schema(spec, ".envelope")["$id"] == f"{spec.dataschema}:envelope"


@each_event
def test_an_event_has_a_full_and_a_minimal_example(spec: EventSpec) -> None:
    assert {"full", "minimal"} <= set(examples_of(spec))


@each_event
def test_examples_show_every_field_and_the_minimal_one_only_what_is_required(spec: EventSpec) -> None:
    schema = committed_schema(spec)
    examples = examples_of(spec)
    shown = {name for example in examples.values() for name in example["data"]}
    assert shown == set(schema["properties"])
    assert set(examples["minimal"]["data"]) == set(schema["required"])


@each_event
def test_an_event_has_a_producer_that_is_a_service(spec: EventSpec) -> None:
    producers = producers_of(spec)
    assert producers
    assert set(producers) | set(spec.consumers) <= set(services())


@each_event
def test_an_event_is_stored_by_exactly_its_declared_stream(spec: EventSpec) -> None:
    storing = [
        stream.name
        for stream in STREAMS
        if any(subject_covers(subject, spec.pattern) for subject in stream.subjects)
    ]
    assert storing == [spec.stream]


@each_event
def test_an_events_retention_tells_what_its_stream_keeps(spec: EventSpec) -> None:
    stream = stream_of(spec)
    kept = f"{stream.max_age_s // DAY_S} days in" if stream.max_age_s else "for good in"
    assert f"{kept} the stream" in spec.retention
    assert ("in the archive" in spec.retention) == stream.archived


@each_event
def test_only_rankings_are_public(spec: EventSpec) -> None:
    assert spec.public == (spec.stream == "RANKING")


@each_event
def test_an_event_is_named_as_a_fact_in_the_past(spec: EventSpec) -> None:
    assert KEBAB.fullmatch(spec.fact)
    last = spec.fact.rsplit("-", 1)[-1]
    assert last.endswith("ed") or last in IRREGULAR_PAST
    assert re.fullmatch(r"([A-Z][a-z]+)+", spec.name)
    assert not spec.name.endswith("Event")


@each_event
def test_an_events_type_subject_and_urn_follow_their_formats(spec: EventSpec) -> None:
    assert re.fullmatch(r"[a-z]+", spec.context)
    assert spec.event_type == f"cn.pingyi.{spec.context}.{spec.fact}.v{spec.major}"
    assert spec.dataschema == f"urn:pingyi:schema:{contract_name(spec)}"
    key = None if spec.key is None else "one"
    assert Subject.parse(spec.subject_for("3607", "360702", "one")) == Subject(
        spec.context, spec.major, spec.topic or spec.fact, "3607", "360702", key
    )


@each_event
def test_every_field_says_what_it_means(spec: EventSpec) -> None:
    unclear = [
        name
        for schema in (committed_schema(spec), committed_schema(spec, ".envelope"))
        for name, field in fields(schema)
        if len(field.get("description", "")) < 4
    ]
    assert unclear == []
    assert len(committed_schema(spec).get("description", "")) > 20


def test_types_names_and_classes_are_registered_once() -> None:
    for values in (
        [spec.event_type for spec in EVENTS],
        [spec.data for spec in EVENTS],
        [spec.name for spec in EVENTS],
    ):
        assert len(values) == len(set(values))


@each_consumer
def test_a_durable_reads_a_declared_stream_for_a_known_service(consumer: ConsumerSpec) -> None:
    assert consumer.stream in {stream.name for stream in STREAMS}
    assert consumer.service in services()
    assert consumer.durable.startswith(f"{consumer.service}-")


@each_consumer
def test_a_durables_filters_match_registered_events_that_name_the_service(consumer: ConsumerSpec) -> None:
    for subject in consumer.filters:
        matched = [spec for spec in EVENTS if subject_covers(subject, spec.pattern)]
        assert matched, f"{subject} matches no event"
        for spec in matched:
            assert spec.stream == consumer.stream
            assert consumer.service in spec.consumers


@pytest.mark.parametrize(
    ("service", "streams"),
    [
        ("archive", ()),
        ("intake", ("AUDIT", "FEEDBACK", "REGISTRY")),
        ("notify", ("ALERTS", "FEEDBACK", "RANKING", "REGISTRY")),
        ("rectify", ("CASES", "RANKING", "REGISTRY")),
        ("scoring", ("CASES", "FEEDBACK", "REGISTRY")),
    ],
)
def test_what_a_service_reads_without_a_durable_it_folds(service: str, streams: tuple[str, ...]) -> None:
    assert folded_streams(service) == streams


@each_stream
def test_an_archived_stream_has_the_archives_durable_over_all_of_it(stream: StreamSpec) -> None:
    archiving = [each for each in CONSUMERS if each.service == "archive" and each.stream == stream.name]
    assert [each.filters for each in archiving] == ([()] if stream.archived else [])


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("feedback.v1.>", "feedback.v1.submitted.*.*", True),
        ("feedback.v1.submitted.>", "feedback.v1.submitted.*.*", True),
        ("feedback.v1.*.3607.*", "feedback.v1.submitted.3607.360702", True),
        ("feedback.v1.*.3607.*", "feedback.v1.submitted.*.360702", False),
        ("feedback.v1.>", "feedback.v1", False),
        ("feedback.v1.*", "feedback.v1.>", False),
        ("feedback.v1", "feedback.v1.submitted", False),
        ("feedback.v1.submitted.*", "feedback.v1.submitted", False),
        (">", "a.>", True),
    ],
)
def test_subject_covering_follows_the_brokers_wildcards(wide: str, narrow: str, covered: bool) -> None:  # noqa: FBT001 - a table's column
    assert subject_covers(wide, narrow) is covered
