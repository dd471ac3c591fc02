"""Fills FEEDBACK with events as intake publishes them, without going through intake."""

import json
import random
from uuid import UUID

from nats.aio.client import Client

from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.messaging.group_commit import MAX_BATCH, GroupCommit, Outgoing
from shared.messaging.streams import FEEDBACK
from shared.testing.builders import envelope_of, feedback_submitted


def ratings(messages: int) -> list[Outgoing]:
    """``messages`` different ratings of all windows, the same ones in every run."""
    chance = random.Random(1)
    windows = load_units().by_level(Level.WINDOW)
    template = json.loads(envelope_of(feedback_submitted()).to_json())
    outgoing: list[Outgoing] = []
    for _ in range(messages):
        unit = chance.choice(windows)
        event_id = str(UUID(int=chance.getrandbits(128), version=4))
        template["id"] = template["correlationid"] = event_id
        template["subject"] = unit.unit_id
        template["data"] |= {
            "unit_id": unit.unit_id,
            "kind": unit.kind,
            "city": unit.city,
            "county": unit.county,
            "grade": chance.randint(1, 5),
            "transaction_hmac": f"k1.{chance.getrandbits(128):032x}",
            "digest": f"k1.{chance.getrandbits(128):032x}",
        }
        payload = json.dumps(template, ensure_ascii=False, separators=(",", ":")).encode()
        outgoing.append(Outgoing(f"feedback.v1.submitted.{unit.city}.{unit.county}", event_id, payload))
    return outgoing


async def fill_feedback(client: Client, messages: int) -> None:
    """Publish :func:`ratings`."""
    outgoing = ratings(messages)
    commit = GroupCommit(client, stream=FEEDBACK)
    await commit.start()
    for start in range(0, messages, MAX_BATCH):
        await commit.publish(outgoing[start : start + MAX_BATCH])
    await commit.stop()
