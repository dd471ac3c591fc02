"""Who may do what in an embedded mongod: the users and roles of containers (deploy/mongo/01-roles.js).

A test holds the two beside each other. Like :mod:`.replica_set` apart from ``mongod`` because of pymongo.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from deploy.local.embedded.mongod_secrets import APPEND, BOOTSTRAP, DATABASE, ROOT, password
from deploy.local.errors import ServerStartError
from shared.kernel.errors import describe

Client = MongoClient[dict[str, Any]]
CODE_AUTHENTICATION_FAILED: Final = 18
CODE_UNAUTHORIZED: Final = 13
CODE_ROLE_EXISTS: Final = 51002
MECHANISM: Final = "SCRAM-SHA-256"

_ANY: Final = {"db": DATABASE, "collection": ""}
ROLES: Final[Mapping[str, list[str]]] = {
    "archiveAppend": ["insert", "find"],
    "archiveBootstrap": [
        "createCollection",
        "collMod",
        "createIndex",
        "listCollections",
        "listIndexes",
        "find",
    ],
}
"""Actions on every collection of the archive's database, by role."""
ROLE_OF: Final[Mapping[str, str]] = {APPEND: "archiveAppend", BOOTSTRAP: "archiveBootstrap"}


def as_root(url: str, secrets: Path, timeout_s: float) -> Client:
    """A client of the user who may do anything; nothing connects before it is used."""
    return MongoClient(
        url,
        username=ROOT,
        password=password(secrets, ROOT),
        authSource="admin",
        authMechanism=MECHANISM,
        serverSelectionTimeoutMS=int(timeout_s * 1000),
    )


def knows_root(client: Client) -> bool:
    """Whether the server lets root in: False before anybody was made."""
    try:
        client.admin.command("connectionStatus")
    except OperationFailure as error:
        if error.code == CODE_AUTHENTICATION_FAILED:
            return False
        raise
    return True


def ensure_users(anonymous: Client, url: str, secrets: Path, timeout_s: float) -> None:
    """Make root, the two roles and their users, with the passwords in ``secrets``; idempotent.

    Args:
        anonymous: a connection from this machine without a user, which may make the first one.
        url: address of the primary.
        secrets: directory of the passwords.
        timeout_s: how long to look for the server.

    Raises:
        ServerStartError: the data knows root by another password.
    """
    with as_root(url, secrets, timeout_s) as root:
        known = knows_root(root)
    if not known:
        _make_root(anonymous, secrets)
    with as_root(
        url, secrets, timeout_s
    ) as root:  # anew: one that was turned away waits before it asks again
        database = root[DATABASE]
        there = {each["user"] for each in database.command("usersInfo")["users"]}
        for user in ROLE_OF.keys() - there:
            _make_user(database, user, password(secrets, user))


def _make_user(database: Database[dict[str, Any]], user: str, secret: str) -> None:
    role = ROLE_OF[user]
    privileges = [{"resource": _ANY, "actions": ROLES[role]}]
    try:
        database.command("createRole", role, privileges=privileges, roles=[])
    except OperationFailure as error:
        if error.code != CODE_ROLE_EXISTS:  # it does if a start was interrupted
            raise
    database.command("createUser", user, pwd=secret, roles=[role], mechanisms=[MECHANISM])


def _make_root(anonymous: Client, secrets: Path) -> None:
    try:
        anonymous.admin.command(
            "createUser", ROOT, pwd=password(secrets, ROOT), roles=["root"], mechanisms=[MECHANISM]
        )
    except OperationFailure as error:
        if error.code != CODE_UNAUTHORIZED:
            raise
        raise ServerStartError(
            describe(
                f"a database that knows {ROOT} by another password",
                f"the one in {secrets}",
                "restore the secrets that belong to the data, `pingyi audit restore --only secrets`",
            )
        ) from error
