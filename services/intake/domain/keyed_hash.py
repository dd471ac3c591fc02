"""HMAC-SHA-256 under a key that is set up once and then used for every rating."""

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash  # the stub's name of what sha256() gives

_BLOCK_BYTES: Final = 64


class KeyedHash:
    """HMAC-SHA-256 (RFC 2104); an object of `hmac` costs more than the two hashes that it is made of."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key` has at most 64 bytes."""
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner: _Hash = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer: _Hash = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, value: bytes) -> bytes:
        """The 32 bytes of `value`'s HMAC."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value)
        outer.update(inner.digest())
        return outer.digest()
