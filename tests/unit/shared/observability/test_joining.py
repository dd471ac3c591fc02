"""Answers leave in one piece, in uvicorn's own protocol: what is written to the transport, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from shared.observability.heads import BoundedProtocol
from shared.observability.joining import JOINED_BYTES

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written; where it is `full`, it says so after each write.

    `late`: something was written after it was closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False
        self.full = False
        self.late = False
        self.protocol: BoundedProtocol | None = None
        self.heard = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.late = self.late or self.closed
        if data:
            self.pieces.append(bytes(data))
            self.heard.set()
        if self.full and self.protocol is not None:
            self.protocol.pause_writing()

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def protocol_of(app: ASGIApp) -> BoundedProtocol:
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    return BoundedProtocol(config, ServerState(), {})


def connected(app: ASGIApp) -> tuple[BoundedProtocol, Wire]:
    wire = Wire()
    wire.protocol = protocol = protocol_of(app)
    protocol.connection_made(wire)
    return protocol, wire


async def turns(count: int = 20) -> None:
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def answering(
    body: bytes = b"body", status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> ASGIApp:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})

    return app


async def pieces(app: ASGIApp, request: bytes = GET) -> list[bytes]:
    protocol, wire = connected(app)
    protocol.data_received(request)
    await turns()
    protocol.connection_lost(None)
    return wire.pieces


async def test_an_answer_leaves_in_one_piece() -> None:
    assert await pieces(answering()) == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"]


async def test_an_answer_without_a_body_leaves_too() -> None:
    empty = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
    assert await pieces(answering(b"", 202)) == [empty]
    head = GET.replace(b"GET", b"HEAD")
    assert await pieces(answering(), head) == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_by_its_status_leaves_too(status: int) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    (only,) = await pieces(app)
    assert only.startswith(b"HTTP/1.1 %d " % status)
    assert only.endswith(b"\r\n\r\n")


async def test_a_chunked_answer_that_is_there_at_once_leaves_in_one_piece_with_its_first_chunk() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    first, second = await pieces(app)
    assert first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert second == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_a_streamed_answer_has_its_head_sent_before_its_body_is_there() -> None:
    goes_on = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await send({"type": "http.response.body"})

    protocol, wire = connected(app)
    protocol.data_received(GET)
    await turns()
    (head,) = wire.pieces
    assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    goes_on.set()
    await turns()
    assert wire.pieces[1:] == [b"9\r\ndata: 1\n\n\r\n", b"0\r\n\r\n"]


async def test_the_answer_to_whoever_closes_is_sent_before_the_connection_closes() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for app, end in ((answering(), b"body"), (answering(b""), b"\r\n\r\n")):
        protocol, wire = connected(app)
        protocol.data_received(request)
        await turns()
        (only,) = wire.pieces
        assert b"connection: close\r\n" in only
        assert only.endswith(end)
        assert wire.closed


async def test_the_head_of_an_answer_that_breaks_off_is_sent_and_the_connection_closes() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise RuntimeError("broken")

    protocol, wire = connected(app)
    protocol.data_received(GET)
    await turns()
    assert wire.pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]
    assert wire.closed


async def test_what_an_app_raises_before_its_answer_is_answered_in_one_piece() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("broken")

    (only,) = await pieces(app)
    assert only.startswith(b"HTTP/1.1 500 ")
    assert only.endswith(b"Internal Server Error")


async def test_a_client_that_waits_to_be_told_to_go_on_is_told_so() -> None:
    came = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        came.set()
        await answering()(scope, receive, send)

    protocol, wire = connected(app)
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    await turns()
    assert wire.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    protocol.data_received(b"ab")
    await came.wait()


async def test_answers_to_requests_in_one_go_keep_their_order() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        body = scope["path"].encode()
        if body == b"/1":
            await turns(3)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    request = b"".join(GET.replace(b" / ", b" /%d " % number) for number in range(4))
    sent = await pieces(app, request)
    assert [piece[-2:] for piece in sent] == [b"/0", b"/1", b"/2", b"/3"]


async def test_a_large_body_follows_its_head_uncopied_and_waits_for_the_client() -> None:
    large = b"x" * (JOINED_BYTES + 1)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": large, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    protocol, wire = connected(app)
    wire.full = True
    protocol.data_received(GET)
    await turns()
    assert [len(piece) > JOINED_BYTES for piece in wire.pieces] == [False, True]
    wire.full = False
    protocol.resume_writing()
    await turns()
    assert wire.pieces[2:] == [b"3\r\nend\r\n0\r\n\r\n"]


async def test_a_client_that_has_gone_meanwhile_is_sent_nothing() -> None:
    """With uvloop, writing to a closed connection is an error."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        wire.closed = True

    protocol, wire = connected(app)
    protocol.data_received(GET)
    await turns()
    assert not wire.late


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_real_client_reads_a_head_before_the_body_is_there_and_then_the_body(
    run: Callable[[Awaitable[None]], Any],
) -> None:
    async def main() -> None:
        read = asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await read.wait()
            await send({"type": "http.response.body", "body": b"data: 1\n\n"})

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: protocol_of(app), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        read.set()
        assert await reader.read() == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
        writer.close()
        server.close()
        await server.wait_closed()

    run(main())
