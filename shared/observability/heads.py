"""Connections whose request lines and headers are bounded in size and time.

httptools knows no bound: a client that goes on sending headers, or one header without an end, takes as much
memory as it likes, and one that stops in the middle keeps its connection for ever. What stands before and
behind a body (trailers, extensions of chunks) counts likewise.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shared.observability.joining import JoiningTransport
from shared.observability.problem import MEDIA_TYPE, Problem, urn

MOST_BYTES: Final = 64 * 1024
"""Bytes in one go that bring neither a head to its end nor a body forward."""
MOST_S: float = 30.0
"""Seconds from a connection, or the beginning of a later request, to the end of the head."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with both bounds; a request whose head comes in one piece arms no timer."""

    _pending = 0
    _in_head = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first head."""
        super().connection_made(JoiningTransport(transport, self.loop))
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and refuse to take more of what leads nowhere."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MOST_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"Got {self._pending} bytes of headers, expected at most {MOST_BYTES}: send less of them.",
            )
        elif self._in_head and self._timer is None:
            self._arm()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The end of a head."""
        self._in_head, self._pending = False, 0
        self._disarm()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body: whoever reads it has bounds of their own."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._pending = 0
        super().on_message_complete()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(MOST_S, self._late)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _late(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"Got a part of the headers, expected all within {MOST_S:g} s: send them at once.",
            )
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        if self.transport.is_closing():
            return
        answering: RequestResponseCycle | None = self.cycle
        if answering is None or answering.response_complete:  # else the one under way would be torn
            body = Problem(urn("rejected"), status.phrase, status.value, detail, "/").encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
