"""Intake, 5,000 ratings per request, beside group commit alone with the same bytes.

Without comments, with comments on some of the ratings, as people write them, and with comments on all.
"""

from collections.abc import Mapping
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
"""With everything running."""
GOAL_ALONE = Goal(Bound.RATE_AT_LEAST, 30_000)
GOAL_BESIDE_BARE = Goal(Bound.RATIO_AT_LEAST, 0.7)
GOAL_WITH_COMMENTS = Goal(Bound.RATIO_AT_LEAST, 0.5)
PLAIN = "ratings accepted"
BARE = "bare group commit"


@dataclass(frozen=True, slots=True)
class _BareBroker:
    """A nats-server with the platform's streams and nothing else."""

    url: str
    pid: int


async def measure(stage: Stage, rounds: int, where: str, *, alone: bool) -> Section:
    """Each variant in pairs of rounds; with intake `alone` the goals are higher, and there are more."""
    section = Section(f"Batches of {LINES:,}, {where}", [])
    variants = {PLAIN: 0.0, f"with comments on {TEXT_SHARE:.0%}": TEXT_SHARE}
    if alone:
        variants["with comments on all"] = 1.0
    with data_directory() as directory, running_nats(directory) as server:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        await client.close()
        assert server.pid is not None
        bare = _BareBroker(server.url, server.pid)
        rates = {
            name: await _variant(stage, bare, share, name, rounds, section)
            for name, share in variants.items()
        }
    section.figures += _figures(rates, alone=alone)
    section.checks.append(
        f"every round: {REQUESTS} answers 200, {RATINGS:,} lines accepted, as many more messages in "
        f"FEEDBACK; then as many more in the baseline's stream"
    )
    return section


def _figures(rates: Mapping[str, tuple[Series, Series]], *, alone: bool) -> list[Figure]:
    if not alone:
        return [Figure(name, "/s", ours, bare, BARE, GOAL) for name, (ours, bare) in rates.items()]
    plain = rates[PLAIN][0]
    figures = [Figure(PLAIN, "/s", plain, goal=GOAL_ALONE)]
    for name, (ours, bare) in rates.items():
        figures.append(Figure(name, "/s", ours, bare, BARE, GOAL_BESIDE_BARE if name == PLAIN else None))
        if name != PLAIN:
            figures.append(Figure(name, "/s", ours, plain, "the same without", GOAL_WITH_COMMENTS))
    return figures


async def _variant(
    stage: Stage, bare: _BareBroker, text_share: float, name: str, rounds: int, section: Section
) -> tuple[Series, Series]:
    """Rates of intake and of the baseline, round by round; their costs go into ``section``."""
    sheets = CostSheet(name, "rating"), CostSheet(BARE, "rating")
    ours: list[float] = []
    barely: list[float] = []
    for number in range(rounds):
        ours.append(await _intake(stage, number, text_share, sheets[0]))
        await stage.settle()
        barely.append(await _commit(stage, bare, sheets[1]))
    section.costs += [sheet.cost() for sheet in sheets]
    return Series(tuple(ours)), Series(tuple(barely))


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
