"""The power goes: what a disk holds at that moment has every rating that was promised.

The spool lies on an ext4 file system in a file. In the middle of the load intake is frozen and the file is
copied as it is: what the kernel had not written is lost in the copy, as with a machine. Needs root, for
loop devices.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local.embedded import free_ports
from services.intake.adapters.spool_file import SpoolFile, spool_path
from tests.integration.intake.conftest import RATING, make_secrets
from tests.support.access import auth_dir, proofs

pytestmark = pytest.mark.soak

ROUNDS = 3
CLIENTS = 16
LOAD_S = 2.0


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def require_loop_devices(directory: Path) -> Path:
    """A mounted file system in a file; skips where that can't be made."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4")
    image, place = directory / "disk.img", directory / "disk"
    with image.open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    place.mkdir()
    assert run("mkfs.ext4", "-q", "-F", str(image)).returncode == 0
    mounted = run("mount", "-o", "loop", str(image), str(place))
    if mounted.returncode != 0:
        pytest.skip(f"no loop device can be mounted here: {mounted.stderr.strip()}")
    return place


async def promised_under_load(port: int, child: asyncio.subprocess.Process, name: str) -> set[str]:
    """Event ids of every 202 until the child was frozen."""
    promised: set[str] = set()
    frozen = asyncio.Event()

    async def sender(client: httpx.AsyncClient, number: int) -> None:
        count = 0
        while not frozen.is_set():
            count += 1
            body = RATING | {"client_ref": f"{name}-{number}-{count}", "text": "好"}
            answer = await client.post("/v1/feedback", json=body)
            assert answer.status_code == 202, answer.text
            promised.add(answer.json()["event_id"])

    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address, timeout=30, auth=proofs(address)) as client:
        for _ in range(200):
            try:
                await client.get("/livez")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        senders = [asyncio.create_task(sender(client, number)) for number in range(CLIENTS)]
        await asyncio.sleep(LOAD_S)
        child.send_signal(signal.SIGSTOP)
        frozen.set()
        at_that_moment = set(promised)
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    return at_that_moment


async def test_a_copy_of_the_disk_at_any_moment_has_every_promised_rating(tmp_path: Path) -> None:
    place = require_loop_devices(tmp_path)
    promised: set[str] = set()
    try:
        for life in range(ROUNDS):
            (port, nobody) = free_ports(2)
            environment = os.environ | {
                "NATS_URL": f"nats://127.0.0.1:{nobody}",
                "SECRETS_DIR": str(make_secrets(tmp_path / "secrets")),
                "AUTH_DIR": str(auth_dir()),
                "DATA_DIR": str(tmp_path / "intake"),
                "SPOOL_DIR": str(place / "spool"),
                "HTTP_PORT": str(port),
            }
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.intake", env=environment, stdout=asyncio.subprocess.DEVNULL
            )
            try:
                promised |= await promised_under_load(port, child, str(life))
                copy, after = tmp_path / f"copy-{life}.img", tmp_path / f"after-{life}"
                shutil.copyfile(tmp_path / "disk.img", copy)
            finally:
                child.kill()
                await child.wait()
            after.mkdir()
            assert run("mount", "-o", "loop", str(copy), str(after)).returncode == 0
            try:
                file = SpoolFile(spool_path(after / "spool"))
                kept = file.oldest(1_000_000)
                file.close()
            finally:
                run("umount", str(after))
            ids = {one.entry.message.message_id for one in kept}
            sys.stderr.write(f"{len(promised)} promised, {len(ids)} on the disk\n")
            assert all(one.sound for one in kept)
            assert not promised - ids
    finally:
        run("umount", str(place))
    assert len(promised) > 100
