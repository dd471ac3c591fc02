"""The users of the archive's database on a real mongod that asks who everybody is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from deploy.local.embedded import MongoServer, free_ports
from deploy.local.embedded.mongo_users import ROLE_OF, ROLES
from deploy.local.embedded.mongod_secrets import (
    APPEND,
    BOOTSTRAP,
    DATABASE,
    KEY_FILE,
    ensure_mongo_secrets,
    url_as,
)
from deploy.local.errors import ServerStartError
from deploy.secrets import write_secrets
from services.archive.adapters import schema
from tests.npm_support import run_node
from tests.support.servers import running_mongo

SCRIPT = Path(__file__).parents[3] / "deploy/mongo/01-roles.js"
UNAUTHORIZED = 13
COLLECTIONS = tuple(schema.COLLECTIONS)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A mongod with users, as `pingyi up` starts it, with the archive's collections; one for this module."""
    directory = tmp_path_factory.mktemp("mongo-users")
    ensure_mongo_secrets(directory / "secrets")
    with running_mongo(directory, secrets=directory / "secrets") as running:
        schema.bootstrap(url_as(running.url, directory / "secrets", BOOTSTRAP))
        schema.bootstrap(url_as(running.url, directory / "secrets", BOOTSTRAP))  # again: nothing to do
        yield running


@pytest.fixture
def archive(server: MongoServer) -> Iterator[Database[dict[str, Any]]]:
    with _as(server, APPEND) as client:
        yield client[DATABASE]


def _as(server: MongoServer, user: str) -> MongoClient[dict[str, Any]]:
    assert server.secrets is not None
    return MongoClient(url_as(server.url, server.secrets, user))


def _refused(action: Any) -> bool:  # noqa: ANN401 - any call
    try:
        action()
    except OperationFailure as error:
        return error.code == UNAUTHORIZED
    return False


def _changes(one: Collection[dict[str, Any]]) -> dict[str, Any]:
    """Everything that could change, hide or remove what is there, or make room for it."""
    new = {"_id": "new"}
    return {
        "update": lambda: one.update_one({}, {"$set": {"v": 9}}),
        "update of nothing": lambda: one.update_one({"_id": "none"}, {"$set": {"v": 9}}),
        "upsert": lambda: one.update_one(new, {"$set": {"v": 9}}, upsert=True),
        "bulk upsert": lambda: one.bulk_write([UpdateOne(new, {"$set": {"v": 9}}, upsert=True)]),
        "replace": lambda: one.replace_one({}, {"v": 9}),
        "find and modify": lambda: one.find_one_and_update({}, {"$set": {"v": 9}}),
        "find and remove": lambda: one.find_one_and_delete({}),
        "delete": lambda: one.delete_one({}),
        "delete all": lambda: one.delete_many({}),
        "drop": one.drop,
        "rename": lambda: one.rename("elsewhere"),
        "create index": lambda: one.create_index("v"),
        "drop indexes": one.drop_indexes,
        "collMod": lambda: one.database.command("collMod", one.name, validator={}),
        "collMod to expire": lambda: one.database.command(
            "collMod", one.name, index={"name": "_id_", "hidden": True}
        ),
        "convert to capped": lambda: one.database.command("convertToCapped", one.name, size=4096),
        "$out": lambda: list(one.aggregate([{"$match": {}}, {"$out": one.name}])),
        "$merge": lambda: list(one.aggregate([{"$match": {}}, {"$merge": {"into": one.name}}])),
        "no validation": lambda: one.database.command(
            "insert", one.name, documents=[new], bypassDocumentValidation=True
        ),
    }


@pytest.mark.parametrize("name", [*COLLECTIONS, "one_to_come"])
def test_the_archive_can_change_nothing(archive: Database[dict[str, Any]], name: str) -> None:
    collection = archive[name]
    before = list(collection.find({}))
    assert [what for what, change in _changes(collection).items() if not _refused(change)] == []
    assert list(collection.find({})) == before


def test_the_archive_can_insert_and_find(archive: Database[dict[str, Any]]) -> None:
    archive[schema.TILES].insert_one({"_id": "0/0", "v": 1, "hashes": bytes(schema.TILE_BYTES)})
    found = archive[schema.TILES].find_one({"_id": "0/0"})
    assert found is not None
    assert found["hashes"] == bytes(schema.TILE_BYTES)
    assert [what for what, change in _changes(archive[schema.TILES]).items() if not _refused(change)] == [], (
        "not with something to change either"
    )


def test_the_archive_reaches_no_other_database_and_no_user(archive: Database[dict[str, Any]]) -> None:
    client = archive.client
    attempts = {
        "another database": lambda: client["elsewhere"]["entries"].insert_one({"_id": 1}),
        "drop database": lambda: client.drop_database(DATABASE),
        "make a user": lambda: archive.command("createUser", "x", pwd="x", roles=[]),
        "change its role": lambda: archive.command("updateRole", ROLE_OF[APPEND], privileges=[]),
        "grant itself": lambda: archive.command("grantRolesToUser", APPEND, roles=["dbOwner"]),
        "read users": lambda: client["admin"]["system.users"].find_one({}),
        "shut down": lambda: client.admin.command("shutdown"),
    }
    assert [what for what, attempt in attempts.items() if not _refused(attempt)] == []


def test_bootstrap_makes_collections_and_rewrites_nothing(server: MongoServer) -> None:
    with _as(server, BOOTSTRAP) as client:
        entries = client[DATABASE][schema.ENTRIES]
        assert set(entries.index_information()) == {"_id_", *schema.INDEXES}
        attempts = {
            "insert": lambda: entries.insert_one({"_id": 2}),
            "update": lambda: entries.update_one({"_id": 1}, {"$set": {"v": 5}}),
            "delete": lambda: entries.delete_one({"_id": 1}),
            "drop": entries.drop,
            "drop index": lambda: entries.drop_index(schema.TIME),
        }
        assert [what for what, attempt in attempts.items() if not _refused(attempt)] == []


def test_who_does_not_say_who_they_are_gets_nothing(server: MongoServer) -> None:
    with MongoClient[dict[str, Any]](server.url) as client:
        assert _refused(lambda: client[DATABASE][schema.ENTRIES].find_one({}))
        assert _refused(lambda: client.admin.command("createUser", "second", pwd="x", roles=["root"]))


def test_containers_and_this_machine_have_the_same_roles(tmp_path: Path) -> None:
    """The commands that mongosh sends for the script, beside what an embedded mongod is told."""
    write_secrets(tmp_path)
    done = run_node(
        "run_mongo_script.mjs", str(SCRIPT), env={"PINGYI_MONGO_SECRETS": str(tmp_path / "mongo")}
    )
    assert done.returncode == 0, done.stderr
    commands = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["db"] for each in commands} == {DATABASE}
    roles = {each["createRole"]: each for each in commands if "createRole" in each}
    assert {name: each["privileges"] for name, each in roles.items()} == {
        name: [{"resource": {"db": DATABASE, "collection": ""}, "actions": actions}]
        for name, actions in ROLES.items()
    }
    assert [each["roles"] for each in roles.values()] == [[], []]
    users = {each["createUser"]: each["roles"] for each in commands if "createUser" in each}
    assert users == {user: [role] for user, role in ROLE_OF.items()}


def test_users_outlive_another_port_and_other_secrets_are_refused(
    server: MongoServer, tmp_path: Path
) -> None:
    assert server.secrets is not None
    good = server.secrets
    ensure_mongo_secrets(tmp_path)
    (tmp_path / KEY_FILE).write_bytes((good / KEY_FILE).read_bytes())
    (tmp_path / KEY_FILE).chmod(0o600)
    server.stop()
    server.secrets = tmp_path
    try:
        with pytest.raises(ServerStartError, match="another password"):
            server.start()
    finally:
        server.kill()
        server.secrets = good
    (server.port,) = free_ports(1)
    server.start()
    with _as(server, APPEND) as client:
        client[DATABASE][schema.TILES].find_one({})


def test_data_from_before_there_were_users_gets_them_on_its_own_port(tmp_path: Path) -> None:
    ensure_mongo_secrets(tmp_path / "secrets")
    with running_mongo(tmp_path) as server:
        server.stop()
        old, (server.port,) = server.port, free_ports(1)
        server.secrets = tmp_path / "secrets"
        with pytest.raises(ServerStartError, match="start it once on its old port"):
            server.start()
        assert not server.is_alive()
        server.port = old
        server.start()
        with _as(server, APPEND) as client:
            client[DATABASE][schema.TILES].find_one({})
