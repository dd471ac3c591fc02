"""Every event's example with each of its values replaced by nonsense: nobody on a platform dies of it.

SOAK_SEED draws other nonsense. The short form in CI is ``tests/e2e/test_poison.py``.
"""

import asyncio
import copy
import json
import os
import uuid
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest

from shared.events import EVENTS, BatchSequenced, CheckpointSigned, EventSpec
from shared.events.catalogue import examples_of, producers_of
from shared.events.units import RegistryLoaded
from tests.support.audit import bad_review_alert
from tests.support.faults import killed_under_load
from tests.support.load import simulated
from tests.support.platform import Platform, until
from tests.support.poison import publishing_as

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

DRAWN: Final = 5
"""Kinds of nonsense for each value, besides leaving it out."""
LEFT_OUT: Final = (BatchSequenced, CheckpointSigned)
"""What the archive goes on from: one that it can't read needs a person."""
NONSENSE: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 10**30, 1e308, "", "\0", "x" * 3000, "U999999", [], {}, [None], {"a": {"b": 1}},
    "2026-13-45T99:99:99Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2026-02-30",
)  # fmt: skip

Path = tuple[str | int, ...]


async def test_events_of_nonsense_end_nobody(own_platform: Platform) -> None:
    chance = Random(int(os.environ.get("SOAK_SEED", "7")))
    sent = 0
    for spec in EVENTS:
        if spec.data in LEFT_OUT:
            continue
        async with publishing_as(own_platform, producers_of(spec)[0]) as publish:
            subject = spec.pattern.replace("*", "3607")
            bodies = [json.dumps(each).encode() for each in hostile(spec, chance)]
            for first in range(0, len(bodies), 32):
                part = bodies[first : first + 32]
                await asyncio.gather(*(publish(subject, body) for body in part))
            sent += len(bodies)
    load = await killed_under_load(own_platform, [], simulated(150, days_ago=1).lines)
    assert len(load.promised) == 150
    # What nobody foresaw is tried again for minutes before it becomes a dead letter; the rest does not wait.
    bad = {bad_review_alert(event_id) for event_id, grade in load.promised.items() if grade <= 2}
    until(lambda: bad <= set(own_platform.webhooks.inbox.ids), timeout_s=60, what="each bad review's alert")
    own_platform.await_ready()
    restarts = {name: child.restarts for name, child in own_platform.record().children.items()}
    # Scoring begins anew with a registry that was loaded; an example of it may have come through whole.
    assert restarts.pop("scoring") <= sum(spec.data is RegistryLoaded for spec in EVENTS)
    assert not any(restarts.values()), restarts
    until(
        lambda: own_platform.get("scoring", "/v1/rankings", level="window")["items"],
        timeout_s=60,
        what="the ranking goes on",
    )
    print(f"{sent:,} events of nonsense")  # noqa: T201 - a soak tells what it did


def hostile(spec: EventSpec, chance: Random) -> Iterator[dict[str, Any]]:
    """The full example of an event, wrong in one place each time; most with an id of their own."""
    example = next(iter(examples_of(spec).values()))
    for path in places(example):
        for value in chance.sample(NONSENSE, DRAWN):
            yield renamed(changed(example, path, value), chance)
        yield renamed(without(example, path), chance)


def places(value: Any, at: Path = ()) -> Iterator[Path]:  # noqa: ANN401 - any JSON
    """The way to each value in a document; of a list the first two."""
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, each in inside:
        yield (*at, key)
        yield from places(each, (*at, key))


def changed(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A copy with another value in one place."""
    copied, holder = _holder(document, path)
    holder[path[-1]] = value
    return copied


def without(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy without the value in one place."""
    copied, holder = _holder(document, path)
    del holder[path[-1]]
    return copied


def renamed(document: dict[str, Any], chance: Random) -> dict[str, Any]:
    """The document, most times under a fresh id."""
    if isinstance(document.get("id"), str) and chance.random() < 0.7:
        document["id"] = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    return document


def _holder(document: dict[str, Any], path: Path) -> tuple[dict[str, Any], Any]:
    copied = copy.deepcopy(document)
    holder: Any = copied
    for key in path[:-1]:
        holder = holder[key]
    return copied, holder
