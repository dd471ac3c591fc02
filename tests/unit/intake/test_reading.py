import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from services.intake.entrypoints.reading import (
    BodyTooLargeError,
    ClientLeftError,
    SlowBodyError,
    WrongMediaTypeError,
    read_body,
    read_body_in_time,
    require_readable,
)

JSON = ("application/json",)
Read = Callable[[Callable[[], Awaitable[Message]], int, float, str], Awaitable[bytes]]
EITHER = pytest.mark.parametrize("read", [read_body, read_body_in_time])


def client(*messages: Message) -> Callable[[], Awaitable[Message]]:
    """A client that sends these messages and then nothing any more."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@EITHER
async def test_the_pieces_of_a_body_are_joined(read: Read) -> None:
    assert await read(client(piece(b"whole", more=False)), 10, 5, "") == b"whole"
    pieces = client(piece(b"one", more=True), piece(b"", more=True), piece(b"two", more=False))
    assert await read(pieces, 6, 5, "") == b"onetwo"


@EITHER
async def test_a_body_above_the_limit_is_refused_with_its_whole_size(read: Read) -> None:
    with pytest.raises(BodyTooLargeError, match="11 bytes"):
        await read(client(piece(b"x" * 11, more=False)), 10, 5, "")
    with pytest.raises(BodyTooLargeError, match="12 bytes"):
        await read(client(piece(b"x" * 6, more=True), piece(b"x" * 6, more=False)), 10, 5, "")


@EITHER
async def test_a_client_that_stops_in_the_middle_is_given_up(read: Read) -> None:
    with pytest.raises(SlowBodyError, match="3 bytes"):
        await read(client(piece(b"one", more=True)), 10, 0.05, "")


@EITHER
async def test_a_client_that_leaves_gets_no_rating_in(read: Read) -> None:
    with pytest.raises(ClientLeftError):
        await read(client(piece(b"{}", more=True), {"type": "http.disconnect"}), 10, 5, "")


async def test_a_client_that_sends_nothing_is_given_up_where_it_holds_up_others() -> None:
    with pytest.raises(SlowBodyError, match="0 bytes"):
        await read_body_in_time(client(), 10, 0.05, "")


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        (b"application/json", None),
        (b"application/json", b""),
        (b"application/json", b"Identity"),
        (b"Application/JSON;charset=UTF-8", None),
        (b'application/json; version=1; charset="utf8" ;', None),
    ],
)
def test_json_in_utf_8_as_it_is_can_be_read(kind: bytes, encoding: bytes | None) -> None:
    headers = {b"content-type": kind} | ({b"content-encoding": encoding} if encoding is not None else {})
    require_readable(headers, JSON)


@pytest.mark.parametrize(
    ("headers", "field", "value"),
    [
        ({}, "Content-Type", "nothing"),
        ({b"content-type": b"text/plain; name=13800138000"}, "Content-Type", "'text/plain'"),
        ({b"content-type": b"application/json; charset=gbk"}, "Content-Type", "charset gbk"),
        (
            {b"content-type": b"application/json", b"content-encoding": b"gzip"},
            "Content-Encoding",
            "'gzip'",
        ),
        (
            {b"content-type": b"application/json", b"content-encoding": b"identity, br"},
            "Content-Encoding",
            "a string of 12 characters",
        ),
        ({b"content-type": b"application/json;charset=\xff x"}, "Content-Type", "a charset of 3 characters"),
    ],
)
def test_what_can_not_be_read_is_named(headers: dict[bytes, bytes], field: str, value: str) -> None:
    with pytest.raises(WrongMediaTypeError) as caught:
        require_readable(headers, JSON)
    assert (caught.value.field, caught.value.value) == (field, value)
