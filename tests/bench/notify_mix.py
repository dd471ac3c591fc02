"""A day's events for notify: mostly ratings, score changes that they lead to, cases, and differences."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from nats.aio.client import Client

from shared.events import (
    EVENTS,
    AlertRaised,
    Envelope,
    EventSpec,
    StreamDiverged,
    UnitScoreChanged,
    parse_envelope,
    spec_for_data,
)
from shared.events.catalogue import examples_of
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.streams import AUDIT, CASES, FEEDBACK, RANKING
from tests.integration.notify.support import bad_review, publish_many, stored

RATINGS: Final = 24_000
BAD_IN: Final = 20
"""One rating in so many is bad and becomes an alert."""
MOVES: Final = 3_000
MOVED_IN: Final = 20
"""One score change in so many is a change of band and becomes an alert."""
CASES_OPENED: Final = 300
LIFE: Final = (
    "opened", "contacted", "classified", "assigned", "planned", "progress-reported", "clock-reached",
    "answered", "confirmed", "closed",
)  # fmt: skip
"""What happens to a case."""
DIVERGED: Final = 30

SHARES: Final = (
    (FEEDBACK, "", RATINGS),
    (RANKING, "notify-ranking", MOVES),
    (CASES, "notify-cases", CASES_OPENED * len(LIFE)),
    (AUDIT, "notify-audit", DIVERGED),
)
"""Stream, notify's durable consumer of it (none where a fold reads it), and how many events it brings."""
IN_ALL: Final = sum(events for _, _, events in SHARES)
EXPECTED: Final = {
    "bad_review": RATINGS // BAD_IN,
    "band_change": MOVES // MOVED_IN,
    "stream_diverged": DIVERGED,
}
"""Alerts that must come of it, by rule; those of cases beside them."""


async def publish_mix(client: Client) -> None:
    """Store all of it."""
    await publish_many(
        client, [bad_review(number, grade=1 if number % BAD_IN == 0 else 5) for number in range(RATINGS)]
    )
    for stream, messages in ((RANKING, _moves()), (CASES, _facts()), (AUDIT, _differences())):
        commit = GroupCommit(client, stream=stream, max_queued=200_000)
        await commit.start()
        await commit.publish(list(messages))
        await commit.stop()


async def raised(client: Client) -> Counter[str]:
    """How many alerts there are, by rule."""
    return Counter(event.data.rule for event in await stored(client, AlertRaised))


def _moves() -> Iterator[Outgoing]:
    spec = spec_for_data(UnitScoreChanged)
    event = _example(spec)
    for number in range(MOVES):
        places = {"window_days": 30, "rank": 10, "previous_rank": 11, "day_start_rank": 11}
        band = "below" if number % MOVED_IN == 0 else "excellent"
        data = event.data.model_copy(update=places | {"band": band, "previous_band": "excellent"})
        yield _outgoing(spec, event.model_copy(update={"data": data}), f"move-{number}")


def _facts() -> Iterator[Outgoing]:
    specs = {spec.fact: spec for spec in EVENTS if spec.context == "cases"}
    events = [(specs[fact], _example(specs[fact])) for fact in LIFE]
    for number in range(CASES_OPENED):
        case_id = derived_id("bench-case", str(number))
        for spec, event in events:
            data = event.data.model_copy(update={"case_id": case_id})
            yield _outgoing(spec, event.model_copy(update={"data": data}), case_id + spec.fact, case_id)


def _differences() -> Iterator[Outgoing]:
    spec = spec_for_data(StreamDiverged)
    return (_outgoing(spec, _example(spec), f"difference-{number}") for number in range(DIVERGED))


def _example(spec: EventSpec) -> Envelope[Any]:
    return parse_envelope(spec.envelope, json.dumps(examples_of(spec)["full"]).encode())


def _outgoing(spec: EventSpec, event: Envelope[Any], name: str, *more: str) -> Outgoing:
    event_id, now = derived_id("bench-event", name), datetime.now(UTC)
    dated = event.model_copy(update={"id": event_id, "time": now, "receivedat": now, "synthetic": False})
    return Outgoing(spec.subject_for("3601", "360102", *more), event_id, dated.to_json())
