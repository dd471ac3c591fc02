"""One round of the queries: the API over HTTP, its store, and bare Motor, each question to all three in turn.

``python -m tests.bench.query_program``, with the job as JSON on the standard input. The API is served by a
process of its own: ``python -m tests.bench.query_program PORT``, with the addresses in the environment. It
has the archive's routes without the sequencer, which would try to go on behind made-up entries.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Final

import httpx
import uvloop
from fastapi import FastAPI
from motor.motor_asyncio import AsyncIOMotorClient

from deploy.local.embedded.ports import LOOPBACK, free_ports
from services.archive.adapters import schema
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog
from services.archive.adapters.read_journal import JetStreamReadJournal
from services.archive.application.ports import EventQuery, Order
from services.archive.application.reading import Reads, first_page
from services.archive.entrypoints.http import make_router
from shared.auth.access import Access, protect
from shared.auth.settings import AccessSettings
from shared.kernel.clock import SystemClock, rfc3339
from shared.messaging.connection import BrokerSettings, make_broker
from shared.messaging.session import BrokerSession
from shared.observability import http
from shared.observability.health import Health
from shared.observability.metrics import ServiceMetrics
from shared.observability.server import run_service
from shared.testing.clock import NOON
from tests.bench.figures import percentile
from tests.bench.stage import eventually
from tests.support.access import auth_dir, proofs

EVERY: Final = timedelta(seconds=5)
"""Between the entries of :func:`tests.support.entries.synthetic_documents`."""
PERIODS: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=400))
ORDERS: Final[tuple[Order, ...]] = ("asc", "desc")

Ask = Callable[[EventQuery], Awaitable[int]]


def make_app() -> FastAPI:
    """The archive's queries, on the servers that the environment names."""
    database = MongoDatabase(os.environ["MONGODB_URL"], os.environ["MONGODB_DATABASE"])
    entry_log = MongoEntryLog(database)
    session = BrokerSession(make_broker(BrokerSettings(), "archive"))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await session.start()
        yield
        await session.stop()
        database.close()

    app = FastAPI(lifespan=lifespan)
    http.install(app, ServiceMetrics("archive"), Health())
    reads = Reads(entry_log, JetStreamReadJournal(session, SystemClock()))
    verification: Any = None  # no question of this round asks for it
    app.include_router(make_router(entry_log, reads, verification))
    protect(app, Access.of(AccessSettings()))
    return app


def _questions(job: dict[str, Any]) -> list[EventQuery]:
    chance = random.Random(job["seed"])
    span = EVERY * job["entries"]
    questions = []
    for number in range(job["queries"]):
        start: datetime = NOON + span * chance.random()
        questions.append(
            EventQuery(
                unit_id=f"U{chance.randrange(job['units']):06d}",
                start=start.replace(microsecond=0),
                end=start.replace(microsecond=0) + PERIODS[number % len(PERIODS)],
                order=ORDERS[number % 2],
            )
        )
    return questions


async def _round(job: dict[str, Any]) -> dict[str, Any]:
    (port,) = free_ports(1)
    environment = os.environ | {
        "NATS_URL": job["nats_url"],
        "MONGODB_URL": job["mongodb_url"],
        "MONGODB_DATABASE": job["database"],
        "AUTH_DIR": str(auth_dir()),
    }
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.query_program", str(port),
        env=environment, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://{LOOPBACK}:{port}"
    try:
        async with httpx.AsyncClient(base_url=address, trust_env=False, auth=proofs(address)) as api:
            return await _ask_all(job, api)
    finally:
        server.terminate()
        await server.wait()


async def _ask_all(job: dict[str, Any], api: httpx.AsyncClient) -> dict[str, Any]:
    limit: int = job["limit"]
    database = MongoDatabase(job["mongodb_url"], job["database"])
    entry_log = MongoEntryLog(database)
    motor: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(job["mongodb_url"], tz_aware=True)
    entries = motor[job["database"]][schema.ENTRIES]

    async def over_http(query: EventQuery) -> int:
        assert query.start is not None
        assert query.end is not None
        parameters = {"unit_id": query.unit_id, "from": rfc3339(query.start), "to": rfc3339(query.end)}
        answer = await api.get("/v1/events", params={**parameters, "order": query.order, "limit": limit})
        answer.raise_for_status()
        return len(answer.json()["items"])

    async def of_the_store(query: EventQuery) -> int:
        found, _, _ = await first_page(entry_log, query, limit)
        return len(found)

    async def barely(query: EventQuery) -> int:
        step = 1 if query.order == "asc" else -1
        found = entries.find(
            {"unit_id": query.unit_id, "time": {"$gte": query.start, "$lt": query.end}},
            sort=[("time", step), ("_id", step)],
            limit=limit,
            hint=schema.UNIT,
        )
        return len(await found.to_list(length=None))

    async def answers() -> bool:
        try:
            return (await api.get("/v1/events", params={"limit": 1})).is_success
        except httpx.TransportError:
            return False

    await eventually(answers)
    sides: dict[str, Ask] = {"api": over_http, "store": of_the_store, "bare": barely}
    times: dict[str, list[float]] = {name: [] for name in sides}
    rows = dict.fromkeys(sides, 0)
    for number, query in enumerate(_questions(job)):
        # Who comes first finds the pages cold; so each comes first equally often.
        names = list(sides)
        for name in names[number % 3 :] + names[: number % 3]:
            started = perf_counter()
            rows[name] += await sides[name](query)
            times[name].append((perf_counter() - started) * 1e3)
    database.close()
    motor.close()
    outcome: dict[str, Any] = {"rows": rows}
    for name, values in times.items():
        values.sort()
        outcome |= {f"{name}_p50": percentile(values, 0.5), f"{name}_p99": percentile(values, 0.99)}
    return outcome


def main() -> int:
    """Serve on the port that is given, or do the job that stands on the standard input."""
    if len(sys.argv) > 1:
        return run_service(
            make_app(), service="archive", host=LOOPBACK, port=int(sys.argv[1]), log_level="ERROR"
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(_round(json.load(sys.stdin))), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
