import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from services.intake.entrypoints.reading import (
    BodyTooLargeError,
    ClientLeftError,
    SlowBodyError,
    read_body,
    read_body_in_time,
)

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
