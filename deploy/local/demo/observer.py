"""Measuring from outside, as a subscriber: when does an accepted rating show in the published ranking?"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import time
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.feedback import read_feedback
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK

WATCHED_LIST = "county.all.30"
SUBMITTED = "feedback.v1.submitted."


@dataclass(frozen=True, slots=True)
class AcceptedRating:
    """One rating in the stream: its sequence, its event id and when intake received it (Unix seconds)."""

    sequence: int
    event_id: str
    received_at: float
    occurred_at: datetime


@dataclass(slots=True)
class RankingObserver:
    """Subscribes to revisions of one list and notes when which position became visible."""

    client: Client
    positions: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    async def start(self) -> Self:
        """Begin to listen."""
        await self.client.subscribe("ranking.v1.revised.all.all", cb=self._on_revision)
        return self

    async def _on_revision(self, message: Msg) -> None:
        arrived = time()
        data = json.loads(message.data)["data"]
        position = data["positions"].get(FEEDBACK, 0)
        if data["list"] == WATCHED_LIST and (not self.positions or position > self.positions[-1]):
            self.positions.append(position)
            self.arrivals.append(arrived)

    def latencies_s(self, ratings: Sequence[AcceptedRating]) -> list[float]:
        """For each rating seconds from 'intake received it' to 'the list that includes it was published'."""
        latencies = []
        for rating in ratings:
            place = bisect_left(self.positions, rating.sequence)
            if place < len(self.positions):
                latencies.append(self.arrivals[place] - rating.received_at)
        return sorted(latencies)


async def read_accepted(client: Client) -> list[AcceptedRating]:
    """Every rating in the stream now; see `accepted_ratings`."""
    return accepted_ratings(await read_feedback(client))


def accepted_ratings(messages: Sequence[StoredMessage]) -> list[AcceptedRating]:
    """The ratings among the messages, each event id once, in order; synthetic ones left out."""
    seen: dict[str, AcceptedRating] = {}
    for message in messages:
        if not message.subject.startswith(SUBMITTED):
            continue  # what became of a rating, not another one
        try:
            event = json.loads(message.data)
            rating = AcceptedRating(
                message.sequence,
                event["id"],
                datetime.fromisoformat(event["receivedat"]).timestamp(),
                datetime.fromisoformat(event["time"]),
            )
        except (ValueError, KeyError, TypeError):
            continue  # a poison message; archived as unparseable, not a rating
        if not event.get("synthetic"):
            seen.setdefault(rating.event_id, rating)
    return list(seen.values())


def percentile(ordered: Sequence[float], share: float) -> float:
    """The ``share`` (0–1) percentile of ascending values, nearest rank; NaN of none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
