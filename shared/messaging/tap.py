"""Taking messages of a subscription straight from the socket's bytes, for the hot readers.

nats-py turns each message into an object with a dictionary of headers, puts it into a queue and wakes a task
for it: three quarters of what a pull loop spends on a message. A tap is a plain function that is called from
the parser instead. The other subscriptions of the connection go the library's way.

Like :mod:`shared.messaging.wire`, this relies on private parts of nats-py: the client's ``_ps``, and the
state of its parser. The version is pinned, ``tests/unit`` cuts a stream of bytes at every place, and
``tests/integration/messaging`` reads from the real server.
"""

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

log = structlog.get_logger(__name__)

Receive = Callable[[bytes, bytes, bytes, bytes], None]
"""Gets subject, reply subject, header block (both empty where there is none) and payload. Must not block."""

_MESSAGE: Final = re.compile(rb"MSG\s+(\S+)\s+(\d+)\s+(?:(\S+)[^\S\r\n]+)?(\d+)\r\n")
_HEADED: Final = re.compile(rb"HMSG\s+(\S+)\s+(\d+)\s+(?:(\S+)[^\S\r\n]+)?(\d+)\s+(\d+)\r\n")
_HEADED_FIRST: Final = b"H"[0]
_LINE_END: Final = b"\r\n"
_STATUS: Final = re.compile(rb"NATS/1\.0 (\d{3})(?: ([^\r\n]*))?\r\n")


class TappedParser(Parser):
    """nats-py's parser, with an own way for messages; every other operation is left to it, line by line."""

    taps: dict[int, Receive]
    rest: bytes
    """What came of a message or line that is not complete yet."""
    era: int
    """Number of the connection that is read."""

    @classmethod
    def of(cls, client: Client) -> "TappedParser":
        """The parser of ``client``, which becomes one of these with all of its state."""
        parser: Any = client._ps  # noqa: SLF001 - see the module's docstring
        if not isinstance(parser, cls):
            # In place: its parse() may be under way, and what it has read so far must not be lost.
            parser.__class__ = cls
            parser.taps, parser.rest, parser.era = {}, b"", 0
        tapped: TappedParser = parser
        return tapped

    def reset(self) -> None:
        """Forget what came of an incomplete message: the connection is another one now."""
        super().reset()
        self.rest = b""
        self.era += 1

    async def parse(self, data: bytes = b"") -> None:
        """Take in what was read from the socket."""
        era = self.era
        data = await self._finish(data)
        if self.rest:
            data, self.rest = self.rest + data, b""
        at, end = 0, len(data)
        while at < end and era == self.era:  # a reset while somebody was awaited: another connection's bytes
            pattern = _HEADED if data[at] == _HEADED_FIRST else _MESSAGE
            found = pattern.match(data, at)
            if found is None:
                line_end = data.find(_LINE_END, at) + len(_LINE_END)
                if line_end < len(_LINE_END):
                    break  # the rest of the line is still to come
                await super().parse(data[at:line_end])
                at = line_end
                continue
            start, stop = found.end(), found.end() + int(found[found.lastindex or 0])
            if stop + len(_LINE_END) > end:
                break
            at = stop + len(_LINE_END)
            body = start + int(found[4]) if pattern is _HEADED else start
            await self._dispatch(found, data[start:body], data[body:stop])
        if era == self.era:
            self.rest = data[at:]

    async def _dispatch(self, found: re.Match[bytes], headers: bytes, payload: bytes) -> None:
        subject, sid, reply = found[1], int(found[2]), found[3] or b""
        receive = self.taps.get(sid)
        if receive is None:
            await self.nc._process_msg(sid, subject, reply, payload, headers)  # noqa: SLF001 - as above
            return
        stats = self.nc.stats
        stats["in_msgs"] += 1
        stats["in_bytes"] += len(payload)
        try:
            receive(subject, reply, headers, payload)
        except Exception:
            # Raised on, it would end the library's reading loop, and the connection would be deaf.
            log.exception("tap_failed", subject=subject.decode(errors="replace"))

    async def _finish(self, data: bytes) -> bytes:
        """Let nats-py's own parser end what it had begun before it became one of these; what it leaves."""
        if self.state != AWAITING_CONTROL_LINE:
            missing = self.needed + len(_LINE_END) - len(self.buf)
            await super().parse(data[:missing])
            return data[missing:]
        if self.buf:
            data = bytes(self.buf) + data
            self.buf.clear()
        return data


class Tap:
    """A subscription whose messages go to a function at once, in the order in which they come."""

    def __init__(self, parser: TappedParser, subscription: Subscription) -> None:
        """Made by :func:`tap`."""
        self._parser = parser
        self._subscription = subscription

    async def drain(self) -> None:
        """Unsubscribe; returns when everything that was on its way has been handed over."""
        with contextlib.suppress(NatsError, TimeoutError):
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py
        self._forget()

    async def close(self) -> None:
        """Unsubscribe; nothing is handed over any more."""
        self._forget()
        with contextlib.suppress(NatsError):
            await self._subscription.unsubscribe()

    def _forget(self) -> None:
        self._parser.taps.pop(self._subscription._id, None)  # noqa: SLF001 - the library's key of it


async def tap(client: Client, subject: str, receive: Receive) -> Tap:
    """Subscribe to ``subject``, a fresh inbox; every message goes to ``receive`` until the tap is closed.

    A subscription as any other for the library: it is made again after a reconnect.

    Raises:
        nats.errors.Error: the client is closed.
    """
    parser = TappedParser.of(client)
    subscription = await client.subscribe(subject, cb=_unused, pending_msgs_limit=-1, pending_bytes_limit=-1)
    parser.taps[subscription._id] = receive  # noqa: SLF001 - as above
    return Tap(parser, subscription)


async def _unused(_message: Msg) -> None:
    """The library wants a callback; nobody knows the inbox before it is tapped."""


def status_of(headers: bytes) -> tuple[str, str]:
    """Status and description in a header block, for example 408 and ``Request Timeout``; empty if none."""
    found = _STATUS.match(headers)
    if found is None:
        return "", ""
    return found[1].decode(), (found[2] or b"").decode(errors="replace").strip()
