"""Signed requests: an HMAC over method, address, time, nonce and body, so that a key never travels.

::

    Authorization: PINGYI-HMAC-SHA256 id=<credential id>,ts=<Unix seconds>,
                   nonce=<16 to 64 of A-Z a-z 0-9 - _>,
                   sha256=<SHA-256 of the body, hex>,sig=<HMAC, hex>

What is signed: the scheme, the method, path and query as sent, and the header's values but the last, each on
a line of its own. The key is `credentials.signing_key_of` the secret.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from shared.auth.credentials import signing_key_of, split_key

SCHEME: Final = "PINGYI-HMAC-SHA256"
TOLERANCE_S: Final = 300
"""How far a signature's time may be off, either way. A nonce is remembered for twice that."""

_HEADER: Final = re.compile(
    r"id=(?P<id>[a-z2-7]{12}),ts=(?P<ts>[0-9]{1,12}),nonce=(?P<nonce>[A-Za-z0-9_-]{16,64}),"
    r"sha256=(?P<sha256>[0-9a-f]{64}),sig=(?P<sig>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signed request says of itself; nothing is proved yet."""

    credential_id: str
    timestamp: int
    nonce: str
    body_sha256: str
    code: str

    def is_by(self, signing_key: bytes, method: str, address: str) -> bool:
        """Whether `signing_key` signed exactly this; in constant time."""
        expected = _code(signing_key, method, address, self.timestamp, self.nonce, self.body_sha256)
        return hmac.compare_digest(expected, self.code)


def parse_signature(parameters: str) -> Signature | None:
    """Read what follows the scheme in the header; None if it is malformed."""
    found = _HEADER.fullmatch(parameters.replace(" ", ""))
    if found is None:
        return None
    return Signature(found["id"], int(found["ts"]), found["nonce"], found["sha256"], found["sig"])


def sign(key: str, method: str, address: str, body: bytes, timestamp: int) -> str:
    """The header's value for a request; `address` is the path with its query, as it is sent.

    Raises:
        InvalidValueError: `key` is none.
    """
    credential_id, secret = split_key(key)
    nonce, digest = secrets.token_urlsafe(16), hashlib.sha256(body).hexdigest()
    code = _code(signing_key_of(secret), method, address, timestamp, nonce, digest)
    return f"{SCHEME} id={credential_id},ts={timestamp},nonce={nonce},sha256={digest},sig={code}"


def _code(key: bytes, method: str, address: str, timestamp: int, nonce: str, digest: str) -> str:
    text = "\n".join((SCHEME, method, address, str(timestamp), nonce, digest))
    return hmac.new(key, text.encode("latin-1", "replace"), "sha256").hexdigest()
