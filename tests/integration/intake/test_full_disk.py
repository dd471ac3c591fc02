"""A disk without a free byte, a real one: it promises nothing, and live ratings need the broker alone."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.intake.adapters.spool_writer import DISK_RESERVE
from tests.integration.intake.conftest import RATING, StartIntake, eventually, submitted
from tests.integration.intake.test_spool import assert_unavailable, drained, waiting

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little more room than is left free."""
    place = tmp_path / "disk"
    place.mkdir()
    size = DISK_RESERVE + 8 * MIB
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = (
        subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    )
    if mounted is None or mounted.returncode != 0:
        pytest.skip(f"needs root and a mount: {mounted.stderr.strip() if mounted else 'not root'}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0")
    return filler


async def test_a_full_disk_promises_nothing_and_does_not_outlast_the_outage_of_the_broker(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake, small_disk: Path
) -> None:
    assert own_broker.is_connected
    async with start_intake(own_nats_server, spool_dir=small_disk / "spool") as intake:
        number = 0
        promised: list[str] = []

        async def submit() -> int:
            nonlocal number
            number += 1
            answer = await intake.submit(RATING | {"client_ref": f"d{number}", "text": "好"})
            if answer.status_code == 202:
                promised.append(answer.json()["event_id"])
            else:
                assert_unavailable(answer)
            return answer.status_code

        async def check(name: str) -> str:
            return str((await intake.http.get("/readyz")).json()["checks"][name]["detail"])

        own_nats_server.kill()
        assert {await submit() for _ in range(30)} == {202}
        filler = fill(small_disk)
        assert {await submit() for _ in range(10)} == {503}

        async def says_so() -> bool:
            return "its disk is full" in await check("accepting")

        await eventually(says_so)
        assert (await intake.http.get("/readyz")).status_code == 503

        own_nats_server.start()

        async def live() -> bool:
            return await submit() == 202

        await eventually(live)
        assert {await submit() for _ in range(200)} == {202}, "the spool's trouble is none of theirs"
        assert await waiting(intake) == 30
        assert "its disk is full" in await check("spool")
        filler.unlink()
        await drained(intake)
    ids = [event.id for event in await submitted(own_broker)]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(promised)
