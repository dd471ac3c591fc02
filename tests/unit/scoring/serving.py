"""Scoring's HTTP side without a broker: over a fold of four months of ratings."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final

import httpx
from fastapi import FastAPI

from services.scoring.application.boards import Boards
from services.scoring.application.fold import Fold, Message
from services.scoring.application.handlers import ReadRankings, not_caught_up
from services.scoring.application.looking_back import LookBack
from services.scoring.application.past import Past
from services.scoring.application.published import PublishedBooks, PublishedList, StoredRankings
from services.scoring.entrypoints.http import make_router
from services.scoring.entrypoints.rankings import SeesAll, nobody
from shared.kernel.grades import Level, Verification
from shared.kernel.units import load_units
from shared.observability.problem import install_handlers
from shared.rules import load_pack
from tests.support.access import guard
from tests.unit.scoring.fakes import SettableClock
from tests.unit.scoring.feedback import NOW, feedback, messages, none_is_invalid

UNITS: Final = load_units()
WINDOWS: Final = UNITS.by_level(Level.WINDOW)
RULES: Final = load_pack(None, NOW.date())
TODAY: Final = NOW.date()
MADE: Final = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
HISTORY: Final = 130
"""Days with ratings."""

TakePast = Callable[[], Awaitable[Past]]


@cache
def months() -> tuple[Message, ...]:
    """9,000 ratings of 40 windows over the days of `HISTORY`; some windows get better, some worse.

    A third of them is unproven, more than may count.
    """
    random = Random(11)
    events = []
    for number in range(9000):
        place, back = random.randrange(40), random.randrange(HISTORY)
        good = 0.7 + 0.25 * (back / HISTORY if place % 2 else 1 - back / HISTORY)
        grade = random.choice((3, 4, 5)) if random.random() < good else random.choice((1, 2))
        occurred_at = NOW - timedelta(days=back, minutes=random.randrange(600))
        kind = Verification.TRANSACTION if number % 3 else Verification.REAL_NAME
        events.append(
            feedback(WINDOWS[place], number=number, grade=grade, occurred_at=occurred_at, verification=kind)
        )
    return tuple(messages(events))


@cache
def fold() -> Fold:
    """All of them, folded today; not to be changed."""
    made = Fold(UNITS, RULES, TODAY)
    made.take(months(), none_is_invalid)
    return made


@cache
def stored() -> StoredRankings:
    """What the fold gives, as it is published; its books are a hundred messages further on."""
    lists = {key: PublishedList.of(found, 8900, MADE) for key, found in fold().lists().items()}
    return StoredRankings(lists, PublishedBooks(fold().books(), 9000, "now"), {})


async def take_past() -> Past:
    return fold().past()


def look_back(take: TakePast = take_past, monotonic: Callable[[], float] = lambda: 0.0) -> LookBack:
    return LookBack(UNITS, take, SettableClock(NOW), monotonic)


def app(
    found: Callable[[], StoredRankings | None] = stored,
    progress: str | None = None,
    take: TakePast | None = None,
    boards: Boards | None = None,
    sees_all: SeesAll = nobody,
) -> FastAPI:
    """The service's routes over what is published."""
    read = ReadRankings(UNITS, found, lambda: progress)

    async def take_if_ready() -> Past:
        if progress is not None:
            raise not_caught_up(progress)
        return await take_past()

    made = FastAPI()
    install_handlers(made)
    past = look_back(take or take_if_ready)
    made.include_router(make_router(read, past, boards or Boards(read.rankings, 10), sees_all))
    return guard(made)


async def get(
    path: str,
    made: FastAPI | None = None,
    *,
    headers: dict[str, str] | None = None,
    **params: Any,  # noqa: ANN401 - query
) -> httpx.Response:
    transport = httpx.ASGITransport(made if made is not None else app())
    async with httpx.AsyncClient(transport=transport, base_url="http://scoring") as client:
        return await client.get(path, params=params or None, headers=headers)
