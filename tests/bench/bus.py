"""Bus: reading a stream with the platform's reader, with scoring's whole fold, and with nats-py alone."""

from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.bench.bus_readers import READERS
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.filling import fill_feedback
from tests.bench.processes import CostSheet, run_program
from tests.bench.stage import data_directory
from tests.support.servers import running_nats

MESSAGES = 50_000
REPLAY = Goal(Bound.RATIO_AT_LEAST, 0.8)


async def measure(rounds: int) -> Section:
    """Read the same messages with every reader, one after the other, in every round."""
    sheets = {name: CostSheet(name, "message") for name in READERS}
    rates: dict[str, list[float]] = {name: [] for name in READERS}
    sizes: set[int] = set()
    with data_directory() as directory, running_nats(directory) as server:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        await fill_feedback(client, MESSAGES)
        await client.close()
        for _ in range(rounds):
            for name in READERS:
                outcome = await run_program(
                    "tests.bench.bus_readers",
                    {"url": server.url, "reader": name, "messages": MESSAGES, "pids": {"nats": server.pid}},
                )
                rates[name].append(MESSAGES / outcome["elapsed_s"])
                sheets[name].add(outcome["cpu"], MESSAGES, outcome["elapsed_s"])
                sizes.add(outcome["bytes"])
    if len(sizes) != 1:
        raise AssertionError(f"the readers saw different bytes: {sizes}")
    series = {name: Series(tuple(values)) for name, values in rates.items()}
    return Section(
        "Bus",
        [
            Figure(
                "FoldReader", "/s", series["fold_reader"], series["ordered"], "bare nats-py, ordered consumer"
            ),
            Figure("FoldReader", "/s", series["fold_reader"], series["fetch"], "bare nats-py, fetch loop"),
            Figure(
                "scoring's whole fold", "/s", series["fold"], series["ordered"],
                "bare nats-py, ordered consumer",
            ),
            Figure(
                "full replay into scoring's fold", "/s", series["fold"], series["fetch_parse"],
                "bare nats-py, fetch loop, and the same parsing", REPLAY,
            ),
            Figure(
                "full replay into scoring's fold", "/s", series["fold"], series["reader_parse"],
                "FoldReader and the same parsing", REPLAY,
            ),
        ],
        [sheet.cost() for sheet in sheets.values()],
        [f"every reader saw {MESSAGES:,} messages and {sizes.pop():,} bytes in every round"],
    )  # fmt: skip
