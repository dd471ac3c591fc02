"""The key that signs checkpoints, out of its file."""

from pathlib import Path

from services.archive.domain.notes import Algorithm, SigningKey, VerifierKey
from shared.auth.secrets import SecretMissingError
from shared.kernel.errors import InvalidValueError, describe


def load_signing_key(path: Path, origin: str) -> SigningKey:
    """The signing key in ``path``, which must be one of the log ``origin``.

    Raises:
        SecretMissingError: the file isn't there or can't be read.
        InvalidValueError: no signing key, or one of another log; the message does not repeat it.
    """
    try:
        key = SigningKey.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissingError(
            describe(
                str(path),
                "a readable file with the archive's signing key",
                f"set ARCHIVE_SIGNING_KEY or mount the secret ({error})",
            )
        ) from error
    if key.name != origin or key.algorithm is not Algorithm.ED25519:
        raise InvalidValueError(
            f"a key of {key.name}", f"an Ed25519 key named {origin}", "set ARCHIVE_ORIGIN or mount its key"
        )
    return key


def parse_retired_keys(text: str) -> tuple[VerifierKey, ...]:
    """The verifier keys in ``text``, comma-separated; empty for none.

    Raises:
        InvalidValueError: one is malformed.
    """
    return tuple(VerifierKey.parse(each) for each in text.split(",") if each.strip())
