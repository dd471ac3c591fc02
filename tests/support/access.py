"""Proofs for tests: secrets as one machine has them, and clients that prove who they are by them."""

import tempfile
from collections.abc import Callable, ItemsView, Iterator
from functools import cache
from pathlib import Path

from fastapi import FastAPI

from deploy.local.layout import AUTH
from deploy.local.secrets import ensure_secrets
from deploy.local.wallet import Wallet
from shared.auth.access import Access, protect
from shared.auth.settings import AccessSettings
from shared.auth.sources import Sources
from shared.observability.health import Health

HERE = ("http://intake", "http://scoring", "http://notify", "http://archive", "http://rectify")
"""Addresses of apps in the test's own process."""
_kept: list[tempfile.TemporaryDirectory[str]] = []


@cache
def secrets_directory() -> Path:
    """Keys and an issuer of this pytest process, gone with it."""
    _kept.append(tempfile.TemporaryDirectory(prefix="pingyi-access-"))
    directory = Path(_kept[0].name)
    ensure_secrets(directory, ())
    return directory


def auth_dir() -> Path:
    """What an app of a test checks credentials with: for the setting of this name."""
    return secrets_directory() / AUTH


@cache
def proofs(*addresses: str) -> Wallet:
    """For a client's ``auth``: the key of all channels where ratings are submitted, else an admin's token.

    At `addresses`; without any, those of `HERE`.
    """
    return Wallet(secrets_directory(), addresses or HERE)


class _Staff(dict[str, str]):
    """Headers with a token that is made whenever they are used: it lives for minutes, a module for longer."""

    def __init__(self, token: Callable[[], str | None]) -> None:
        super().__init__(Authorization="")
        self._token = token

    def __getitem__(self, name: str) -> str:
        return f"Bearer {self._token()}" if name == "Authorization" else super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:  # with one of our own, a copy asks `__getitem__`, too
        return super().__iter__()

    def items(self) -> ItemsView[str, str]:  # type: ignore[override]  # dict's own view is a class of its own
        return {name: self[name] for name in self}.items()


def as_staff(role: str, region: str, subject: str = "somebody") -> dict[str, str]:
    """Headers of somebody with this role there; good however long they are kept."""
    return _Staff(lambda: proofs().token(subject, role, region))


def as_channel(name: str) -> dict[str, str]:
    """Headers of a channel's own system."""
    return {"Authorization": f"Bearer {proofs().key(name)}"}


def access() -> Access:
    """What checks these proofs."""
    return Access(Sources(AccessSettings(auth_dir=auth_dir())))


def guard(app: FastAPI) -> FastAPI:
    """`app`, which is complete, behind these proofs: for apps that a test puts together itself."""
    if not hasattr(app.state, "health"):
        app.state.health = Health()
    return protect(app, access())
