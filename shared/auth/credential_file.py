"""Issuing, rotating and revoking keys in a credentials file; services take a changed file up by themselves.

One writer at a time (a lock beside the file), and the file is replaced in one step: a crash leaves the old
one or the new one, and no service ever reads half of it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from shared.auth.credentials import (
    Credential,
    Signing,
    hashed,
    key_text,
    new_id,
    new_secret,
    parse_credentials,
    render_credentials,
    require_name,
    split_key,
)
from shared.auth.principals import Duty, Scope
from shared.kernel.errors import ConflictError, NotFoundError, describe
from shared.kernel.grades import Channel

CREDENTIALS_FILE: Final = "credentials.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What a credential shall be; see :class:`Credential`."""

    name: str
    duty: Duty
    channels: frozenset[Channel]
    scope: Scope
    signing: Signing = Signing.NEVER
    valid_to: datetime | None = None


class CredentialFile:
    """One credentials file; it need not be there before the first key is issued."""

    def __init__(self, path: Path) -> None:
        """Work on the file at `path`."""
        self._path = path

    def read(self) -> list[Credential]:
        """What it holds; empty while it is not there.

        Raises:
            InvalidValueError: it is no credentials file.
            OSError: it can't be read.
        """
        try:
            return parse_credentials(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []

    def issue(self, order: Order, now: datetime, key: str | None = None) -> tuple[Credential, str]:
        """Add a credential; the key is told here and never again.

        Args:
            order: what it shall be.
            now: it is valid from then on.
            key: a key that was made before, for whoever has to know it before the file does.

        Raises:
            InvalidValueError: there is no such credential, by its name or otherwise; nothing was written.
            ConflictError: the key's id is taken.
        """
        require_name(order.name)
        credential_id, secret = split_key(key) if key is not None else (new_id(), new_secret())
        credential = Credential(
            credential_id,
            order.name,
            order.duty,
            order.channels,
            order.scope,
            order.signing,
            now,
            order.valid_to,
            None,
            (hashed(secret, signs=order.signing is not Signing.NEVER, issued_at=now),),
        )
        with self._changing() as held:
            if credential_id in held:
                raise ConflictError(describe(credential_id, "an id that is free", "issue it without an id"))
            held[credential_id] = credential
        return credential, key_text(credential_id, secret)

    def rotate(self, credential_id: str, overlap: timedelta, now: datetime) -> tuple[Credential, str]:
        """Give a credential a new secret; the one before stays valid for `overlap`, older ones end now.

        Raises:
            NotFoundError: no such credential.
            ConflictError: it is revoked.
        """
        secret = new_secret()
        with self._changing() as held:
            old = _existing(held, credential_id)
            if old.revoked_at is not None:
                raise ConflictError(
                    describe(f"{credential_id}, revoked", "a live credential", "issue another")
                )
            ends = now + overlap
            before = [
                replace(each, expires_at=min(each.expires_at or ends, ends)) for each in old.secrets[:1]
            ]
            fresh = hashed(secret, signs=old.signing is not Signing.NEVER, issued_at=now)
            held[credential_id] = replace(old, secrets=(fresh, *before))
            return held[credential_id], key_text(credential_id, secret)

    def revoke(self, credential_id: str, now: datetime) -> Credential:
        """End a credential for good; again changes nothing.

        Raises:
            NotFoundError: no such credential.
        """
        with self._changing() as held:
            old = _existing(held, credential_id)
            held[credential_id] = replace(old, revoked_at=old.revoked_at or now)
            return held[credential_id]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Credential]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = {each.credential_id: each for each in self.read()}
            yield held
            text = render_credentials(held.values())
            parse_credentials(text)  # one row that can't be read, and services refuse the whole file
            self._replace(text)
        finally:
            os.close(lock)

    def _replace(self, text: str) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _existing(held: dict[str, Credential], credential_id: str) -> Credential:
    found = held.get(credential_id)
    if found is None:
        raise NotFoundError(
            credential_id, "the id of a credential", "see `pingyi credential list`", field="id"
        )
    return found
