"""Protocol lines of NATS, built here and written together.

One write for a hundred messages is several times as fast as a hundred ``publish`` calls, which the hot paths
feel: group commit and the acknowledgements of the pull loops. nats-py has no public way to it, so this
module uses its private ``_send_command`` and ``_flush_pending``, as :mod:`shared.messaging.tap` does for
reading. The version is pinned, and ``tests/integration/messaging`` runs every path on the real server.
"""

from collections.abc import Iterable

from nats.aio.client import Client

from shared.kernel.errors import describe
from shared.messaging.publisher import BrokerUnavailableError


def pub(subject: str, payload: bytes) -> bytes:
    """The line of a message without headers."""
    return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)


def hpub(subject: str, headers: bytes, payload: bytes, *, reply_to: str = "") -> bytes:
    """The line of a message with ``headers``, a complete block from ``NATS/1.0`` to the empty line."""
    reply = reply_to.encode() + b" " if reply_to else b""
    total = len(headers) + len(payload)
    return b"HPUB %b %b%d %d\r\n%b%b\r\n" % (subject.encode(), reply, len(headers), total, headers, payload)


async def write(client: Client, lines: Iterable[bytes]) -> None:
    """Send ``lines`` in one write.

    Raises:
        BrokerUnavailableError: there is no connection; nothing was sent, nor will it be after a reconnect.
    """
    if not client.is_connected:
        raise BrokerUnavailableError(
            describe("the broker connection", "to be up", "retry; it reconnects by itself")
        )
    await client._send_command(b"".join(lines))  # noqa: SLF001 - see the module's docstring
    await client._flush_pending()  # noqa: SLF001 - see the module's docstring
