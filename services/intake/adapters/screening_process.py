"""The process that looks at the stream for this one, and what goes to and fro between the two.

A request is one byte; the answer to a look is its length (four bytes, big-endian) and MessagePack.
One request is under way at a time. The end of the connection tells either side that the other is gone.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from services.intake.application.errors import ScreenerGoneError
from services.intake.domain.looks import Look
from services.intake.domain.screening import Hold, Release, Trait
from shared.kernel.reasons import QuarantineReason

LENGTH_BYTES: Final = 4


class Request(Enum):
    """What is asked for."""

    LOOK = b"l"
    LOOK_SETTLED = b"L"
    STOP = b"s"
    STOP_SETTLED = b"S"


class _Step(msgspec.Struct, array_like=True, gc=False):
    """A hold has all fields, a release no cause, and what somebody holds already only its id."""

    event_id: str
    sequence: int = -1
    received_ms: int = 0
    reason: QuarantineReason | None = None
    trait: Trait | None = None
    cluster: str = ""


class _Look(msgspec.Struct, array_like=True, gc=False):
    messages: int
    lag: int
    steps: list[_Step]
    ratings: dict[int, bytes]
    anew: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Look).decode


def encode_look(look: Look) -> bytes:
    """The answer to a look."""
    steps = [_Step(each) if isinstance(each, str) else _Step(*each) for each in look.steps]
    body = _encode(_Look(look.messages, look.lag, steps, dict(look.ratings), look.anew))
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_look(body: bytes) -> Look:
    """What `encode_look` gave, without its length."""
    said = _decode(body)
    return Look(said.messages, said.lag, [_read(each) for each in said.steps], said.ratings, said.anew)


def _read(step: _Step) -> Hold | Release | str:
    if step.sequence < 0:
        return step.event_id
    if step.reason is None or step.trait is None:
        return Release(step.event_id, step.sequence, step.received_ms)
    return Hold(step.event_id, step.sequence, step.received_ms, step.reason, step.trait, step.cluster)


class ScreeningProcess:
    """Plays `entrypoints.screening.Looks`."""

    def __init__(self, connection: socket.socket, join: Callable[[], None]) -> None:
        """Ask at `connection`; `join` waits until the process has ended, or ends it."""
        self._connection = connection
        self._join = join
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._under_way = False

    async def look(self, *, settled: bool) -> Look:
        """See `Looks.look`."""
        try:
            reader, writer = await self._open()
            self._under_way = True
            writer.write((Request.LOOK_SETTLED if settled else Request.LOOK).value)
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            look = decode_look(await reader.readexactly(length))
        except (EOFError, OSError) as error:
            await asyncio.to_thread(self._join)
            raise ScreenerGoneError(f"the process that screened has ended: {error!r}") from error
        self._under_way = False
        return look

    async def stop(self, *, settled: bool) -> None:
        """See `Looks.stop`; a look that was given up is none that was settled."""
        if self._streams is not None:
            _, writer = self._streams
            settled = settled and not self._under_way
            with contextlib.suppress(OSError):
                writer.write((Request.STOP_SETTLED if settled else Request.STOP).value)
                await writer.drain()
            writer.close()
        self._connection.close()
        await asyncio.to_thread(self._join)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self._connection)
        return self._streams
