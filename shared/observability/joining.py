"""Answers that leave in one piece.

uvicorn hands head and body of an answer to the transport one after the other, and uvloop sends each at once:
two packets, and two wake-ups of whoever waits for them. So a head waits for what follows it in the same turn
of the event loop. A streamed answer, whose body comes later, has its head sent at the end of the turn.
"""

import asyncio
from typing import Any, Final

JOINED_BYTES: Final = 64 * 1024
"""A larger body is not copied behind its head: it takes many packets anyhow."""
_HEAD: Final = b"HTTP/1.1 "
_END_OF_HEAD: Final = b"\r\n\r\n"


class JoiningTransport(asyncio.Transport):
    """The part of a transport that uvicorn uses; what looks like a head waits.

    A piece of a body that looks like one only leaves a little later: nothing overtakes anything.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Write to `transport`."""
        self._transport = transport
        self._loop = loop
        self._waiting = b""
        self._due = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` behind what waits, or let it wait if it is a head."""
        waiting = self._waiting
        if data[-4:] == _END_OF_HEAD and data[:9] == _HEAD:
            self._waiting = waiting + data
            if not self._due:
                self._due = True
                self._loop.call_soon(self._turn_ends)
        elif not waiting:
            self._transport.write(data)
        elif len(data) <= JOINED_BYTES:
            self._waiting = b""
            self._transport.write(waiting + data)
        else:
            self._send_waiting()
            self._transport.write(data)

    def _turn_ends(self) -> None:
        self._due = False
        self._send_waiting()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, b""
        if waiting and not self._transport.is_closing():
            self._transport.write(waiting)

    def close(self) -> None:
        """Send what waits, then close."""
        self._send_waiting()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take nothing from the client for a while."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on with it."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as in asyncio
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)
