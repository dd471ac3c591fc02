"""The keys of the log and of its witnesses, out of their files."""

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


def load_witness_keys(path: Path) -> tuple[VerifierKey, ...]:
    """The verifier keys of witnesses in ``path``, one a line; none if the file isn't there.

    Raises:
        InvalidValueError: one is malformed, or not a witness's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    keys = tuple(VerifierKey.parse(line) for line in lines if line.strip())
    for key in keys:
        if key.algorithm is not Algorithm.COSIGNATURE_V1:
            raise InvalidValueError(
                key.text, "keys of witnesses, which sign cosignature/v1", "take what `pingyi witness` prints"
            )
    return keys
