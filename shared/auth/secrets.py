"""Keys that services read from ``SECRETS_DIR``: one file for each key, one line of text.

A line is ``<hex>`` or ``<key id>:<hex>``. Without an id of its own a key is named by the head of its own
SHA-256, so that two machines with the same file agree on the name and a changed file shows.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.kernel.errors import InvalidValueError, PermanentError, describe

KEY_BYTES: Final = 32
HMAC_FILE: Final = "hmac.key"
VAULT_FILE: Final = "vault.key"
CASES_FILE: Final = "cases.key"
RECEIPT_FILE: Final = "receipt.key"
ISSUER_FILE: Final = "issuer.key"
"""Seed of the key of a machine's own issuer of staff's tokens, see `shared.auth.issuer`."""
JWKS_FILE: Final = "jwks.json"
"""Public keys of whoever issues staff's tokens."""

_DERIVED_ID_LENGTH = 8
_KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", re.ASCII)


class SecretMissingError(PermanentError):
    """A key file isn't there or can't be read; the service can't start without it."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One symmetric key; `secret` never shows in a representation, hence never in a log.

    Attributes:
        key_id: names the key in what was made with it, so that keys can be rotated.
        secret: `KEY_BYTES` bytes.
    """

    key_id: str
    secret: bytes = field(repr=False)


def parse_key(text: str, origin: str) -> SecretKey:
    """Parse the content of a key file; `origin` names the file in errors, which never quote the content.

    Raises:
        InvalidValueError: other than 32 bytes in hex, or a malformed key id.
    """
    key_id, separator, digits = text.strip().rpartition(":")
    if _HEX.fullmatch(digits) is None or (separator and _KEY_ID.fullmatch(key_id) is None):
        raise InvalidValueError(
            f"{len(text.strip())} characters in {origin}",
            f"'<hex>' or '<key id>:<hex>' with {KEY_BYTES} bytes as hexadecimal digits",
            f"restore {origin} from its backup; do not make a new key while data of the old one exists",
            field=origin,
        )
    secret = bytes.fromhex(digits)
    return SecretKey(key_id or hashlib.sha256(secret).hexdigest()[:_DERIVED_ID_LENGTH], secret)


def load_key(path: Path) -> SecretKey:
    """Read one key file.

    Raises:
        SecretMissingError: the file isn't there or can't be read.
        InvalidValueError: see `parse_key`.
    """
    return parse_key(read_key_file(path), path.name)


def read_key_file(path: Path) -> str:
    """The text of a key file, whatever its form.

    Raises:
        SecretMissingError: the file isn't there or can't be read.
        InvalidValueError: it is no ASCII text.
    """
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise SecretMissingError(
            describe(
                str(path), "a readable key file", f"set SECRETS_DIR or mount the secret ({error.strerror})"
            )
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            str(path), "a key file of ASCII text", "restore it from its backup", field=path.name
        ) from error
