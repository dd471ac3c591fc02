"""The users that compose makes in MongoDB, on a real mongod that checks them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, OperationFailure

from deploy.local.embedded import ChildProcess, MongoServer, free_ports
from deploy.local.embedded.mongod_binary import find_mongod
from deploy.secrets import write_secrets
from tests.npm_support import run_node

ROLES = Path(__file__).parents[3] / "deploy/mongo/01-roles.js"
UNAUTHORIZED = 13
Clients = dict[str, MongoClient[dict[str, Any]]]

pytestmark = pytest.mark.integration


def _role_commands(secrets: Path) -> list[dict[str, Any]]:
    """The commands that mongosh would send for the script."""
    done = run_node("run_mongo_script.mjs", str(ROLES), env={"PINGYI_MONGO_SECRETS": str(secrets)})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def clients(own_mongo_server: MongoServer, tmp_path: Path) -> Iterator[Clients]:
    """Connections of `archive` and `bootstrap` to a mongod that asks who they are."""
    write_secrets(tmp_path / "secrets")
    secrets = tmp_path / "secrets" / "mongo"
    with MongoClient[dict[str, Any]](own_mongo_server.url) as admin:
        for command in _role_commands(secrets):
            admin[command.pop("db")].command(command)
    own_mongo_server.stop()

    (port,) = free_ports(1)
    binary = find_mongod(tmp_path / "lib")
    data = own_mongo_server.data / "db"
    process = ChildProcess(
        [binary.path, "--auth", "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(data)],
        log=tmp_path / "auth.log",
        env=binary.env,
    )
    process.start()
    connections: Clients = {
        user: MongoClient(
            f"mongodb://127.0.0.1:{port}/?authSource=pingyi&directConnection=true",
            username=user,
            password=(secrets / f"{user}-password").read_text().strip(),
            serverSelectionTimeoutMS=500,
        )
        for user in ("archive", "bootstrap")
    }
    try:
        _wait_until_it_answers(connections["archive"])
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        process.kill()


def _wait_until_it_answers(client: MongoClient[dict[str, Any]]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            client.admin.command("ping")
        except ConnectionFailure:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _refused(collection: Collection[dict[str, Any]], method: str, *arguments: Any) -> bool:  # noqa: ANN401 - any method's
    try:
        getattr(collection, method)(*arguments)
    except OperationFailure as error:
        return error.code == UNAUTHORIZED
    return False


def test_the_archive_can_append_and_read_and_nothing_else(clients: Clients) -> None:
    events = clients["archive"]["pingyi"]["events"]
    events.insert_one({"_id": 1})
    assert events.find_one({"_id": 1}) == {"_id": 1}
    attempts: dict[str, tuple[Any, ...]] = {
        "update_one": ({"_id": 1}, {"$set": {"grade": 5}}),
        "replace_one": ({"_id": 1}, {"grade": 5}),
        "delete_one": ({"_id": 1},),
        "create_index": ("grade",),
        "drop": (),
        "rename": ("elsewhere",),
    }
    assert [name for name, arguments in attempts.items() if not _refused(events, name, *arguments)] == []
    assert events.find_one({"_id": 1}) == {"_id": 1}


def test_the_archive_can_not_reach_another_database(clients: Clients) -> None:
    assert _refused(clients["archive"]["elsewhere"]["events"], "insert_one", {"_id": 1})


def test_bootstrap_makes_indexes_and_validators_and_rewrites_nothing(clients: Clients) -> None:
    database = clients["bootstrap"]["pingyi"]
    database.create_collection("events", validator={"_id": {"$gte": 0}})
    events = database["events"]
    events.create_index("subject")
    assert set(events.index_information()) == {"_id_", "subject_1"}
    clients["archive"]["pingyi"]["events"].insert_one({"_id": 1})
    attempts: dict[str, tuple[Any, ...]] = {
        "insert_one": ({"_id": 2},),
        "update_one": ({"_id": 1}, {"$set": {"grade": 5}}),
        "delete_one": ({"_id": 1},),
        "drop": (),
    }
    assert [name for name, arguments in attempts.items() if not _refused(events, name, *arguments)] == []
