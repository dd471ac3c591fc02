"""The embedded servers are real: they start, keep what they acknowledged through SIGKILL, and move ports."""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import nats
import psutil
import pytest
from pymongo import MongoClient, WriteConcern

from deploy.local.embedded import ChildProcess, MongoServer, NatsServer, free_ports, mongod, nats_server
from deploy.local.errors import PortTakenError, ServerStartError
from deploy.local.secrets import broker_public_keys, ensure_secrets
from tests.support.processes import wait_until_gone
from tests.support.servers import StartNats

pytestmark = pytest.mark.integration


async def test_acknowledged_message_survives_sigkill(own_nats_server: NatsServer) -> None:
    client = await nats.connect(own_nats_server.url)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    ack = await client.jetstream().publish("s.one", b"kept")
    own_nats_server.kill()
    assert not own_nats_server.is_alive()
    assert not own_nats_server.healthy()
    own_nats_server.start()
    await client.close()

    client = await nats.connect(own_nats_server.url)
    stored = await client.jetstream().get_msg("S", ack.seq)
    await client.close()
    assert stored.data == b"kept"


def test_nats_server_syncs_before_it_acknowledges(nats_server: NatsServer) -> None:
    facts = httpx.get(f"{nats_server.monitor_url}/varz").json()
    assert facts["jetstream"]["config"]["sync_always"] is True


def test_servers_can_be_told_apart_in_ps(nats_server: NatsServer, mongo_server: MongoServer) -> None:
    assert nats_server.name in psutil.Process(nats_server.pid).cmdline()
    assert "mongod" in psutil.Process(mongo_server.pid).cmdline()[0]
    assert str(mongo_server.port) in psutil.Process(mongo_server.pid).cmdline()


async def test_authorization_text_is_in_force(start_nats: StartNats) -> None:
    server = start_nats(authorization="authorization { user: alice, password: secret }")
    # Asked of the server, since a refused nats-py client leaks its socket, which fails some later test.
    async with httpx.AsyncClient() as http_client:
        facts = (await http_client.get(f"{server.monitor_url}/varz")).json()
    assert facts["auth_required"] is True
    client = await nats.connect(server.url, user="alice", password="secret")
    await client.close()


async def test_generated_seed_opens_the_broker_that_knows_its_public_key(
    start_nats: StartNats, tmp_path: Path
) -> None:
    ensure_secrets(tmp_path / "secrets")
    public_key = broker_public_keys(tmp_path / "secrets")["scoring"]
    server = start_nats(authorization=f"authorization {{ users: [{{ nkey: {public_key} }}] }}")
    seed = (tmp_path / "secrets" / "nats" / "scoring.seed").read_text().strip()
    client = await nats.connect(server.url, nkeys_seed_str=seed)
    await client.flush()
    await client.close()


def test_bad_authorization_text_is_refused_with_the_servers_own_words(tmp_path: Path) -> None:
    port, monitor_port = free_ports(2)
    server = NatsServer(
        tmp_path / "nats",
        port=port,
        monitor_port=monitor_port,
        log=tmp_path / "nats.log",
        authorization="no_such_option: 1",
    )
    with pytest.raises(ServerStartError, match="no_such_option"):
        server.start()
    assert not server.is_alive()


NO_ROOM_AT_FIRST = """#!{python}
import http.server, pathlib, sys
if "-t" in sys.argv:
    sys.exit()
ROOM, STARTS = pathlib.Path({room!r}), pathlib.Path({starts!r})
had_room = ROOM.exists()
with STARTS.open("a") as starts:
    starts.write("started\\n")
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ROOM.touch()  # somebody makes room while it is looked on
        self.send_response(200 if had_room else 503)
        self.end_headers()
        if not had_room:
            self.wfile.write(b"JetStream stream 'A > B' write error: write 1.blk: no space left on device")
http.server.HTTPServer(("127.0.0.1", {monitor_port}), Health).serve_forever()
"""
"""A nats-server on a disk that was full when it started, as 2.12 behaves: what it found stays said."""


def test_a_broker_that_started_on_a_full_disk_is_started_afresh_and_takes_what_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_server, "AFRESH_S", 0.5)
    port, monitor_port = free_ports(2)
    program, starts = tmp_path / "nats-server", tmp_path / "starts"
    source = NO_ROOM_AT_FIRST.format(
        python=sys.executable, room=str(tmp_path / "room"), starts=str(starts), monitor_port=monitor_port
    )
    program.write_text(source)
    program.chmod(0o700)
    monkeypatch.setenv("NATS_SERVER", str(program))
    server = NatsServer(tmp_path / "nats", port=port, monitor_port=monitor_port, log=tmp_path / "nats.log")
    server.start(timeout_s=60.0)
    try:
        assert server.healthy()
        assert starts.read_text().splitlines() == ["started", "started"]
    finally:
        server.kill()


def test_port_in_use_is_refused_and_its_holder_named(own_nats_server: NatsServer, tmp_path: Path) -> None:
    (other_port,) = free_ports(1)
    second = NatsServer(
        tmp_path / "second", port=own_nats_server.port, monitor_port=other_port, log=tmp_path / "second.log"
    )
    with pytest.raises(PortTakenError, match=rf"nats-server \(pid {own_nats_server.pid}\)"):
        second.start()


def test_journaled_document_survives_sigkill_and_a_new_port(own_mongo_server: MongoServer) -> None:
    with MongoClient[dict[str, object]](own_mongo_server.url) as client:
        journaled = client["t"].get_collection("c", write_concern=WriteConcern(w="majority", j=True))
        journaled.insert_one({"_id": 1, "text": "件件有着落"})
    own_mongo_server.kill()
    assert not own_mongo_server.healthy()
    (own_mongo_server.port,) = free_ports(1)
    own_mongo_server.start()
    assert own_mongo_server.healthy()

    with MongoClient[dict[str, object]](own_mongo_server.url) as client:
        assert client["t"]["c"].find_one() == {"_id": 1, "text": "件件有着落"}
        with client.start_session() as session:  # transactions and change streams need the replica set
            session.with_transaction(lambda s: client["t"]["c"].insert_one({"_id": 2}, session=s))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities stay as they are")
def test_mongod_stands_back_with_all_its_threads_once_it_runs(own_mongo_server: MongoServer) -> None:
    assert own_mongo_server.pid is not None
    priorities = []
    for thread in psutil.Process(own_mongo_server.pid).threads():
        with suppress(ProcessLookupError):  # mongod ends threads of its pools whenever it likes
            priorities.append(os.getpriority(os.PRIO_PROCESS, thread.id))
    assert len(priorities) > 5
    assert set(priorities) == {mongod.NICE}


def test_server_started_by_a_short_lived_thread_keeps_running(tmp_path: Path) -> None:
    child = ChildProcess(["sleep", "30"], log=tmp_path / "sleep.log")
    thread = threading.Thread(target=child.start)
    thread.start()
    thread.join()
    assert not child.wait(0.3)
    child.stop()
    assert not child.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
def test_children_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent_source = f"""
import pathlib, signal
from deploy.local.embedded import ChildProcess
child = ChildProcess(["sleep", "30"], log=pathlib.Path({str(tmp_path / "sleep.log")!r}))
child.start()
print(child.pid, flush=True)
signal.pause()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_source],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    wait_until_gone([child], timeout_s=20)


def test_log_is_moved_aside_when_it_outgrew_its_bound(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_bytes(b"x" * (9 * 1024 * 1024))
    child = ChildProcess(["echo", "fresh"], log=log)
    child.start()
    assert child.wait(5)
    assert log.read_text() == "fresh\n"
    assert log.with_name("child.log.1").stat().st_size == 9 * 1024 * 1024
