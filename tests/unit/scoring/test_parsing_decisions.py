"""Decisions about ratings, clusters and dimensions: the parser against the models of the contract."""

import json
from typing import Any, get_args

import pytest

from services.scoring.application import parsing
from services.scoring.application.parsing import OFF_SITE, STATES, RatingParser
from services.scoring.domain.ratings import PUBLIC, SOURCES, Place, State
from shared.events import EventData, InvalidEventError
from shared.events.registry import EVENTS
from shared.kernel.grades import Channel, Level, Source, Verification
from shared.kernel.units import load_units
from shared.rules import load_pack
from shared.testing import builders
from tests.unit.scoring.feedback import NOW

UNITS = load_units()
WINDOW = UNITS.by_level(Level.WINDOW)[7]
PARSER = RatingParser({WINDOW.unit_id: 42}, load_pack(None, NOW.date()))
COUNTED = {"unit_id": WINDOW.unit_id, "occurred_at": NOW, "received_at": NOW, "grade": 2, "source": "public"}


def counted(**fields: object) -> dict[str, Any]:
    return {**COUNTED, "channel": "web", "verification": "anonymous", **fields}


def body(data: EventData, **envelope: Any) -> bytes:  # noqa: ANN401 - whatever the builder takes
    return builders.envelope_of(data, **envelope).to_json()


def test_the_parser_knows_every_channel_source_and_verification_of_the_contract() -> None:
    assert set(get_args(parsing.ChannelName)) == {str(each) for each in Channel}
    assert set(get_args(parsing.SourceName)) == {str(each) for each in Source}
    assert set(get_args(parsing.VerificationName)) == {str(each) for each in Verification}


def test_every_fact_about_a_submitted_rating_has_a_state() -> None:
    facts = {spec.fact for spec in EVENTS if "target_revision" in spec.data.model_fields}
    assert set(STATES) == facts


@pytest.mark.parametrize(
    ("build", "state"),
    [
        (builders.feedback_withdrawn, State.EXCLUDED),
        (builders.feedback_excluded, State.EXCLUDED),
        (builders.feedback_quarantined, State.HELD),
        (builders.feedback_released, State.COUNTED),
        (builders.feedback_reinstated, State.COUNTED),
    ],
)
def test_a_decision_of_the_contract_is_read(build: Any, state: State) -> None:  # noqa: ANN401 - a builder
    target_id = "0198c9d8-1111-7222-8333-444455556666"
    data = build(target_id=target_id, target_revision=3, target=counted())
    revision = PARSER.parse_decision(body(data))
    assert (revision.number, revision.state) == (3, state)
    assert revision.submitted == revision.standing
    assert revision.submitted.event_id.hex() == target_id.replace("-", "")
    assert (revision.submitted.unit, revision.submitted.grade) == (42, 2)
    assert revision.submitted.occurred_ms == int(NOW.timestamp()) * 1000


def test_a_correction_says_what_was_submitted_and_what_stands() -> None:
    data = builders.feedback_corrected(
        target_id="0198c9d8-1111-7222-8333-444455556666",
        target_revision=2,
        target=counted(grade=3),
        submitted=counted(grade=1),
        corrected=counted(grade=5, dimensions={"quality": 4}),
    )
    revision = PARSER.parse_decision(body(data))
    assert (revision.submitted.grade, revision.standing.grade) == (1, 5)
    assert revision.standing.dimensions == bytes((0, 0, 4, 0, 0))
    assert revision.state is State.COUNTED


def test_the_fingerprints_of_a_rating_are_its_device_address_and_text() -> None:
    marks = {name: builders.hmac_of(name) for name in ("device_hmac", "address_hmac", "text_hmac")}
    data = builders.feedback_submitted(unit_id=WINDOW.unit_id, verification="anonymous", **marks)
    prints = PARSER.parse(body(data)).fingerprints
    assert prints == tuple(bytes.fromhex(mark[-16:]) for mark in marks.values())


def test_a_fingerprint_that_comes_twice_is_one() -> None:
    mark = builders.hmac_of("both")
    data = builders.feedback_submitted(
        unit_id=WINDOW.unit_id, verification="onsite", device_hmac=mark, address_hmac=mark
    )
    assert len(PARSER.parse(body(data)).fingerprints) == 1


def test_a_verified_transaction_is_in_no_cluster() -> None:
    data = builders.feedback_submitted(
        unit_id=WINDOW.unit_id, verification="transaction", device_hmac=builders.hmac_of("terminal")
    )
    assert PARSER.parse(body(data)).fingerprints == ()


@pytest.mark.parametrize("channel", list(Channel))
def test_where_a_rating_was_given_follows_from_its_channel(channel: Channel) -> None:
    place = PARSER.parse(body(builders.feedback_submitted(unit_id=WINDOW.unit_id, channel=channel))).place
    expected = (
        Place.TERMINAL
        if channel is Channel.TERMINAL
        else Place.OFF_SITE
        if channel in OFF_SITE
        else Place.WINDOW
    )
    assert place == expected


def test_sources_and_dimensions_are_read() -> None:
    data = builders.feedback_submitted(
        unit_id=WINDOW.unit_id, source="social", dimensions={"service": 5, "image": 1}
    )
    rating = PARSER.parse(body(data))
    assert SOURCES[rating.source] is Source.SOCIAL
    assert rating.dimensions == bytes((5, 0, 0, 0, 1))
    plain = PARSER.parse(body(builders.feedback_submitted(unit_id=WINDOW.unit_id)))
    assert (plain.source, plain.dimensions) == (PUBLIC, None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event["data"]["target"].update(grade=6),
        lambda event: event["data"]["target"].update(unit_id="U999999"),
        lambda event: event["data"]["target"].update(channel="pigeon"),
        lambda event: event["data"].update(target_revision=0),
        lambda event: event["data"].update(target_id="no uuid"),
        lambda event: event["data"].pop("target"),
        lambda event: event.update(type="cn.pingyi.feedback.forgotten.v1"),
    ],
)
def test_a_decision_that_breaks_the_contract_is_refused(spoil: Any) -> None:  # noqa: ANN401 - a callable
    data = builders.feedback_excluded(target_id="0198c9d8-1111-7222-8333-444455556666", target=counted())
    event = json.loads(body(data))
    spoil(event)
    with pytest.raises(InvalidEventError):
        PARSER.parse_decision(json.dumps(event).encode())
