"""The one-node replica set of an embedded mongod: is it a writable primary, and the steps until it is.

Apart from ``mongod`` because of pymongo, which takes 0.1 s of processor time to load: the server's process is
started first and gets ready meanwhile.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.embedded.mongo_users import as_root, ensure_users, knows_root
from deploy.local.embedded.mongod import REPLICA_SET
from deploy.local.errors import ServerStartError
from shared.kernel.errors import describe

Client = MongoClient[dict[str, Any]]
USERS_S: Final = 5.0
CODE_ALREADY_INITIALIZED: Final = 23


def connect(url: str, timeout_s: float) -> Client:
    """A client that gives up each step after ``timeout_s``; use it as a context manager."""
    milliseconds = int(timeout_s * 1000)
    return MongoClient(
        url,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
    )


def is_primary(client: Client) -> bool:
    """Whether the server answers and is a writable primary."""
    try:
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    except PyMongoError:
        return False


def advance(client: Client, me: str, secrets: Path | None = None) -> bool:
    """Whether the server is a writable primary; takes the step towards it that its state needs.

    Args:
        client: a direct connection to the server.
        me: its ``host:port`` now, which may differ from when the data was last used.
        secrets: see ``MongoServer``; with it, a primary counts only once its users are there.

    Raises:
        ServerStartError: the data does not belong to these secrets.
    """
    try:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            if secrets is not None:
                ensure_users(client, _url(me), secrets, USERS_S)
            return True
        if not hello.get("secondary"):
            _configure_as_allowed(client, me, secrets)
    except PyMongoError:  # not listening yet, or between two states of the replica set: ask again
        return False
    return False


def _configure_as_allowed(client: Client, me: str, secrets: Path | None) -> None:
    """Without users anybody on this machine may make the set; with them root alone may change it."""
    if secrets is None:
        _configure(client, me)
        return
    with as_root(_url(me), secrets, USERS_S) as root:
        if knows_root(root):
            _configure(root, me)
            return
    try:
        _initiate(client, me)
    except OperationFailure as error:
        if error.code != CODE_ALREADY_INITIALIZED:
            raise
        raise ServerStartError(
            describe(
                f"data without users that was last used on another port than {me}",
                "the port that it was used on, for the start that makes the users",
                "start it once on its old port",
            )
        ) from error


def _url(me: str) -> str:
    return f"mongodb://{me}/?directConnection=true"


def _configure(client: Client, me: str) -> None:
    stored: Mapping[str, Any] | None = client["local"]["system.replset"].find_one()
    if stored is None:
        _initiate(client, me)
    elif stored["members"][0]["host"] != me:  # the data was last used on another port
        members = [{**stored["members"][0], "host": me}]
        changed = {**stored, "members": members, "version": stored["version"] + 1}
        client.admin.command("replSetReconfig", changed, force=True)


def _initiate(client: Client, me: str) -> None:
    members = [{"_id": 0, "host": me}]
    client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
