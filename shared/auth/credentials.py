"""Keys of channel systems: what the file ``credentials.json`` holds, and checking a key against it.

A key is ``pk_<id>.<secret>``. The secret is 256 random bits, so SHA-256 is the right hash: there is nothing
to guess, and a slow hash would only slow the hot path. The file never holds a secret. For a credential that
signs its requests it holds a key derived from the secret, because whoever checks an HMAC has to be able to
make it: who has that file could sign, so it is kept like a secret. It does not tell the secret itself.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from shared.auth.principals import Duty, Principal, Role, Scope, Tier
from shared.kernel.clock import parse_rfc3339, rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel
from shared.kernel.scrubbing import scrub

VERSION: Final = 1
PREFIX: Final = "pk_"
SECRET_BYTES: Final = 32
ID_CHARACTERS: Final = 12
MOST_SECRETS: Final = 2
"""Live secrets of one credential: the present one, and during a rotation the one before."""

_ID: Final = re.compile(rf"[a-z2-7]{{{ID_CHARACTERS}}}", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNING: Final = b"pingyi request signing v1"


class Signing(StrEnum):
    """Whether requests are signed."""

    NEVER = "never"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a credential, as far as a verifier knows it.

    Attributes:
        digest: SHA-256 of the secret's text, 32 bytes.
        signing_key: see `signing_key_of`; None where the credential never signs.
        expires_at: no longer valid from then on; None: as long as the credential.
    """

    digest: bytes
    signing_key: bytes | None
    issued_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What one channel system, or one service, may come in with.

    Attributes:
        credential_id: the public part of its key.
        name: the system, as the audit trail shows it; never a person's name.
        duty: channel or service.
        valid_from: first moment in force.
        valid_to: first moment no longer in force.
        revoked_at: revoked for good since then.
        secrets: live ones, the newest first; at most `MOST_SECRETS`.
    """

    credential_id: str
    name: str
    duty: Duty
    channels: frozenset[Channel]
    scope: Scope
    signing: Signing
    valid_from: datetime
    valid_to: datetime | None
    revoked_at: datetime | None
    secrets: tuple[Secret, ...]

    def why_not(self, now: datetime) -> str | None:
        """Why it is not in force at `now`; None if it is."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return f"revoked on {self.revoked_at:%Y-%m-%d}"
        if now < self.valid_from:
            return f"not valid before {rfc3339(self.valid_from)}"
        if self.valid_to is not None and self.valid_to <= now:
            return f"expired at {rfc3339(self.valid_to)}"
        return None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A secret with who it stands for; moments as Unix seconds, so that checking them costs nothing."""

    credential: Credential
    principal: Principal
    secret: Secret
    starts_s: float
    ends_s: float


class KeyRing:
    """The credentials of one file, made for looking keys up; immutable."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        """Index `credentials`."""
        self.credentials: Mapping[str, Credential] = {each.credential_id: each for each in credentials}
        self._keys = {name: _keys_of(each) for name, each in self.credentials.items()}

    def find(self, key: bytes, now_s: float) -> KnownKey | None:
        """Whose key ``pk_<id>.<secret>`` is, if it is in force; about two microseconds.

        The comparison takes the same time wherever digests differ. That an id is unknown may be told by the
        time it takes: ids are no secrets.
        """
        credential_id, _, secret = key.partition(b".")
        known = self._keys.get(credential_id[len(PREFIX) :].decode("latin-1"))
        if known is None:
            return None
        digest = hashlib.sha256(secret).digest()
        found = None
        for each in known:
            if hmac.compare_digest(each.secret.digest, digest):
                found = each
        return found if found is not None and found.starts_s <= now_s < found.ends_s else None

    def of(self, credential_id: str, now_s: float) -> tuple[KnownKey, ...]:
        """The keys of a credential that are in force, the newest first."""
        return tuple(
            each for each in self._keys.get(credential_id, ()) if each.starts_s <= now_s < each.ends_s
        )


def _keys_of(credential: Credential) -> tuple[KnownKey, ...]:
    principal = Principal(
        credential.name,
        (Role(credential.duty),),
        credential.scope,
        credential.channels,
        credential.credential_id,
    )
    keys = []
    for secret in credential.secrets:
        ends = [
            each.timestamp()
            for each in (credential.valid_to, credential.revoked_at, secret.expires_at)
            if each is not None
        ]
        starts = max(credential.valid_from, secret.issued_at).timestamp()
        keys.append(KnownKey(credential, principal, secret, starts, min(ends, default=float("inf"))))
    return tuple(keys)


def new_id() -> str:
    """A fresh credential id: 60 random bits in lower-case base32."""
    return base64.b32encode(secrets.token_bytes(8)).decode("ascii").lower()[:ID_CHARACTERS]


def new_secret() -> str:
    """A fresh secret: 256 random bits in base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def key_text(credential_id: str, secret: str) -> str:
    """The key as its owner keeps it."""
    return f"{PREFIX}{credential_id}.{secret}"


def require_name(name: str) -> None:
    """Return if a credential may be called `name`, which goes into the audit trail for good.

    Raises:
        InvalidValueError: it may not; the message does not repeat it.
    """
    if _NAME.fullmatch(name) is None or scrub(name, mistyped=True) != name:
        raise InvalidValueError(
            f"a name of {len(name)} characters",
            "1 to 64 small letters, digits, dots, hyphens and underscores that are no person's number",
            "name the system, such as hotline-3607",
            field="name",
        )


def split_key(key: str) -> tuple[str, str]:
    """Id and secret of a key.

    Raises:
        InvalidValueError: it is no key; the message does not repeat it.
    """
    credential_id, dot, secret = key.removeprefix(PREFIX).partition(".")
    if not key.startswith(PREFIX) or _ID.fullmatch(credential_id) is None or not dot or not secret:
        raise InvalidValueError(
            f"{len(key)} characters", "a key, pk_<id>.<secret>", "copy it whole, as it was shown"
        )
    return credential_id, secret


def hashed(secret: str, *, signs: bool, issued_at: datetime, expires_at: datetime | None = None) -> Secret:
    """What a verifier keeps of `secret`."""
    digest = hashlib.sha256(secret.encode("ascii")).digest()
    return Secret(digest, signing_key_of(secret) if signs else None, issued_at, expires_at)


def signing_key_of(secret: str) -> bytes:
    """The key that requests are signed with: one-way from the secret, apart from its hash."""
    return hmac.digest(secret.encode("ascii"), _SIGNING, "sha256")


def parse_credentials(text: str) -> list[Credential]:
    """Read the content of a credentials file.

    Raises:
        InvalidValueError: it is none, or contradicts itself; the message quotes nothing of it but ids.
    """
    try:
        document = json.loads(text)
        rows = document["credentials"] if document["version"] == VERSION else None
    except (ValueError, KeyError, TypeError) as error:
        raise _malformed("something else") from error
    if not isinstance(rows, list):
        raise _malformed("another version")
    found: dict[str, Credential] = {}
    for row in rows:
        try:
            credential = _credential(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _malformed(f"the credential at place {len(found)} ({error})") from error
        if credential.credential_id in found:
            raise _malformed(f"{credential.credential_id} twice")
        found[credential.credential_id] = credential
    return list(found.values())


def _malformed(what: str) -> InvalidValueError:
    return InvalidValueError(
        what,
        f"a credentials file of version {VERSION}",
        "restore it from its backup; change it with `pingyi credential` only",
        field="credentials.json",
    )


def _credential(row: Mapping[str, Any]) -> Credential:
    duty = Duty(row["role"])
    channels = frozenset(Channel(each) for each in row["channels"])
    live = tuple(_secret(each) for each in row["secrets"])
    scope = Scope.parse(row["region"])
    signing = Signing(row["signing"])
    wrong = (
        _ID.fullmatch(row["id"]) is None
        or _NAME.fullmatch(row["name"]) is None
        or duty not in {Duty.CHANNEL, Duty.SERVICE}
        or (duty is Duty.SERVICE and (bool(channels) or scope.tier is not Tier.PROVINCE))
        or (duty is Duty.CHANNEL and not channels)
        or len(live) > MOST_SECRETS
        or (signing is not Signing.NEVER and any(each.signing_key is None for each in live))
    )
    if wrong:
        raise InvalidValueError(str(row["id"])[:ID_CHARACTERS], "a complete credential", "issue it anew")
    return Credential(
        row["id"],
        row["name"],
        duty,
        channels,
        scope,
        signing,
        parse_rfc3339(row["valid_from"]),
        _moment(row["valid_to"]),
        _moment(row["revoked_at"]),
        live,
    )


def _secret(row: Mapping[str, Any]) -> Secret:
    signing = row["signing_key"]
    for text in (row["sha256"], signing):
        if text is not None and _HEX.fullmatch(text) is None:
            raise InvalidValueError("a hash", "64 hexadecimal digits", "issue the credential anew")
    return Secret(
        bytes.fromhex(row["sha256"]),
        None if signing is None else bytes.fromhex(signing),
        parse_rfc3339(row["issued_at"]),
        _moment(row["expires_at"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)


def render_credentials(credentials: Iterable[Credential]) -> str:
    """The file's content; `parse_credentials` gives the same back."""
    rows = [
        {
            "id": each.credential_id,
            "name": each.name,
            "role": each.duty.value,
            "channels": sorted(each.channels),
            "region": each.scope.code,
            "signing": each.signing.value,
            "valid_from": rfc3339(each.valid_from),
            "valid_to": _text(each.valid_to),
            "revoked_at": _text(each.revoked_at),
            "secrets": [
                {
                    "sha256": secret.digest.hex(),
                    "signing_key": None if secret.signing_key is None else secret.signing_key.hex(),
                    "issued_at": rfc3339(secret.issued_at),
                    "expires_at": _text(secret.expires_at),
                }
                for secret in each.secrets
            ],
        }
        for each in credentials
    ]
    return json.dumps({"version": VERSION, "credentials": rows}, indent=2) + "\n"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
