"""A city's broker (deploy/nats/leaf.conf) beside the province's: its readers hear rankings, and no more."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.embedded import free_ports
from deploy.local.embedded.nats_server import find_nats_server
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.streams import FEEDBACK, RANKING
from shared.testing.builders import envelope_of, feedback_submitted, ranking_revised, unit_score_changed
from tests.support.broker_users import BrokerUsers, provisioned, running_broker
from tests.support.certificates import write_certificates

CONFIGURED = Path(__file__).parents[3] / "deploy/nats"
RANKINGS = "ranking.v1.revised.all.all"
FORGED = "ranking.v1.score-changed.3607.360799"
RATINGS = "feedback.v1.submitted.3607.360702"
LIMIT_S = 60.0


def of_the_province(certs: Path, port: int) -> str:
    """What cluster.conf says of leaf nodes, on a port of this machine."""
    text = (CONFIGURED / "cluster.conf").read_text(encoding="utf-8")
    found = re.search(r"^leafnodes \{.*?^\}", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[0].replace("0.0.0.0:7422", f"127.0.0.1:{port}").replace("certs/", f"{certs}/")


@contextmanager
def running_edge(directory: Path, hub_port: int) -> Iterator[str]:
    """A broker with leaf.conf, on other ports; its address."""
    port, monitor_port = free_ports(2)
    text = (CONFIGURED / "leaf.conf").read_text(encoding="utf-8")
    for documented, here in ((4222, port), (8222, monitor_port)):
        text = text.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{here}")
    text = re.sub(r"pingyi-nats-\d:7422", f"127.0.0.1:{hub_port}", text)
    (directory / "leaf.conf").write_text(text, encoding="utf-8")
    with (directory / "leaf.log").open("w") as log:
        command = [find_nats_server(), "-c", "leaf.conf"]
        server = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        try:
            yield f"nats://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[BrokerUsers, str]]:
    """The province's broker with its users, and the address of the city's."""
    write_certificates(tmp_path / "certs", ("server", "leaf"))
    # Each signed by itself: both are what the other one has to know.
    with (tmp_path / "certs/ca.pem").open("wb") as known:
        for name in ("server", "leaf"):
            with (tmp_path / f"certs/{name}.pem").open("rb") as certificate:
                shutil.copyfileobj(certificate, known)
    (hub_port,) = free_ports(1)
    with (
        running_broker(tmp_path, further=of_the_province(tmp_path / "certs", hub_port)) as started,
        running_edge(tmp_path, hub_port) as edge,
    ):
        async with provisioned(*started) as users:
            yield users, edge


async def connect(address: str, told: list[str]) -> Client:
    """A reader's connection to a broker that may be starting still; ``told`` gets what it is refused."""

    async def note(error: Exception) -> None:
        told.append(str(error).lower())

    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await nats.connect(address, error_cb=note, allow_reconnect=False)
            except (OSError, nats.errors.Error):
                await asyncio.sleep(0.1)


async def test_readers_at_a_citys_edge_hear_rankings_and_can_do_nothing_else(
    both: tuple[BrokerUsers, str],
) -> None:
    broker, edge = both
    told: list[str] = []
    reader = await connect(edge, told)
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def note(message: Msg) -> None:
        heard.put_nowait(message.subject)

    await reader.subscribe("ranking.v1.>", cb=note)
    await reader.subscribe("feedback.>", cb=note)
    scoring = JetStreamPublisher(await broker.connect("scoring"))
    intake = JetStreamPublisher(await broker.connect("intake"))
    async with asyncio.timeout(LIMIT_S):
        while heard.empty():  # the edge dials in by itself
            await intake.publish(envelope_of(feedback_submitted()), city="3607", county="360702")
            await scoring.publish(envelope_of(ranking_revised()))
            await asyncio.sleep(0.1)
    stored = {name: await messages(broker, name) for name in (FEEDBACK, RANKING)}
    delete = f"API.STREAM.DELETE.{RANKING}"
    for subject in (FORGED, RATINGS, f"$JS.{delete}", f"$JS.hub.{delete}"):
        await reader.publish(subject, b"{}")
    await reader.flush()
    await intake.publish(envelope_of(feedback_submitted()), city="3607", county="360702")
    await scoring.publish(envelope_of(unit_score_changed()), city="3607", county="360702")
    while (subject := await asyncio.wait_for(heard.get(), LIMIT_S)) == RANKINGS:
        continue  # of the time before
    assert subject == "ranking.v1.score-changed.3607.360702"
    assert await messages(broker, FEEDBACK) == stored[FEEDBACK] + 1
    assert await messages(broker, RANKING) == stored[RANKING] + 1
    assert [each for each in told if "subscription" in each], "feedback was refused"
    assert len([each for each in told if "publish" in each]) == 4
    await reader.close()


async def messages(broker: BrokerUsers, stream: str) -> int:
    """How many messages a stream of the province has."""
    return (await (await broker.connect("provisioner")).jetstream().stream_info(stream)).state.messages
