"""Waiting until what was accepted is ranked and archived, and checking that the books balance."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from deploy.local.api import call
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from shared.kernel.errors import describe
from shared.messaging.positions import read_position
from shared.messaging.streams import ARCHIVED, CASES, CONSUMERS, FEEDBACK, NOTIFY_RATINGS

SETTLE_TIMEOUT_S = 120.0
POLL_S = 0.25
QUIET_POLLS = 4
"""After a play: scoring publishes once a second, so that without any lag something may still be to come."""


@dataclass(frozen=True, slots=True)
class Books:
    """The books of the platform, each figure from the service that is responsible for it.

    accepted = counted + replaced + held + excluded + late = archived.
    """

    accepted: int
    counted: int
    replaced: int
    held: int
    excluded: int
    late: int
    archived: int

    @property
    def balanced(self) -> bool:
        """Whether both equations hold."""
        accounted = self.counted + self.replaced + self.held + self.excluded + self.late
        return self.accepted == accounted == self.archived


async def settled(layout: Layout, client: Client, *, quiet_polls: int = QUIET_POLLS) -> None:
    """Return when scoring has folded, notify handled and the archive stored all that the streams hold.

    And when it has been so, without anything new, at ``quiet_polls`` more looks, a quarter of a second apart.

    Raises:
        LocalError: nothing moves for two minutes; the message says who lags and by how much.
    """
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    quiet = 0
    before: tuple[dict[str, int], dict[str, int]] = ({}, {})
    while quiet < quiet_polls:
        last = await _last_sequences(client)
        lags = await asyncio.to_thread(_lags, layout, last) | await _undelivered(client)
        lags |= await _unjudged(client, last[FEEDBACK])
        if (last, lags) != before:
            before = (last, lags)
            quiet = 0
            deadline = time.monotonic() + SETTLE_TIMEOUT_S
        elif not lags:
            quiet += 1
        if time.monotonic() > deadline:
            raise LocalError(describe(str(lags), f"progress within {SETTLE_TIMEOUT_S} s", "see the logs"))
        await asyncio.sleep(POLL_S)


def read_books(layout: Layout, accepted: int, report: dict[str, Any]) -> Books:
    """Put the books together: ``accepted`` from the stream, ``archived`` from the archive's report."""
    scored = call("GET", f"{layout.service_url('scoring')}/v1/books")
    return Books(
        accepted=accepted,
        counted=scored["counted"],
        replaced=scored["replaced"],
        held=scored["held"],
        excluded=scored["excluded"],
        late=scored["late"],
        archived=report["books"]["archived"],
    )


async def _undelivered(client: Client) -> dict[str, int]:
    """Messages that notify's consumers still have to handle; one that nobody reads is switched off."""
    jetstream = client.jetstream(timeout=10)
    lags: dict[str, int] = {}
    for consumer in CONSUMERS:
        if consumer.service == "notify":
            info = await jetstream.consumer_info(consumer.stream, consumer.durable)
            left = (info.num_pending or 0) + (info.num_ack_pending or 0)
            somebody_reads = info.num_waiting or info.num_ack_pending
            if left and somebody_reads:
                lags[consumer.durable] = left
    return lags


async def _unjudged(client: Client, last: int) -> dict[str, int]:
    """Messages of FEEDBACK behind notify's position; without one it has never run."""
    position, _ = await read_position(client, NOTIFY_RATINGS)
    lag = 0 if position is None else last - position.sequence
    return {NOTIFY_RATINGS: lag} if lag > 0 else {}


async def _last_sequences(client: Client) -> dict[str, int]:
    jetstream = client.jetstream(timeout=10)
    return {name: (await jetstream.stream_info(name)).state.last_seq for name in ARCHIVED}


def _lags(layout: Layout, last: dict[str, int]) -> dict[str, int]:
    head = call("GET", f"{layout.service_url('archive')}/v1/head")
    ranking = call(
        "GET", f"{layout.service_url('scoring')}/v1/rankings", params={"level": "county", "limit": 1}
    )
    positions = head["streams"]
    lags = {f"archive {name}": end - positions.get(name, 0) for name, end in last.items()}
    lags["scoring"] = last[FEEDBACK] - ranking["positions"].get(FEEDBACK, 0)
    lags["scoring of cases"] = last[CASES] - ranking["positions"].get(CASES, 0)
    return {name: lag for name, lag in lags.items() if lag > 0}
