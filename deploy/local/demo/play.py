"""Playing planned ratings through intake's HTTP interface, as channels would: single posts and batches."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from deploy.local.errors import LocalError
from shared.kernel.errors import describe

BATCH_LINES = 100
"""With larger batches, or more at once, ratings wait for each other in the play and not on the platform."""
SINGLE_EVERY = 10
"""Of each batch's lines, one in so many goes as a single POST, as from a window's terminal."""
CONCURRENT = 2
CONCURRENT_SINGLES = 8
"""Single posts under way at once; httpx' pool searches all waiting requests, so many waiters cost CPU."""
RETRIES = 30
RETRY_S = 1.0


@dataclass(slots=True)
class Played:
    """What intake answered to a whole play.

    Attributes:
        outcomes: lines by outcome: accepted, duplicate, conflict, rejected.
        seconds: from the first request to the last answer.
        single_ms: latency of each single POST, in milliseconds.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    single_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Lines answered per second."""
        return self.outcomes.total() / self.seconds if self.seconds else 0.0


async def play(
    intake_url: str,
    lines: Sequence[bytes],
    *,
    key: str,
    on_progress: Callable[[int], None],
    single_every: int = SINGLE_EVERY,
) -> Played:
    """Send every line and wait for every answer; ``on_progress`` is told how many more lines were answered.

    ``key`` is one of all channels. Lines keep their order but for what is under way at once. A 503 is
    retried: all requests are idempotent.

    Raises:
        LocalError: intake answers with anything that a healthy intake would not.
    """
    played = Played()
    slots = asyncio.Semaphore(CONCURRENT)
    async with httpx.AsyncClient(
        base_url=intake_url, timeout=60, trust_env=False, headers={"authorization": f"Bearer {key}"}
    ) as client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for piece in _pieces(lines):
                await slots.acquire()
                group.create_task(_send_piece(client, piece, played, on_progress, slots, single_every))
        played.seconds = time.perf_counter() - started
    return played


def _pieces(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(lines), BATCH_LINES):
        yield lines[start : start + BATCH_LINES]


async def _send_piece(
    client: httpx.AsyncClient,
    piece: Sequence[bytes],
    played: Played,
    on_progress: Callable[[int], None],
    slots: asyncio.Semaphore,
    single_every: int,
) -> None:
    try:
        singles = piece[::single_every] if single_every else ()
        rest = [line for number, line in enumerate(piece) if not single_every or number % single_every]
        async with asyncio.TaskGroup() as group:
            for start in range(min(len(singles), CONCURRENT_SINGLES)):
                group.create_task(_send_singles(client, singles[start::CONCURRENT_SINGLES], played))
            if rest:
                group.create_task(_send_batch(client, rest, played))
        on_progress(len(piece))
    finally:
        slots.release()


async def _send_singles(client: httpx.AsyncClient, lines: Sequence[bytes], played: Played) -> None:
    for line in lines:
        await _send_single(client, line, played)


async def _send_single(client: httpx.AsyncClient, line: bytes, played: Played) -> None:
    started = time.perf_counter()
    answer = await _post(client, "/v1/feedback", line, "application/json")
    played.single_ms.append((time.perf_counter() - started) * 1000)
    if answer.status_code == httpx.codes.ACCEPTED:
        played.outcomes["duplicate" if answer.json().get("duplicate") else "accepted"] += 1
    elif answer.status_code == httpx.codes.CONFLICT:
        played.outcomes["conflict"] += 1
    elif answer.is_client_error:
        played.outcomes["rejected"] += 1
    else:
        raise LocalError(
            describe(f"{answer.status_code} {answer.text[:200]}", "202, 409 or 422", "see intake's log")
        )


async def _send_batch(client: httpx.AsyncClient, lines: Sequence[bytes], played: Played) -> None:
    answer = await _post(client, "/v1/feedback/batch", b"\n".join(lines), "application/x-ndjson")
    if not answer.is_success:
        raise LocalError(describe(f"{answer.status_code} {answer.text[:200]}", "200", "see intake's log"))
    played.outcomes.update(result["status"] for result in json.loads(answer.content)["results"])


async def _post(client: httpx.AsyncClient, path: str, body: bytes, content_type: str) -> httpx.Response:
    """Send until intake answers something other than "come back later": every body may be repeated."""
    trouble = ""
    for _ in range(RETRIES):
        try:
            answer = await client.post(path, content=body, headers={"content-type": content_type})
        except httpx.TransportError as error:
            trouble = repr(error)
        else:
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            trouble = answer.text[:200]
        await asyncio.sleep(RETRY_S)
    raise LocalError(describe(trouble, f"an answer within {RETRIES} attempts", "see intake's log"))
