"""What scoring's tests on a real broker check: everything published, against the stream alone."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from nats.aio.client import Client

from services.scoring.adapters.nats_ranking_store import read_all_lists
from services.scoring.application.fold import Fold
from services.scoring.application.recompute import diff_lists, recompute_like
from shared.events import Envelope, RankingRevised, parse_envelope
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import CASES, FEEDBACK, RANKING
from shared.rules import load_pack
from tests.integration.scoring.conftest import publish
from tests.unit.scoring.feedback import none_is_invalid

UNITS: Final = load_units()
LISTS: Final = 16
"""Of each span: twelve kinds of window, all windows, counties, cities, the province."""


def now() -> datetime:
    """The service runs on the machine's clock, so its ratings must be recent."""
    return SystemClock().now()


async def read_stream(client: Client, stream: str) -> list[StoredMessage]:
    """Everything that the stream holds."""
    reader = FoldReader(client, stream)
    found: list[StoredMessage] = []
    while True:
        found += await reader.take(1000, wait_s=0.2)
        if reader.caught_up:
            await reader.close()
            return found


async def assert_live_equals_recomputed(client: Client) -> None:
    """Compare every published list with one computed from the stream alone, byte for byte."""
    live = await read_all_lists(client)
    ratings, cases = [await read_stream(client, stream) for stream in (FEEDBACK, CASES)]
    recomputed = recompute_like(ratings, UNITS, partial(load_pack, None), live, cases)
    assert diff_lists(live, recomputed) == []
    spans = {key.rsplit(".", 1)[1] for key in live}
    assert spans >= {"7", "30", "90", "365", str(business_day(now()).year)}
    assert len(live) == LISTS * len(spans)


async def read_revisions(client: Client) -> list[RankingRevised]:
    """What was said about lists, in the order of the stream."""
    return [
        parse_envelope(Envelope[RankingRevised], message.data).data
        for message in await read_stream(client, RANKING)
        if ".revised." in message.subject
    ]


async def assert_every_revision_was_right(client: Client) -> None:
    """Each list ever announced is what the stream gives at its position, and the last is what stands."""
    at: defaultdict[int, list[RankingRevised]] = defaultdict(list)
    revisions = await read_revisions(client)
    for revision in revisions:
        at[revision.positions[FEEDBACK]].append(revision)
    today = business_day(now())
    fold = Fold(UNITS, load_pack(None, today), today)
    for message in await read_stream(client, FEEDBACK):
        fold.take((message,), none_is_invalid)
        if message.sequence in at:
            lists = fold.lists()
            for revision in at.pop(message.sequence):
                assert lists[revision.list].hash == revision.list_hash, (message.sequence, revision.list)
    assert not at, "announced at positions that the stream does not have"
    live = await read_all_lists(client)
    last = {revision.list: revision.list_hash for revision in revisions}
    assert {key: live[key].hash for key in last} == last


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_s: float = 40.0) -> None:
    """Wait until ``holds`` does."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)


async def trickle(
    client: Client,
    events: Sequence[Outgoing],
    *,
    pause_s: float = 0.2,
    enough: asyncio.Event | None = None,
) -> int:
    """Publish over some seconds, so that publications go on meanwhile; the last sequence.

    Once it is ``enough``, the rest comes without pauses.
    """
    last = 0
    for start in range(0, len(events), 60):
        last = await publish(client, events[start : start + 60])
        if enough is None or not enough.is_set():
            await asyncio.sleep(pause_s)
    return last
