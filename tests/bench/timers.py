"""What timers cost: open cases with four timers each, set, found again at a start, and fired.

A part of ``make bench``, with 100,000 cases under ``--long``; ``python -m tests.bench.timers --cases 100000``
shows one round by itself. On a broker of its own, as the platform runs it (every message synced to disk).
"""

import asyncio
import resource
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import psutil
import typer

from deploy.local.embedded import NatsServer, free_ports
from services.rectify.adapters.timer_store import AT, CHUNK, JetStreamTimers
from services.rectify.application.timekeeping import TimerKeeper
from services.rectify.domain.book import CaseBook, Summary
from services.rectify.domain.case import Case, CaseClass, Origin
from services.rectify.domain.commands import Classify
from services.rectify.domain.effects import opened
from services.rectify.domain.machine import decide
from services.rectify.domain.terms import Terms
from services.rectify.metrics import RectifyMetrics
from shared.kernel.holidays import Holidays
from shared.kernel.ids import derived_id
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.provisioner import provision
from shared.messaging.streams import TIMERS
from shared.rules.rectify import Rectify
from tests.bench.figures import Figure, Section, Series
from tests.bench.stage import data_directory

SHORT, LONG = 5_000, 100_000
TIMERS_EACH = 4
DUE = 2_000
BODY_BYTES = 150
"""About what a timer's body takes."""


def summaries(number: int, now: datetime) -> list[Summary]:
    """So many open cases of class B that wait for their first report, with four timers each."""
    # The contact's clock has one mark left, the deadline's three.
    terms = Terms.of(Rectify(reminders_percent=(50, 80, 100)), "assistance", Holidays())
    found = []
    for place in range(number):
        case = opened(
            Case(
                case_id=derived_id("bench-case", str(place)),
                origin=Origin.RATING,
                ref=derived_id("bench-rating", str(place)),
                unit_id="U000532",
                kind="assistance",
                city="3607",
                county="360702",
                opened_at=now,
                has_text=True,
                has_contact=True,
            ),
            terms,
        )
        summary = Summary.of(decide(case, Classify(CaseClass.B), terms, now).case, place + 1)
        kept = [timer for timer in summary.timers if timer.clock != "contact" or timer.percent == 100]
        found.append(_with_timers(summary, tuple(kept)))
    return found


def _with_timers(summary: Summary, timers: tuple[object, ...]) -> Summary:
    return replace(summary, timers=timers)  # type: ignore[arg-type]  # timers of the summary itself


async def bare(number: int, folder: Path) -> float:
    """Messages a second: as many of the same size, on as many subjects, that nothing is to become of."""
    port, monitor = free_ports(2)
    server = NatsServer(folder / "nats", port=port, monitor_port=monitor, log=folder / "nats.log")
    server.start()
    try:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        commit = GroupCommit(client, stream=TIMERS, max_queued=CHUNK)
        await commit.start()
        body = b"x" * BODY_BYTES
        started = time.perf_counter()
        for place in range(0, number, CHUNK):
            await commit.publish(
                [
                    Outgoing(f"{AT}{each // TIMERS_EACH}.bare-{each % TIMERS_EACH}", uuid4().hex, body)
                    for each in range(place, min(place + CHUNK, number))
                ]
            )
        elapsed = time.perf_counter() - started
        await commit.stop()
        await client.close()
        return number / elapsed
    finally:
        server.stop()


async def run(number: int, folder: Path) -> dict[str, float]:
    """Set the timers of ``number`` cases, find them again, fire some; seconds, rates and bytes."""
    port, monitor = free_ports(2)
    server = NatsServer(folder / "nats", port=port, monitor_port=monitor, log=folder / "nats.log")
    server.start()
    try:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        timers = JetStreamTimers(lambda: uuid4().hex)
        await timers.bind(client)
        book = CaseBook(lambda rating: rating.encode()[:10])
        now = datetime.now(UTC).replace(microsecond=0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for summary in summaries(number, now):
            book.put(summary)
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        keeper = TimerKeeper(timers, book, RectifyMetrics())
        cpu = time.process_time()
        started = time.perf_counter()
        mended = await keeper.compare()
        set_s, set_cpu_s = time.perf_counter() - started, time.process_time() - cpu
        info = await client.jetstream(timeout=30).stream_info(TIMERS)
        started = time.perf_counter()
        again = await TimerKeeper(timers, book, RectifyMetrics()).compare()
        compare_s = time.perf_counter() - started
        broker = [each for each in psutil.process_iter(["name", "cmdline"])
                  if str(folder) in " ".join(each.info["cmdline"] or [])]  # fmt: skip
        rss = broker[0].memory_info().rss if broker else 0
        soon = datetime.now(UTC) + timedelta(seconds=2)
        due = [replace(timer, at=soon) for case in list(book)[: DUE // TIMERS_EACH] for timer in case.timers]
        await timers.put(due)
        reader = timers.due()
        fired = 0
        while fired < len(due):
            fired += len(await reader.take(wait_s=1.0))
        late_s = (datetime.now(UTC) - soon).total_seconds()
        await reader.close()
        await timers.close()
        await client.close()
        return {
            "cases": number, "timers set": mended, "set, seconds": set_s, "set per second": mended / set_s,
            "set, our CPU in us each": set_cpu_s / mended * 1e6,
            "on disk, bytes each": info.state.bytes / mended,
            "book of cases, bytes each": memory_kib * 1024 / number, "compare at start, seconds": compare_s,
            "mended the second time": again, "broker's memory, MiB": rss / 2**20,
            "due at one moment": len(due), "the last of them late by, seconds": late_s,
        }  # fmt: skip
    finally:
        server.stop()


async def measure(rounds: int, *, long: bool) -> Section:
    """The figures of several rounds, each beside the bare messages."""
    cases = LONG if long else SHORT
    found: list[dict[str, float]] = []
    rates: list[float] = []
    for _ in range(rounds):
        with data_directory() as folder:
            found.append(await run(cases, folder))
        with data_directory() as folder:
            rates.append(await bare(cases * TIMERS_EACH, folder))

    def series(name: str) -> Series:
        return Series(tuple(each[name] for each in found))

    if any(each["mended the second time"] for each in found):
        raise AssertionError("timers that were just set did not stand")
    return Section(
        f"Timers of {cases:,} open cases, {TIMERS_EACH} each",
        [
            Figure(
                "timers set", "/s", series("set per second"), Series(tuple(rates)),
                "the same messages without a schedule",
            ),
            Figure("all compared with all cases, at a start", "s", series("compare at start, seconds")),
            Figure(
                f"lateness of the last of {DUE:,} that are due at one moment", "s",
                series("the last of them late by, seconds"),
            ),
            Figure("the broker's memory", "MB", series("broker's memory, MiB")),
        ],
        [],
        [f"{found[0]['on disk, bytes each']:.0f} bytes on disk for each; every one stood at the next start"],
    )  # fmt: skip


def main(cases: Annotated[int, typer.Option(help="Open cases.")] = SHORT) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(cases, Path(folder)))
    for name, value in figures.items():
        typer.echo(f"{name:36} {value:,.1f}")


if __name__ == "__main__":
    typer.run(main)
