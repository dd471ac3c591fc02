"""Durables that hand out again soon what nobody acknowledged: tests that kill its reader wait for that.

In production it takes half a minute, which is no part of what any test checks.
"""

from dataclasses import replace
from typing import Final

from nats.aio.client import Client

from shared.messaging.provisioner import provision
from shared.messaging.streams import CONSUMERS

SOONER: Final = 4
HASTY: Final = tuple(replace(each, ack_wait_s=-(-each.ack_wait_s // SOONER)) for each in CONSUMERS)
"""Eight seconds: still longer than notify lets an alert wait for its turn, and tries it."""


async def redeliver_sooner(client: Client) -> None:
    """Make it so on a provisioned broker, as a user who may provision."""
    await provision(client, streams=(), consumers=HASTY)
