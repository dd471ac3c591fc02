"""Notify: a day's events through all rules, from a rating to its receivers, and a burst to a thousand."""

import asyncio
import json
import math
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from services.notify.application.translation import raised_event
from services.notify.domain.alert import alert_id
from shared.events import Envelope, Provenance, spec_for_data
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.notify_mix import EXPECTED, IN_ALL, SHARES, publish_mix, raised
from tests.bench.processes import CostSheet, run_program
from tests.bench.stage import data_directory
from tests.integration.notify.support import bad_review, publish_many
from tests.support.servers import running_nats
from tests.unit.notify.support import alert

LIVE_S = 12.0
LIVE_PER_S = 40
LIVE_BAD_IN = 2
BURST = 50_000
RECIPIENTS = 1000
BURST_LIMIT_S = 600.0
PORTS = 8
"""The kernel has 28,000 ports for connections to one address and port: a burst needs several."""


@dataclass(slots=True)
class Receiver:
    """Takes POSTs as fast as it can and notes when each id came first; may hang or fail instead."""

    status: int = 204
    hang: bool = False
    came: dict[tuple[str, str], float] = field(default_factory=dict)
    requests: int = 0
    ports: list[int] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            now = time.time()
            self.requests += 1
            path = head.split(b" ", 2)[1].decode()
            identity = head.lower().split(b"webhook-id: ", 1)[1].split(b"\r\n", 1)[0].decode()
            self.came.setdefault((path, identity), now)
            if self.hang:
                await asyncio.sleep(60)
            writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver, ports: int = 1) -> AsyncIterator[Receiver]:
    """Let `receiver` listen on so many ports."""
    servers = [
        await asyncio.start_server(receiver.handle, "127.0.0.1", 0, backlog=2000) for _ in range(ports)
    ]
    receiver.ports = [server.sockets[0].getsockname()[1] for server in servers]
    try:
        yield receiver
    finally:
        for server in servers:
            server.close()


def endpoint(name: str, port: int, *, everything: bool = True) -> str:
    """A webhook in the file of channels."""
    return (
        f'[[endpoint]]\nkind = "webhook"\nname = "{name}"\nurl = "http://127.0.0.1:{port}/{name}"\n'
        f'key_file = "webhook.key"\nall_alerts = {str(everything).lower()}\n'
    )


@asynccontextmanager
async def service(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The service in a process of its own, which is in the dict, too; afterwards what it says at its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.notify_sides",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    said: dict[str, Any] = {"process": process}
    try:
        process.stdin.write(json.dumps(job | {"side": "serve"}).encode() + b"\n")
        await process.stdin.drain()
        yield said
        out, _ = await asyncio.wait_for(process.communicate(b"\n"), 60)
        said |= json.loads(out.splitlines()[-1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def configured(directory: Path, text: str) -> dict[str, str]:
    """Write the file of channels and its secret; what the job says of them."""
    (directory / "webhook.key").write_text(bytes(range(32)).hex())
    (directory / "notify.toml").write_text(text)
    return {"channels": str(directory / "notify.toml"), "secrets": str(directory)}


@asynccontextmanager
async def broker(directory: Path) -> AsyncIterator[tuple[str, Client]]:
    """A provisioned broker."""
    with running_nats(directory) as server:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        try:
            yield server.url, client
        finally:
            await client.close()


async def through_rules(side: str) -> dict[str, float]:
    """How long a side takes for a day's mix of events that wait; the rules must find what is to be found."""
    with data_directory() as directory:
        async with broker(directory) as (url, client):
            await publish_mix(client)
            outcome: dict[str, float] = await run_program(
                "tests.bench.notify_sides", {"side": side, "url": url}
            )
            if side == "rules":
                found = await raised(client)
                if any(found[rule] != number for rule, number in EXPECTED.items()):
                    raise AssertionError(f"alerts: {dict(found)}, expected {EXPECTED}")
                outcome["alerts"] = found.total()
    return outcome


async def live(*, disturbed: bool) -> float:
    """99th percentile in ms from receiving a bad rating to its arrival at a webhook that works."""
    receivers = {"good": Receiver(), "hangs": Receiver(hang=True), "fails": Receiver(status=500)}
    with data_directory() as directory:
        async with AsyncExitStack() as stack:
            url, client = await stack.enter_async_context(broker(directory))
            for receiver in receivers.values():
                await stack.enter_async_context(listening(receiver))
            names = receivers if disturbed else ("good",)
            text = "".join(endpoint(name, receivers[name].ports[0]) for name in names)
            await stack.enter_async_context(service({"url": url, **configured(directory, text)}))
            await _warm(client, receivers["good"])
            return await _measured(client, receivers["good"])


async def _warm(client: Client, good: Receiver) -> None:
    await _store(client, bad_review(10**9))
    await _until(lambda: bool(good.came))
    good.came.clear()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - of two conditions, one is the clock
        await asyncio.sleep(0.05)


async def _store(client: Client, event: Envelope[Any]) -> None:
    subject = spec_for_data(type(event.data)).subject_for("3601", "360102")
    await client.jetstream(timeout=5).publish(subject, event.to_json(), headers={"Nats-Msg-Id": event.id})


async def _measured(client: Client, good: Receiver) -> float:
    began, number, sent = time.monotonic(), 0, dict[str, float]()
    while time.monotonic() - began < LIVE_S:
        bad = number % LIVE_BAD_IN == 0
        event = bad_review(number, grade=1 if bad else 5)
        if bad:
            sent[alert_id("bad_review", event.id)] = event.receivedat.timestamp()
        await _store(client, event)
        number += 1
        await asyncio.sleep(max(0.0, began + number / LIVE_PER_S - time.monotonic()))
    deadline = time.monotonic() + 20
    await _until(lambda: len(good.came) >= len(sent) or time.monotonic() > deadline)
    came = {identity: moment for (_, identity), moment in good.came.items()}
    missing = sent.keys() - came.keys()
    if missing:
        raise AssertionError(f"{len(missing)} of {len(sent)} alerts did not arrive")
    waits = sorted(came[identity] - moment for identity, moment in sent.items())
    return 1000 * waits[math.ceil(0.99 * len(waits)) - 1]


async def burst(alerts: int = BURST, recipients: int = RECIPIENTS) -> dict[str, float]:
    """Alerts for so many recipients at once: seconds until all are there, peak memory, repeats."""
    with data_directory() as directory:
        async with AsyncExitStack() as stack:
            url, client = await stack.enter_async_context(broker(directory))
            receiver = await stack.enter_async_context(listening(Receiver(), PORTS))
            text = "".join(
                endpoint(f"r{number}", receiver.ports[number % PORTS], everything=False)
                for number in range(recipients)
            )
            now = datetime.now(UTC)
            events = [
                raised_event(
                    alert(number), (f"webhook.r{number % recipients}",), now,
                    rules="sha256:00", provenance=Provenance("bench"),
                )
                for number in range(alerts)
            ]  # fmt: skip
            await publish_many(client, events)
            job = {"url": url, **configured(directory, text)}
            async with service(job) as said:
                began = time.monotonic()
                while len(receiver.came) < alerts:
                    if time.monotonic() - began > BURST_LIMIT_S or said["process"].returncode is not None:
                        raise AssertionError(f"{alerts - len(receiver.came)} alerts did not arrive")
                    await asyncio.sleep(0.1)
                elapsed = time.monotonic() - began
            wrong = [
                1 for number, event in enumerate(events)
                if (f"/r{number % recipients}", event.id) not in receiver.came
            ]  # fmt: skip
            if wrong or len(receiver.came) != alerts:
                raise AssertionError(f"{len(wrong)} alerts are at the wrong place")
    return {
        "elapsed_s": elapsed,
        "repeats": receiver.requests - alerts,
        "peak_mb": said["peak_mb"],
        "cpu_us": 1e6 * said["cpu_s"] / alerts,
    }


async def measure(rounds: int) -> Section:
    """Every figure of notify; the burst once, since it takes a minute or two."""
    rates: dict[str, list[float]] = {"rules": [], "fetch": [], "bare": []}
    sheets = {side: CostSheet(f"{side}, day's mix", "event") for side in rates}
    waits: dict[bool, list[float]] = {False: [], True: []}
    alerts = 0.0
    for _ in range(rounds):
        for side, values in rates.items():
            outcome = await through_rules(side)
            values.append(IN_ALL / outcome["elapsed_s"])
            sheets[side].add({side: outcome["cpu_s"]}, IN_ALL, outcome["elapsed_s"])
            alerts = outcome.get("alerts", alerts)
        for disturbed, values in waits.items():
            values.append(await live(disturbed=disturbed))
    outcome = await burst()
    shares = ", ".join(f"{events:,} of {stream}" for stream, _, events in SHARES)
    micros = f"{outcome['cpu_us']:,.0f} µs of processor time"
    series = {side: Series(tuple(values)) for side, values in rates.items()}
    calm, disturbed_ = Series(tuple(waits[False])), Series(tuple(waits[True]))
    return Section(
        "Notify",
        [
            Figure(
                "events through all rules", "/s", series["rules"], series["fetch"],
                "bare nats-py, fetch loops", Goal(Bound.RATIO_AT_LEAST, 0.5),
            ),
            Figure(
                "events through all rules", "/s", series["rules"], series["bare"],
                "our own readers, without a look",
            ),
            Figure("rating to first attempt, p99", "ms", calm, goal=Goal(Bound.AT_MOST, 1000.0)),
            Figure(
                "the same beside one that hangs and one that fails", "ms", disturbed_, calm, "none beside",
                Goal(Bound.RATIO_AT_MOST, 1.1),
            ),
            Figure(
                f"{BURST:,} alerts to {RECIPIENTS:,} recipients", "/s",
                Series((BURST / outcome["elapsed_s"],)),
            ),
            Figure(
                "memory at its peak in that", "MB", Series((outcome["peak_mb"],)),
                goal=Goal(Bound.AT_MOST, 300.0),
            ),
        ],
        [sheet.cost() for sheet in sheets.values()],
        [
            f"{IN_ALL:,} events ({shares}) became {alerts:,.0f} alerts in every round",
            f"every alert of the burst arrived, {outcome['repeats']:.0f} twice, for {micros} each",
        ],
    )  # fmt: skip
