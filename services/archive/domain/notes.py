"""Signed checkpoints: what the log says about itself, as text that any C2SP tool reads. No clock, no file.

A checkpoint (C2SP tlog-checkpoint) is three lines: origin, size, root hash in base64. A note (C2SP
signed-note) is such a text, a blank line, and signature lines ``— <key name> <base64 of key hash and
signature>``. The first byte of a key says by which algorithm it signs, so that SM2 can follow beside
Ed25519. Witnesses add lines of their own (C2SP tlog-cosignature, ``cosignature/v1``), which also say when
they looked.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.archive.domain.merkle import HASH_BYTES
from shared.kernel.errors import InvalidValueError

MARK: Final = "— "
"""How each signature line begins: an em dash and a blank."""
KEY_HASH_BYTES: Final = 4
MAX_NOTE_CHARACTERS: Final = 1_000_000
MAX_SIGNATURES: Final = 100
_KEY_BYTES: Final = 32
_TIME_BYTES: Final = 8
_SECRET_PREFIX: Final = "PRIVATE+KEY+"  # noqa: S105 - opens nothing; every such key begins so
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Algorithm(IntEnum):
    """First byte of a key: how it signs."""

    ED25519 = 0x01
    """Ed25519 over the note's text; what a log signs with."""
    COSIGNATURE_V1 = 0x04
    """Ed25519 over a time and the note's text; what a witness signs with."""


class NoteError(InvalidValueError):
    """A note is malformed, or a signature in it is not what it claims to be."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its name, how many leaves it has, the root of the tree over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, body: str) -> "Checkpoint":
        """Read the text of a note; lines after the third are extensions and left alone.

        Raises:
            NoteError: not a checkpoint.
        """
        lines = body.split("\n")
        if len(lines) < 4 or lines[-1] or not lines[0]:  # noqa: PLR2004 - three lines, each ended by \n
            raise NoteError(
                body, "three lines: origin, size, root hash in base64", "take the file as the log served it"
            )
        if not _SIZE.fullmatch(lines[1]):
            raise NoteError(
                lines[1], "a size in decimal digits without leading zeros", "take another checkpoint"
            )
        return cls(lines[0], int(lines[1]), _bytes_of(lines[2], HASH_BYTES, "root hash"))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a key; the name has no blanks and plus signs."""

    name: str
    algorithm: Algorithm
    public: bytes

    @property
    def key_hash(self) -> bytes:
        """Four bytes by which a signature line says which key made it."""
        return sha256(f"{self.name}\n".encode() + bytes([self.algorithm]) + self.public).digest()[
            :KEY_HASH_BYTES
        ]

    @property
    def text(self) -> str:
        """``<name>+<key hash in hex>+<base64 of algorithm and key>``: how a key is handed on."""
        return f"{self.name}+{self.key_hash.hex()}+{_base64(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read :attr:`text`.

        Raises:
            NoteError: malformed, an unknown algorithm, or a hash that is not the key's.
        """
        name, stated, algorithm, raw = _key_parts(text.strip(), "verifier key")
        key = cls(name, algorithm, raw)
        if key.key_hash.hex() != stated:
            raise NoteError(text, f"the key hash {key.key_hash.hex()}", "copy the key again, in full")
        return key

    def verifies(self, body: str, signature: bytes) -> bool:
        """Whether ``signature`` (without the key hash) is this key's over ``body``."""
        message = body.encode()
        if self.algorithm is Algorithm.COSIGNATURE_V1:
            if len(signature) <= _TIME_BYTES:
                return False
            message = _cosigned(message, int.from_bytes(signature[:_TIME_BYTES]))
            signature = signature[_TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret half of a key; its representation does not show it."""

    name: str
    algorithm: Algorithm
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str, algorithm: Algorithm = Algorithm.ED25519) -> "SigningKey":
        """A new key from the system's randomness.

        Raises:
            NoteError: ``name`` is empty or has blanks or plus signs.
        """
        return cls(_checked_name(name), algorithm, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Read :attr:`text`.

        Raises:
            NoteError: malformed; the message does not repeat the secret.
        """
        if not text.startswith(_SECRET_PREFIX):
            raise NoteError(
                f"a key file of {len(text)} characters",
                f"one line {_SECRET_PREFIX}…",
                "give the signing key's file",
            )
        try:
            name, stated, algorithm, raw = _key_parts(
                text.strip().removeprefix(_SECRET_PREFIX), "signing key"
            )
        except NoteError:
            raise NoteError(
                f"a key file of {len(text)} characters",
                f"{_SECRET_PREFIX}<name>+<hash>+<base64>",
                "restore the file from its backup, or make a new key",
            ) from None
        key = cls(name, algorithm, raw)
        if key.verifier.key_hash.hex() != stated:
            raise NoteError(
                stated, f"the key hash {key.verifier.key_hash.hex()}", "restore the file from its backup"
            )
        return key

    @property
    def text(self) -> str:
        """``PRIVATE+KEY+<name>+<key hash>+<base64>``: secret, for a file of mode 0600."""
        keyed = _base64(bytes([self.algorithm]) + self.secret)
        return f"{_SECRET_PREFIX}{self.name}+{self.verifier.key_hash.hex()}+{keyed}"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.algorithm, public)

    def sign(self, body: str, at: datetime) -> "Signature":
        """Sign ``body``; ``at`` (aware) goes into a cosignature, in seconds; a log's key ignores it."""
        private, message, prefix = Ed25519PrivateKey.from_private_bytes(self.secret), body.encode(), b""
        if self.algorithm is Algorithm.COSIGNATURE_V1:
            seconds = int(at.timestamp())
            message, prefix = _cosigned(message, seconds), seconds.to_bytes(_TIME_BYTES)
        return Signature(self.name, self.verifier.key_hash, prefix + private.sign(message))


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note, taken apart; a cosignature's ``signature`` begins with its time."""

    name: str
    key_hash: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, with its end."""
        return f"{MARK}{self.name} {_base64(self.key_hash + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> "Signature":
        """Read :attr:`line`; its end may be missing.

        Raises:
            NoteError: not a signature line.
        """
        name, blank, encoded = line.removesuffix("\n").removeprefix(MARK).partition(" ")
        if not line.startswith(MARK) or not blank:
            raise NoteError(line, f"'{MARK}<key name> <base64>'", "take the note as the log served it")
        raw = _bytes_of(encoded, None, "signature")
        if len(raw) <= KEY_HASH_BYTES:
            raise NoteError(line, "a key hash and a signature", "take the note as the log served it")
        return cls(_checked_name(name), raw[:KEY_HASH_BYTES], raw[KEY_HASH_BYTES:])

    def is_from(self, key: VerifierKey) -> bool:
        """Whether name and key hash say that ``key`` made it; says nothing about its validity."""
        return (self.name, self.key_hash) == (key.name, key.key_hash)

    def cosigned_at(self) -> datetime:
        """When the witness signed; only for a signature of a witness's key."""
        return datetime.fromtimestamp(int.from_bytes(self.signature[:_TIME_BYTES]), UTC)


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signature lines. ``str`` gives the note as it is stored and sent."""

    body: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.body}\n{''.join(signature.line for signature in self.signatures)}"

    @classmethod
    def parse(cls, text: str) -> "Note":
        """Take a note apart; no signature is checked.

        Raises:
            NoteError: not a signed note.
        """
        body, blank, tail = text.rpartition("\n\n")
        if len(text) > MAX_NOTE_CHARACTERS or not blank or not tail.endswith("\n") or _CONTROL.search(text):
            raise NoteError(
                text, "a text, a blank line and signature lines", "take the note as the log served it"
            )
        lines = tail.removesuffix("\n").split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise NoteError(
                len(lines), f"at most {MAX_SIGNATURES} signatures", "take the note as the log served it"
            )
        return cls(f"{body}\n", tuple(Signature.parse(line) for line in lines))

    def adding(self, signature: Signature) -> "Note":
        """The same note with one more line at the end."""
        return Note(self.body, (*self.signatures, signature))


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint whose signatures were checked; ``signers``: the keys with a valid line, in its order."""

    checkpoint: Checkpoint
    note: Note
    signers: tuple[VerifierKey, ...]

    def signed_by(self, key: VerifierKey) -> bool:
        """Whether ``key`` is among the signers."""
        return key in self.signers


def sign(checkpoint: Checkpoint, key: SigningKey, at: datetime) -> Note:
    """The note of ``checkpoint`` with one signature line."""
    body = checkpoint.body()
    return Note(body, (key.sign(body, at),))


def open_note(text: str, keys: Iterable[VerifierKey], origin: str | None = None) -> Opened:
    """Read a signed checkpoint and check every signature that one of ``keys`` is said to have made.

    Lines of other keys are ignored: whoever does not know a witness need not care.

    Args:
        text: the note.
        keys: which keys are trusted; at least one of the log's own kind must have signed.
        origin: the log that the checkpoint must be of; None for any.

    Raises:
        NoteError: malformed; a line of a trusted key does not verify; no trusted log key signed; another log.
    """
    note, trusted = Note.parse(text), tuple(keys)
    checkpoint = Checkpoint.parse(note.body)
    signers = _signers(note, trusted)
    if not any(key.algorithm is Algorithm.ED25519 for key in signers):
        found = ", ".join(f"{line.name}+{line.key_hash.hex()}" for line in note.signatures)
        wanted = " or ".join(f"{key.name}+{key.key_hash.hex()}" for key in trusted) or "a key that you trust"
        raise NoteError(
            f"signatures by {found}", f"one by {wanted}", "check the key, or distrust this checkpoint"
        )
    if origin is not None and checkpoint.origin != origin:
        raise NoteError(checkpoint.origin, f"the log {origin}", "take this log's checkpoint")
    return Opened(checkpoint, note, signers)


def _signers(note: Note, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    signers: list[VerifierKey] = []
    for signature in note.signatures:
        for key in keys:
            if signature.is_from(key):
                if not key.verifies(note.body, signature.signature):
                    raise NoteError(
                        f"a signature by {key.name}+{key.key_hash.hex()}",
                        "one that verifies",
                        "distrust this checkpoint: its text or its signature was changed",
                    )
                if key not in signers:
                    signers.append(key)
    return tuple(signers)


def _cosigned(body: bytes, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + body


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NoteError(
            name, "a key name without blanks and plus signs", "name it like pingyi.archive/360000"
        )
    return name


def _key_parts(text: str, what: str) -> tuple[str, str, Algorithm, bytes]:
    parts = text.split("+", 2)
    expected = f"a {what} <name>+<8 hex digits>+<base64>"
    if len(parts) != 3:  # noqa: PLR2004 - name, hash, key
        raise NoteError(text, expected, "copy the key again, in full")
    raw = _bytes_of(parts[2], 1 + _KEY_BYTES, what)
    try:
        algorithm = Algorithm(raw[0])
    except ValueError:
        known = ", ".join(f"{known.value} ({known.name})" for known in Algorithm)
        raise NoteError(raw[0], f"an algorithm of {known}", "use a version that knows this key's") from None
    return _checked_name(parts[0]), parts[1], algorithm, raw[1:]


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


def _bytes_of(text: str, length: int | None, what: str) -> bytes:
    """Decode strictly: the one encoding of these bytes and nothing else."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError(text, f"a {what} in base64", "copy it again, in full") from None
    if (length is not None and len(raw) != length) or _base64(raw) != text:
        raise NoteError(text, f"a {what} of {length or 'some'} bytes in base64", "copy it again, in full")
    return raw
