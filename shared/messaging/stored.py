"""A message as a stream holds it and the broker delivers it."""

from typing import Final

import msgspec

NANO: Final = 1_000_000_000


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of a stream as the broker delivered it.

    A struct of msgspec's, since one is made for every message of the platform: a frozen dataclass takes five
    times as long.

    Attributes:
        pending: messages of the stream still to come for this consumer; 0 means caught up.
        delivered: how often it was delivered, from 1.
        reply: where to acknowledge it.
    """

    subject: str
    data: bytes
    stream: str
    sequence: int
    consumer_sequence: int
    delivered: int
    pending: int
    published_ns: int
    reply: str

    @classmethod
    def of(cls, subject: bytes, reply: bytes, data: bytes) -> "StoredMessage":
        """Read the broker's metadata out of the ``$JS.ACK`` reply: 9 tokens, 12 with a domain."""
        address = reply.decode()
        tokens = address.split(".")
        if len(tokens) > 9:  # noqa: PLR2004 - domain and account hash come after '$JS.ACK'
            tokens = tokens[:2] + tokens[4:]
        return cls(
            subject.decode(),
            data,
            tokens[2],
            int(tokens[5]),
            int(tokens[6]),
            int(tokens[4]),
            int(tokens[8]),
            int(tokens[7]),
            address,
        )
