"""What a receiver may answer, byte by byte or not at all: over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.notify.adapters.answer_parser import MAX_ANSWER_BYTES, Answer
from services.notify.adapters.outbound import Outbound, OutboundError, Resolver, tls_context
from services.notify.domain.reach import Reach
from shared.kernel.errors import InvalidValueError

pytestmark = pytest.mark.integration
CRLF = b"\r\n"


@asynccontextmanager
async def saying(answer: bytes, *, piece: int | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A receiver that reads a request, gives this answer and hangs up: its URL, and what it read."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(2 * CRLF)
        length = int(head.lower().split(b"content-length: ")[1].split(CRLF)[0])
        asked.append(head + await reader.readexactly(length))
        for start in range(0, len(answer), piece or len(answer) or 1):
            writer.write(answer[start : start + (piece or len(answer))])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=1&b=%20", asked


async def post(url: str, headers: dict[str, str] | None = None) -> Answer:
    sender = Outbound(Resolver(Reach(loopback=True)), tls_context(), timeout_s=30.0)
    return await sender.post(url, "警".encode(), headers or {"webhook-id": "x"})


@pytest.mark.parametrize("piece", [1, None])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b"")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}more", Answer(200, b"{}")),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            Answer(200, b"{}"),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Answer(200, b"until the end")),
        (
            b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
            Answer(410, b""),
        ),
        (
            b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n",
            Answer(429, b"", "7"),
        ),
    ],
    ids=["no body", "sized", "chunked", "until the end", "after an early hint", "with a pause"],
)  # fmt: skip
async def test_answers_are_read_however_they_are_framed(
    answer: bytes, expected: Answer, piece: int | None
) -> None:
    async with saying(answer, piece=piece) as (url, _):
        assert await post(url) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsh",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (2 * MAX_ANSWER_BYTES),
    ],
    ids=["nothing", "no http", "too short", "a broken chunk", "another protocol", "an endless head"],
)
async def test_what_is_no_whole_answer_is_tried_again(answer: bytes) -> None:
    async with saying(answer) as (url, _):
        with pytest.raises(OutboundError):
            await post(url)


async def test_no_more_of_a_long_answer_is_read_than_is_wanted() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (4 * MAX_ANSWER_BYTES)
    async with saying(answer) as (url, _):
        assert len((await post(url)).body) == MAX_ANSWER_BYTES


async def test_the_request_is_whole_and_has_each_header_once() -> None:
    async with saying(b"HTTP/1.1 204 No Content\r\n\r\n") as (url, asked):
        await post(url, {"webhook-id": "x", "content-type": "application/json"})
    (request,) = asked
    head, _, body = request.partition(2 * CRLF)
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /hook?a=1&b=%20 HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    assert headers["host"] == url.split("/")[2]
    assert headers["connection"] == "close"
    assert headers["content-length"] == "3"
    assert body == "警".encode()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\x00", "é"])
async def test_a_header_that_could_start_another_is_never_sent(value: str) -> None:
    async with saying(b"HTTP/1.1 204 No Content\r\n\r\n") as (url, asked):
        with pytest.raises(InvalidValueError):
            await post(url, {"x-gateway": value})
    assert not asked
