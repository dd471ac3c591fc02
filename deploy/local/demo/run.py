"""The demonstration from start to end, on a running platform."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import time
from typing import Any

from nats.aio.client import Client
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.api import VERIFY_ATTEMPTS, call, use
from deploy.local.broker import cli_connection
from deploy.local.demo.moves import moves_since_noon
from deploy.local.demo.observer import AcceptedRating, RankingObserver, accepted_ratings, percentile
from deploy.local.demo.play import Played, play
from deploy.local.demo.real import Comparison, compare, independent_ranking
from deploy.local.demo.receiver import Inbox
from deploy.local.demo.script import Script
from deploy.local.demo.settle import QUIET_POLLS, Books, read_books, settled
from deploy.local.demo.signing import Delays, delays_since, read_delays
from deploy.local.demo.tour import (
    Move,
    Speed,
    Told,
    count_by_rule,
    show_addresses,
    show_alerts,
    show_books,
    show_comparison,
    show_memory,
    show_play,
    show_rankings,
    show_signing,
    show_speed,
    show_told,
)
from deploy.local.feedback import read_feedback
from deploy.local.layout import Layout
from deploy.local.platform_file import read_running
from deploy.local.resident import resident_bytes
from deploy.local.wallet import Wallet
from shared.kernel.clock import business_day
from shared.kernel.units import load_units
from shared.messaging.streams import FEEDBACK
from shared.rules import load_pack

VERIFY_TIMEOUT_S = 600.0
ALERTS_PAGE = 200
WHOLE_LIST = 2000
"""Rows of one page: a list that is revised between two pages has to be read again from the start."""
WINDOW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demonstration found.

    Attributes:
        played: intake's answers; None when the data was there already.
        ratings: every rating in the stream.
        report: the archive's verification.
        told: how long alerts of this run took; None if there were none.
        signed: how long entries waited for their signed checkpoint in this run.
        moves: changes of the counties' ranks since noon of the day played, the largest first.
        comparison: with the independent computation, where the script has grades.
    """

    played: Played | None
    ratings: Sequence[AcceptedRating]
    books: Books
    report: dict[str, Any]
    speed: Speed
    told: Told | None
    signed: Delays
    moves: Sequence[Move]
    comparison: Comparison | None

    @property
    def ok(self) -> bool:
        """Whether the books balance, the audit trail is whole and no independent computation disagrees."""
        agreed = self.comparison is None or not self.comparison.differences
        return self.books.balanced and bool(self.report["ok"]) and agreed


async def run(layout: Layout, script: Script, inbox: Inbox | None, console: Console) -> Outcome:
    """Play the script unless its data is there, wait until all is settled, and show the tour.

    ``inbox`` is what the webhook's receiver gets; None: alerts don't go there.
    """
    use(Wallet.of(layout))
    async with cli_connection(layout) as client:
        observer = await RankingObserver(client).start()
        started, before = time(), await asyncio.to_thread(read_delays, layout)
        played = await _play_once(layout, script, client, console)
        with console.status("等待排名与存证跟上 …"):
            await settled(layout, client, quiet_polls=QUIET_POLLS if played else 1)
        today = business_day(datetime.now(UTC))
        with console.status("逐条核对存证 …"):
            # The archive verifies in its own process: meanwhile the stream is looked through in this one.
            report, (ratings, moves), signed = await asyncio.gather(
                asyncio.to_thread(
                    call,
                    "GET",
                    f"{layout.service_url('archive')}/v1/verify",
                    timeout_s=VERIFY_TIMEOUT_S,
                    attempts=VERIFY_ATTEMPTS,
                ),
                _look_through(client, script.day, today),
                asyncio.to_thread(delays_since, layout, before),
            )
        books = await asyncio.to_thread(read_books, layout, len(ratings), report)
        comparison = (
            None
            if script.grades is None
            else await asyncio.to_thread(_compare, layout, script.grades(), today)
        )
        latencies = observer.latencies_s([rating for rating in ratings if rating.received_at >= started])
    speed = Speed(
        percentile(latencies, 0.5) if latencies else None,
        percentile(latencies, 0.99) if latencies else None,
        len(latencies),
    )
    alerts = await asyncio.to_thread(_pages, f"{layout.service_url('notify')}/v1/alerts", {}, ALERTS_PAGE)
    told = told_of(alerts, inbox, started)
    outcome = Outcome(played, ratings, books, report, speed, told, signed, moves, comparison)
    await asyncio.to_thread(_show, layout, outcome, alerts, inbox, console)
    return outcome


async def _look_through(client: Client, day: date, today: date) -> tuple[list[AcceptedRating], list[Move]]:
    """What the stream says: every rating in it, and how the ranks moved since noon of ``day``."""
    messages = await read_feedback(client)
    ratings = await asyncio.to_thread(accepted_ratings, messages)
    return ratings, await asyncio.to_thread(moves_since_noon, messages, day, today)


async def _play_once(layout: Layout, script: Script, client: Client, console: Console) -> Played | None:
    """Play unless this very script was played to this very stream."""
    marker = layout.data / "demo" / f"{script.name}.json"
    stream = await client.jetstream(timeout=10).stream_info(FEEDBACK)
    made = str(stream.created)
    if await asyncio.to_thread(was_played, marker, made, stream.state.messages):
        console.print(f"{script.day} 的数据已在库中，不再重复提交。")
        return None
    lines = await asyncio.to_thread(script.lines)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(f"提交 {script.day} 全省评价", total=len(lines))
        played = await play(
            layout.service_url("intake"),
            lines,
            key=Wallet.of(layout).key() or "",
            on_progress=lambda count: progress.advance(task, count),
        )
    await asyncio.to_thread(_remember, marker, made, played)
    show_play(console, played)
    return played


def was_played(marker: Path, stream_made: str, messages: int) -> bool:
    """Whether the record is of this stream, and the stream holds as many messages as were accepted then."""
    if not marker.exists():
        return False
    record = json.loads(marker.read_text(encoding="utf-8"))
    return bool(record["stream_made"] == stream_made and record["outcomes"].get("accepted", 0) <= messages)


def _remember(marker: Path, stream_made: str, played: Played) -> None:
    marker.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "stream_made": stream_made,
        "outcomes": dict(played.outcomes),
        "seconds": round(played.seconds, 2),
    }
    marker.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


def _compare(layout: Layout, grades: Mapping[str, Sequence[int]], today: date) -> Comparison:
    shown = read_rows(layout, level="window", window=WINDOW_DAYS)
    computed = independent_ranking(grades, load_units(), load_pack(None, today))
    return compare(shown, computed)


def told_of(alerts: Sequence[Mapping[str, Any]], inbox: Inbox | None, since: float) -> Told | None:
    """How long alerts about events received from `since` (Unix seconds) on took; None: there were none."""
    waits = []
    for alert in alerts:
        known_at = datetime.fromisoformat(alert["known_at"])
        ends = [datetime.fromisoformat(each["at"]) for each in alert["deliveries"]]
        if ends and known_at.timestamp() >= since:
            waits.append((min(ends) - known_at).total_seconds())
    if not waits:
        return None
    waits.sort()
    arrived = inbox.waits_s(since) if inbox else []
    return Told(
        percentile(waits, 0.5),
        percentile(waits, 0.99),
        len(waits),
        percentile(arrived, 0.5) if arrived else None,
        percentile(arrived, 0.99) if arrived else None,
    )


def _show(
    layout: Layout,
    outcome: Outcome,
    alerts: Sequence[Mapping[str, Any]],
    inbox: Inbox | None,
    console: Console,
) -> None:
    ranked = [row for row in read_rows(layout, level="county") if row["rank"] is not None]
    show_rankings(console, ranked, outcome.moves)
    show_alerts(console, alerts, count_by_rule(alerts), inbox)
    show_books(console, outcome.books, outcome.report)
    if outcome.comparison is not None:
        show_comparison(console, outcome.comparison)
    show_speed(console, outcome.speed)
    if outcome.told is not None:
        show_told(console, outcome.told)
    if outcome.played is not None:
        show_signing(console, outcome.signed)
    show_memory(console, resident_mb(layout))
    show_addresses(console, layout)


def read_rows(layout: Layout, **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - query parameters
    """All rows of one ranking, page by page."""
    return _pages(f"{layout.service_url('scoring')}/v1/rankings", params, WHOLE_LIST)


def _pages(url: str, params: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = call("GET", url, params={**params, "limit": limit, "cursor": cursor})
        rows += page["items"]
        cursor = page["next"]
        if cursor is None:
            return rows


def resident_mb(layout: Layout) -> dict[str, float]:
    """Resident memory of each service, with the processes beside it, in MB."""
    record = read_running(layout.platform_file)
    sizes: dict[str, float] = {}
    for name in record.services if record else ():
        child = record.children.get(name) if record else None
        if child is not None and child.pid is not None:
            sizes[name] = resident_bytes(child.pid) / 1e6
    return sizes


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome for machines."""
    played = outcome.played
    return {
        "ok": outcome.ok,
        "books": {**asdict(outcome.books), "balanced": outcome.books.balanced},
        "audit": {"ok": outcome.report["ok"], "entries": outcome.report["entries"]},
        "played": {**played.outcomes, "seconds": played.seconds, "per_second": played.rate}
        if played
        else None,
        "visible_s": asdict(outcome.speed),
        "told": asdict(outcome.told) if outcome.told else None,
        "signed": outcome.signed.as_json(),
        "independent": asdict(outcome.comparison) if outcome.comparison else None,
    }
