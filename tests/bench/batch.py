"""Intake, 5,000 ratings per request, beside group commit alone with the same bytes."""

from dataclasses import dataclass

from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import MAX_BATCH
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from tests.bench.client import Job
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.processes import CLIENT, CostSheet, run_client, run_program, watching
from tests.bench.ratings import TEXT_SHARE
from tests.bench.stage import Stage, data_directory
from tests.support.servers import running_nats

PATH = "/v1/feedback/batch"
LINES = 5_000
REQUESTS = 4
CONNECTIONS = 2
INFLIGHT = 2
"""Calls that the baseline has under way, each a full atomic batch: more made it no faster."""
RATINGS = LINES * REQUESTS
GOAL = Goal(Bound.RATE_AT_LEAST, 10_000)


@dataclass(frozen=True, slots=True)
class _BareBroker:
    """A nats-server with the platform's streams and nothing else."""

    url: str
    pid: int


async def measure(stage: Stage, rounds: int, where: str) -> Section:
    """Batches without comments, then with comments on some of the ratings."""
    section = Section(f"Batches of {LINES:,}, {where}", [])
    with data_directory() as directory, running_nats(directory) as server:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        await client.close()
        assert server.pid is not None
        bare = _BareBroker(server.url, server.pid)
        await _variant(stage, bare, 0.0, "ratings accepted", rounds, section)
        await _variant(stage, bare, TEXT_SHARE, f"with comments on {TEXT_SHARE:.0%}", rounds, section)
    section.checks.append(
        f"every round: {REQUESTS} answers 200, {RATINGS:,} lines accepted, as many more messages in "
        f"FEEDBACK; then as many more in the baseline's stream"
    )
    return section


async def _variant(
    stage: Stage, bare: _BareBroker, text_share: float, name: str, rounds: int, section: Section
) -> None:
    sheets = CostSheet(name, "rating"), CostSheet("bare group commit", "rating")
    ours: list[float] = []
    barely: list[float] = []
    for number in range(rounds):
        ours.append(await _intake(stage, number, text_share, sheets[0]))
        await stage.settle()
        barely.append(await _commit(stage, bare, sheets[1]))
    section.figures.append(
        Figure(name, "/s", Series(tuple(ours)), Series(tuple(barely)), "bare group commit", GOAL)
    )
    section.costs += [sheet.cost() for sheet in sheets]


async def _intake(stage: Stage, number: int, text_share: float, sheet: CostSheet) -> float:
    """One round of batches; ratings per second."""
    port = stage.layout.service_port("intake")
    job = Job(
        port,
        PATH,
        number,
        CONNECTIONS,
        lines=LINES,
        text_share=text_share,
        requests=REQUESTS,
        proof=stage.proof,
    )
    before = await stage.last_sequence(FEEDBACK)
    with watching(stage.pids) as spent:
        load = await run_client(job)
    stored = await stage.last_sequence(FEEDBACK) - before
    if load.lines != {"accepted": RATINGS} or stored != RATINGS or load.statuses != {"200": REQUESTS}:
        raise AssertionError(
            f"{RATINGS} lines accepted and stored expected: {load.statuses} {load.lines}, {stored} stored"
        )
    sheet.add({CLIENT: load.cpu_s, **spent.seconds}, RATINGS, load.total_s)
    return RATINGS / load.total_s


async def _commit(stage: Stage, bare: _BareBroker, sheet: CostSheet) -> float:
    """The bytes of the newest events through group commit alone; messages per second."""
    outcome = await run_program(
        "tests.bench.bare_commit",
        {
            "source_url": stage.layout.nats_url,
            "source_seed": str(stage.layout.nkey_seed("cli")),
            "url": bare.url,
            "messages": RATINGS,
            "chunk": MAX_BATCH,
            "inflight": INFLIGHT,
            "pids": {"nats": bare.pid},
        },
    )
    if outcome["stored"] != RATINGS:
        raise AssertionError(f"{RATINGS} messages expected, {outcome['stored']} stored")
    sheet.add(outcome["cpu"], RATINGS, outcome["elapsed_s"])
    return float(RATINGS / outcome["elapsed_s"])
