"""One-time tokens: the right to rate one unit once, as text that fits into a QR code.

A token says everything itself and is stored nowhere: version, key, 128 random bits, expiry, the unit, perhaps
the pseudonym of the service transaction, and a MAC over all of it. That it is used up needs no register
either: the id of the rating's event is derived from its random bits, and of two events with one id the first
in the stream stands.

::

    version 1 | key 4 | random 16 | expiry 4 (Unix seconds) | n 1 | key id of the pseudonym n
      | pseudonym 16, if n > 0 | unit, UTF-8 | MAC 16      all as base64url without padding
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.intake.domain.keyed_hash import KeyedHash

NONCE_BYTES: Final = 16
MAX_TEXT: Final = 256
"""No token is longer; more is refused unread."""

_VERSION: Final = b"\x01"
_TAG: Final = 4
_MAC: Final = 16
_PSEUDONYM: Final = 16
_HEAD: Final = len(_VERSION) + _TAG + NONCE_BYTES + 4 + 1
_PURPOSE: Final = b"pingyi/token/v1"


@dataclass(frozen=True, slots=True)
class Token:
    """What a genuine token says.

    Attributes:
        nonce: 128 random bits, which make it one of its kind.
        expires_at: the first moment at which it is no longer taken; whole seconds.
        transaction: pseudonym of the service transaction (``<key id>.<32 hex digits>``); None if it is bound
            to the unit alone.
    """

    unit_id: str
    nonce: bytes = field(repr=False)
    expires_at: datetime
    transaction: str | None = None

    @property
    def use(self) -> str:
        """What its one use is known by."""
        return self.nonce.hex()


class TokenMint:
    """Writes tokens under the key in force, and reads those of former keys too."""

    def __init__(self, key: bytes, former: Iterable[bytes] = ()) -> None:
        """Sign under `key`, 32 bytes."""
        keys = (key, *former)
        self._tag = _tag(key)
        self._hashes = {_tag(each): KeyedHash(hmac.digest(each, _PURPOSE, "sha256")) for each in keys}

    def issue(self, token: Token) -> str:
        """The text of `token`."""
        key_id, _, pseudonym = (token.transaction or "").rpartition(".")
        seconds = int(token.expires_at.timestamp())
        body = b"".join(
            (
                _VERSION,
                self._tag,
                token.nonce,
                seconds.to_bytes(4, "big"),
                bytes((len(key_id),)),
                key_id.encode("ascii"),
                bytes.fromhex(pseudonym),
                token.unit_id.encode(),
            )
        )
        mac = self._hashes[self._tag].digest(body)[:_MAC]
        return base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode("ascii")

    def read(self, text: str) -> Token | None:
        """What `text` says, None if it is none of ours: altered, invented or garbled, it takes as long.

        Whether it has expired is for the caller.
        """
        raw = _decoded(text)
        body, mac = raw[:-_MAC], raw[-_MAC:]
        known = self._hashes.get(body[1 : 1 + _TAG])
        expected = (known or self._hashes[self._tag]).digest(body)[:_MAC]
        genuine = hmac.compare_digest(expected, mac)
        if not genuine or known is None or body[:1] != _VERSION:
            return None
        return _parsed(body)


def _tag(key: bytes) -> bytes:
    return hashlib.sha256(_PURPOSE + key).digest()[:_TAG]


def _decoded(text: str) -> bytes:
    """The bytes of `text`; zeros, which no key signs, where it can't be a token."""
    try:
        given = text.strip().encode("ascii") if len(text) <= MAX_TEXT else b""
        raw = base64.b64decode(given + b"=" * (-len(given) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    return raw if len(raw) > _HEAD + _MAC else bytes(_HEAD + 1 + _MAC)


def _parsed(body: bytes) -> Token:
    nonce_at = len(_VERSION) + _TAG
    seconds = int.from_bytes(body[nonce_at + NONCE_BYTES : _HEAD - 1], "big")
    unit_at = _HEAD
    transaction = None
    if length := body[_HEAD - 1]:
        unit_at += length + _PSEUDONYM
        key_id = body[_HEAD : _HEAD + length].decode("ascii")
        transaction = f"{key_id}.{body[_HEAD + length : unit_at].hex()}"
    return Token(
        unit_id=body[unit_at:].decode(),
        nonce=body[nonce_at : nonce_at + NONCE_BYTES],
        expires_at=datetime.fromtimestamp(seconds, UTC),
        transaction=transaction,
    )
