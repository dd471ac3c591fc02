"""Bounded load through intake's real HTTP interface, from clients that never give up on a rating.

As a channel does: single posts and small batches, each rating under its own ``client_ref``, repeated after a
503 or a broken connection until intake gives a definite answer.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

import httpx

from deploy.local.demo.simulation import DayPlan, plan_day
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.units import UnitRegistry, load_units

CLIENTS = 8
BATCH_LINES = 40
SINGLES_IN_PIECE = 20
RETRY_S = 0.1
GIVE_UP_S = 90.0


@cache
def registry() -> UnitRegistry:
    """The committed registry of units."""
    return load_units()


def yesterday() -> date:
    """The last complete business day, as the simulated ones are."""
    return business_day(SystemClock().now()) - timedelta(days=1)


def simulated(ratings: int, *, days_ago: int = 1, seed: int = 7) -> DayPlan:
    """A plan of ``ratings`` ratings with repeats and bad input; different days have different references."""
    return plan_day(registry(), yesterday() - timedelta(days=days_ago - 1), ratings=ratings, seed=seed)


@dataclass
class Load:
    """What clients sent and what intake promised.

    Attributes:
        lines: what is to be sent, one JSON line each.
        promised: grade by event id, of every 202 and every accepted (or repeated) line.
        outcomes: answers by outcome.
        retries: requests that had to be repeated.
        outages: retries by kind of failure.
        answered: lines with a definite answer so far.
        limit: share of the lines that is sent until somebody raises it.
    """

    lines: Sequence[bytes]
    promised: dict[str, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    outages: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    limit: float = 1.0

    @property
    def retries(self) -> int:
        """How many requests were repeated."""
        return self.outages.total()

    @property
    def progress(self) -> float:
        """Share of the lines that have an answer."""
        return self.answered / len(self.lines)

    @property
    def bad(self) -> set[str]:
        """Event ids of accepted bad reviews."""
        return {event_id for event_id, grade in self.promised.items() if grade <= 2}

    async def run(self, intake_url: str, proofs: httpx.Auth) -> None:
        """Send all lines with `proofs` of all channels; returns when each has its answer."""
        step = BATCH_LINES + SINGLES_IN_PIECE
        pieces = [self.lines[start : start + step] for start in range(0, len(self.lines), step)]
        todo = iter(pieces)
        async with httpx.AsyncClient(base_url=intake_url, timeout=20, trust_env=False, auth=proofs) as http:

            async def client() -> None:
                for piece in todo:
                    while self.progress >= self.limit:  # noqa: ASYNC110 - progress is a number, not an event
                        await asyncio.sleep(0.01)
                    for line in piece[:SINGLES_IN_PIECE]:
                        await self._single(http, line)
                    if len(piece) > SINGLES_IN_PIECE:
                        await self._batch(http, piece[SINGLES_IN_PIECE:])

            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(client())

    async def reach(self, share: float, *, timeout_s: float = GIVE_UP_S) -> None:
        """Wait until ``share`` of the lines have an answer."""
        async with asyncio.timeout(timeout_s):
            while self.progress < share:  # noqa: ASYNC110 - progress is a number, not an event
                await asyncio.sleep(0.01)

    async def _single(self, http: httpx.AsyncClient, line: bytes) -> None:
        answer = await self._post(http, "/v1/feedback", line, "application/json")
        if answer.status_code == httpx.codes.ACCEPTED:
            receipt = answer.json()
            self._promise(receipt["event_id"], line)
            self.outcomes["duplicate" if receipt.get("duplicate") else "accepted"] += 1
        else:
            assert answer.status_code in {400, 409, 413, 422}, f"{answer.status_code} {answer.text}"
            self.outcomes["conflict" if answer.status_code == httpx.codes.CONFLICT else "rejected"] += 1
        self.answered += 1

    async def _batch(self, http: httpx.AsyncClient, lines: Sequence[bytes]) -> None:
        answer = await self._post(http, "/v1/feedback/batch", b"\n".join(lines), "application/x-ndjson")
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        results: list[dict[str, Any]] = answer.json()["results"]
        assert len(results) == len(lines)
        for line, result in zip(lines, results, strict=True):
            self.outcomes[result["status"]] += 1
            if result["status"] in {"accepted", "duplicate"}:
                self._promise(result["event_id"], line)
        self.answered += len(lines)

    async def _post(
        self, http: httpx.AsyncClient, path: str, body: bytes, content_type: str
    ) -> httpx.Response:
        deadline_s = time.monotonic() + GIVE_UP_S
        while True:
            try:
                answer = await http.post(path, content=body, headers={"content-type": content_type})
            except httpx.TransportError as error:
                self.outages[type(error).__name__] += 1
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
                assert "retry-after" in answer.headers, "a 503 says when to come back"
                self.outages["503"] += 1
            assert time.monotonic() < deadline_s, f"no answer from {path} for {GIVE_UP_S:g} s"
            await asyncio.sleep(RETRY_S)

    def _promise(self, event_id: str, line: bytes) -> None:
        grade = json.loads(line)["grade"]
        assert self.promised.setdefault(event_id, grade) == grade
