"""Sealing texts and contacts with AES-256-GCM, each text under a key of its own (ADR 0007).

The event carries nonce and ciphertext, the vault record the text's key and the contact, both encrypted under
the key-encryption key (KEK) of the installation. So the streams alone open nothing, the vault alone opens
nothing, and destroying one vault record erases one text for good. Several KEKs may be live: the newest seals,
each opens what is its own, until every record was wrapped again under the newest (ADR 0032).
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.application.ports import SealedRecord
from services.intake.domain.submission import Contact
from shared.auth.secrets import SecretKey
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import PermanentError, describe

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
RECORD_BYTES: Final = 16


class UnsealError(PermanentError):
    """A record can't be opened: another key, another event, or changed bytes."""


class SealedTextParts(Protocol):
    """What of an event's sealed text is needed to open it: `shared.events.SealedText` has it."""

    @property
    def record(self) -> str:
        """Name of the vault record."""
        ...

    @property
    def nonce(self) -> str:
        """Base64."""
        ...

    @property
    def ciphertext(self) -> str:
        """Base64, with the tag."""
        ...


class _Content(msgspec.Struct, omit_defaults=True):
    """What only the KEK opens."""

    event_id: str
    text_key: str | None = None
    contact: dict[str, str] | None = None
    made_ms: int | None = None


class _Record(msgspec.Struct):
    """The body of a vault record."""

    v: int
    record: str
    kek: str
    nonce: str
    sealed: str


_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_content = msgspec.json.Decoder(_Content).decode


class AesGcmSealer:
    """Seals and opens; the KEK's random 96-bit nonces are safe for 2**32 records (NIST SP 800-38D)."""

    def __init__(
        self, kek: SecretKey, random: Callable[[int], bytes], *, earlier: Iterable[SecretKey] = ()
    ) -> None:
        """Seal under `kek`, open what was sealed under any of `earlier` too.

        `random` gives cryptographic randomness; tests inject another source.
        """
        self._kek_id = kek.key_id
        self._kek = AESGCM(kek.secret)
        self._keks = {each.key_id: AESGCM(each.secret) for each in (kek, *earlier)}
        self._random = random

    @property
    def newest(self) -> str:
        """Id of the key-encryption key that new records are sealed under."""
        return self._kek_id

    def seal(self, event_id: str, text: str | None, contact: Contact | None) -> SealedRecord:
        """See `ports.Sealer.seal`.

        The record's name and the event's id are authenticated with the text: a text moved into another
        event doesn't open there.
        """
        noise = self._random(RECORD_BYTES + KEY_BYTES + 2 * NONCE_BYTES)
        record_id = noise[:RECORD_BYTES].hex()
        key = noise[RECORD_BYTES : RECORD_BYTES + KEY_BYTES]
        text_nonce, record_nonce = noise[-2 * NONCE_BYTES : -NONCE_BYTES], noise[-NONCE_BYTES:]
        ciphertext = None
        if text is not None:
            ciphertext = _base64(
                AESGCM(key).encrypt(text_nonce, text.encode(), _text_context(record_id, event_id))
            )
        parts = contact.given() if contact is not None else {}
        content = _encode(_Content(event_id, _base64(key) if text is not None else None, parts or None))
        payload = self._wrapped(record_id, content, record_nonce)
        return SealedRecord(record_id, payload, _base64(text_nonce), ciphertext, has_contact=bool(parts))

    def _wrapped(self, record_id: str, content: bytes, nonce: bytes) -> bytes:
        """The body of a record, sealed under the newest key-encryption key."""
        sealed = self._kek.encrypt(nonce, content, _record_context(record_id, self._kek_id))
        return _encode(
            _Record(v=1, record=record_id, kek=self._kek_id, nonce=_base64(nonce), sealed=_base64(sealed))
        )

    def rewrap(self, record_id: str, payload: bytes, stored_ms: int) -> bytes | None:
        """The same record under the newest key-encryption key; None if it is under that already.

        Text and contact stay as they are; only what encrypts their keys changes. `stored_ms`, when the
        broker stored the record, is kept with it: wrapped again, it looks new to the broker.

        Raises:
            UnsealError: none of the live keys opens it, or something was changed.
        """
        if key_of_record(payload) == self._kek_id:
            return None
        content = self._open(record_id, payload)
        if content.made_ms is None:
            content.made_ms = stored_ms
        return self._wrapped(record_id, _encode(content), self._random(NONCE_BYTES))

    def owner(self, record_id: str, payload: bytes, stored_ms: int) -> tuple[str, int]:
        """Event id of the rating that a record was made for, and when it was made, Unix milliseconds.

        Raises:
            UnsealError: none of the live keys opens it, or something was changed.
        """
        content = self._open(record_id, payload)
        return content.event_id, stored_ms if content.made_ms is None else content.made_ms

    def take_keys(self, other: "AesGcmSealer") -> None:
        """Go on with the keys of `other`: the key file has changed."""
        # In one step: a record is sealed under the old keys or the new ones.
        self._kek_id, self._kek, self._keks = other._kek_id, other._kek, other._keks  # noqa: SLF001 - same class

    def open_text(self, event_id: str, text: SealedTextParts, payload: bytes) -> str:
        """The scrubbed text of an event, given the body of its vault record.

        Raises:
            UnsealError: the record belongs to another event or key, or something was changed.
        """
        content = self._open(text.record, payload)
        if content.text_key is None:
            raise UnsealError(
                describe(f"record {text.record} without a key", "a text's record", "check the event")
            )
        try:
            return (
                AESGCM(base64.b64decode(content.text_key))
                .decrypt(
                    base64.b64decode(text.nonce),
                    base64.b64decode(text.ciphertext),
                    _text_context(text.record, event_id),
                )
                .decode()
            )
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _changed(text.record) from error

    def open_contact(self, event_id: str, record_id: str, payload: bytes) -> Contact | None:
        """The contact in a vault record, None if it holds only a text's key.

        Raises:
            UnsealError: the record belongs to another event or key, or something was changed.
        """
        content = self._open(record_id, payload)
        if content.event_id != event_id:
            raise _changed(record_id)
        return Contact(**content.contact) if content.contact else None

    def _open(self, record_id: str, payload: bytes) -> _Content:
        try:
            record = _decode_record(payload)
            kek = self._keks.get(record.kek)
            if kek is None:
                raise _key_missing(record_id, record.kek)
            opened = kek.decrypt(
                base64.b64decode(record.nonce),
                base64.b64decode(record.sealed),
                _record_context(record_id, record.kek),
            )
            return _decode_content(opened)
        except (InvalidTag, *UNREADABLE, ValueError, binascii.Error) as error:
            raise _changed(record_id) from error


def key_of_record(payload: bytes) -> str | None:
    """Id of the key-encryption key of a record, which is no secret; None if it is no record."""
    try:
        return _decode_record(payload).kek
    except UNREADABLE:
        return None


def _key_missing(record_id: str, kek_id: str) -> UnsealError:
    return UnsealError(
        describe(
            f"record {record_id} under the key {kek_id}",
            "one that is in the file vault.key",
            "add the key's line from a backup of the keys",
        )
    )


def _changed(record_id: str) -> UnsealError:
    return UnsealError(
        describe(
            f"record {record_id}",
            "one that this installation's key sealed for this event",
            "check that SECRETS_DIR holds the vault.key of that time",
        )
    )


def _text_context(record_id: str, event_id: str) -> bytes:
    return f"pingyi/text/v1/{record_id}/{event_id}".encode()


def _record_context(record_id: str, kek_id: str) -> bytes:
    return f"pingyi/vault/v1/{record_id}/{kek_id}".encode()


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
