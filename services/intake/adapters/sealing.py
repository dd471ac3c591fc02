"""Sealing texts and contacts with AES-256-GCM, each text under a key of its own (ADR 0007).

The event carries nonce and ciphertext, the vault record the text's key and the contact, both encrypted under
the key-encryption key (KEK) of the installation. So the streams alone open nothing, the vault alone opens
nothing, and destroying one vault record erases one text for good.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.application.ports import SealedRecord
from services.intake.domain.submission import Contact
from shared.auth.secrets import SecretKey
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

    def __init__(self, kek: SecretKey, random: Callable[[int], bytes]) -> None:
        """`random` gives cryptographic randomness; tests inject another source."""
        self._kek_id = kek.key_id
        self._kek = AESGCM(kek.secret)
        self._random = random

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
        payload = _encode(
            _Record(
                v=1,
                record=record_id,
                kek=self._kek_id,
                nonce=_base64(record_nonce),
                sealed=_base64(
                    self._kek.encrypt(record_nonce, content, _record_context(record_id, self._kek_id))
                ),
            )
        )
        return SealedRecord(record_id, payload, _base64(text_nonce), ciphertext, has_contact=bool(parts))

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
            opened = self._kek.decrypt(
                base64.b64decode(record.nonce),
                base64.b64decode(record.sealed),
                _record_context(record_id, record.kek),
            )
            return _decode_content(opened)
        except (InvalidTag, msgspec.MsgspecError, ValueError, binascii.Error) as error:
            raise _changed(record_id) from error


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
    return base64.b64encode(data).decode("ascii")
