"""The one-node replica set of an embedded mongod: is it a writable primary, and the steps until it is.

Apart from ``mongod`` because of pymongo, which takes 0.1 s of processor time to load: the server's process is
started first and gets ready meanwhile.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local.embedded.mongod import REPLICA_SET

Client = MongoClient[dict[str, Any]]


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


def advance(client: Client, me: str) -> bool:
    """Whether the server is a writable primary; takes the step towards it that its state needs.

    Args:
        client: a direct connection to the server.
        me: its ``host:port`` now, which may differ from when the data was last used.
    """
    try:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return True
        if not hello.get("secondary"):
            _configure(client, me)
    except PyMongoError:  # not listening yet, or between two states of the replica set: ask again
        return False
    return False


def _configure(client: Client, me: str) -> None:
    stored: Mapping[str, Any] | None = client["local"]["system.replset"].find_one()
    if stored is None:
        members = [{"_id": 0, "host": me}]
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
    elif stored["members"][0]["host"] != me:  # the data was last used on another port
        members = [{**stored["members"][0], "host": me}]
        changed = {**stored, "members": members, "version": stored["version"] + 1}
        client.admin.command("replSetReconfig", changed, force=True)
