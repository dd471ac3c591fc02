"""Passwords and key file of an embedded mongod: made once, readable by their owner only.

Without pymongo, so that whoever only needs an address does not load it.
"""

import os
import secrets as random_secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote

DATABASE: Final = "pingyi"
ROOT: Final = "root"
APPEND: Final = "archive"
BOOTSTRAP: Final = "bootstrap"
USERS: Final = (ROOT, APPEND, BOOTSTRAP)
KEY_FILE: Final = "key"
"""What members of a replica set know each other by; mongod demands it as soon as there are users."""

PASSWORD_BYTES: Final = 24
KEY_BYTES: Final = 96


def ensure_mongo_secrets(directory: Path) -> None:
    """Make every file that is missing in ``directory``; existing ones are left untouched."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (KEY_FILE, *(_password_file(user) for user in USERS)):
        # Hexadecimal digits need no quoting anywhere, and a key file takes them.
        text = random_secrets.token_hex(KEY_BYTES if name == KEY_FILE else PASSWORD_BYTES)
        path, temporary = directory / name, directory / f".{name}.new"
        if path.exists():
            continue
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)


def password(directory: Path, user: str) -> str:
    """The password of one of ``USERS``."""
    return (directory / _password_file(user)).read_text(encoding="ascii").strip()


def url_as(url: str, directory: Path, user: str) -> str:
    """``url`` of the server with the credentials of ``archive`` or ``bootstrap``.

    Without credentials if there is no password file: somebody else's server, or none was ever started.
    """
    if not (directory / _password_file(user)).is_file():
        return url
    scheme, _, rest = url.partition("://")
    address, _, options = rest.partition("/?")
    return f"{scheme}://{user}:{quote(password(directory, user))}@{address}/?authSource={DATABASE}&{options}"


def _password_file(user: str) -> str:
    return f"{user}-password"
