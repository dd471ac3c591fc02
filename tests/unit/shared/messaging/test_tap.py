"""The tapped parser: whatever pieces the bytes come in, each message arrives whole, once and in order."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from shared.messaging.tap import TappedParser, status_of

TAPPED, OTHER = 7, 3
HEADERS = b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"
BARE = b"NATS/1.0\r\n\r\n"
STATUS = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n"


def msg(sid: int, payload: bytes, reply: bytes = b"") -> bytes:
    return b"MSG a.b %d %b%d\r\n%b\r\n" % (sid, reply + b" " if reply else b"", len(payload), payload)


def hmsg(sid: int, headers: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
    return b"HMSG a.b %d %b%b\r\n%b%b\r\n" % (sid, reply + b" " if reply else b"", sizes, headers, payload)


STREAM = (
    msg(TAPPED, b"one", b"$JS.ACK.1")
    + b"PING\r\n"
    + hmsg(TAPPED, HEADERS, b"two\r\nMSG a.b 7 1\r\n", b"$JS.ACK.2")
    + hmsg(OTHER, HEADERS, b"three")
    + b"+OK\r\n"
    + hmsg(TAPPED, STATUS, b"")
    + msg(OTHER, b"", b"reply")
    + b"-ERR 'Permissions Violation'\r\n"
    + msg(TAPPED, b"")
    + b"PONG\r\n"
)
TAPPED_MESSAGES = [
    (b"a.b", b"$JS.ACK.1", b"", b"one"),
    (b"a.b", b"$JS.ACK.2", HEADERS, b"two\r\nMSG a.b 7 1\r\n"),
    (b"a.b", b"", STATUS, b""),
    (b"a.b", b"", b"", b""),
]
OTHER_EVENTS = [
    "ping",
    (OTHER, b"a.b", b"", b"three", HEADERS),
    (OTHER, b"a.b", b"reply", b"", b""),
    "'permissions violation'",
    "pong",
]


class FakeClient:
    """What the parser calls of a client."""

    def __init__(self) -> None:
        self._ps = self.parser = Parser(self)
        self.stats = {"in_msgs": 0, "in_bytes": 0}
        self.events: list[object] = []
        self.meanwhile: Callable[[], None] | None = None

    async def _process_msg(self, sid: int, *parts: bytes) -> None:
        self.events.append((sid, *parts))
        if self.meanwhile is not None:
            self.meanwhile()

    async def _process_ping(self) -> None:
        self.events.append("ping")

    async def _process_pong(self) -> None:
        self.events.append("pong")

    async def _process_err(self, error: str) -> None:
        self.events.append(error)


class Tapped:
    """A fake client with one tapped subscription."""

    def __init__(self, client: FakeClient | None = None) -> None:
        self.client = client or FakeClient()
        self.got: list[tuple[bytes, ...]] = []
        self.parser = TappedParser.of(cast("Client", self.client))
        self.parser.taps[TAPPED] = self.receive

    def receive(self, *parts: bytes) -> None:
        self.got.append(parts)


async def test_every_message_arrives_once_wherever_the_bytes_are_cut() -> None:
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1, 29):
            tapped = Tapped()
            for piece in (STREAM[:first], STREAM[first:second], STREAM[second:]):
                await tapped.parser.parse(piece)
            assert tapped.got == TAPPED_MESSAGES, (first, second)
            assert tapped.client.events == OTHER_EVENTS, (first, second)


async def test_bytes_that_come_one_by_one_give_the_same() -> None:
    tapped = Tapped()
    for byte in STREAM * 2:
        await tapped.parser.parse(bytes([byte]))
    assert tapped.got == TAPPED_MESSAGES * 2
    assert tapped.client.events == OTHER_EVENTS * 2
    assert tapped.client.stats == {"in_msgs": 8, "in_bytes": 2 * sum(len(m[3]) for m in TAPPED_MESSAGES)}


@pytest.mark.parametrize("begun", [b"MSG a.b 3 5\r\nab", b"PI", b"HMSG a.b 3 12 14\r\nNATS"])
async def test_what_the_librarys_parser_had_begun_is_not_lost(begun: bytes) -> None:
    whole = {
        b"M": (b"MSG a.b 3 5\r\nabcde\r\n", (OTHER, b"a.b", b"", b"abcde", None)),
        b"P": (b"PING\r\n", "ping"),
        b"H": (
            b"HMSG a.b 3 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            (OTHER, b"a.b", b"", b"hi", b"NATS/1.0\r\n\r\n"),
        ),
    }
    stream, expected = whole[begun[:1]]
    client = FakeClient()
    await client.parser.parse(begun)
    tapped = Tapped(client)
    for piece in (stream[len(begun) : -1], stream[-1:] + STREAM):
        await tapped.parser.parse(piece)
    assert client.events == [expected, *OTHER_EVENTS]
    assert tapped.got == TAPPED_MESSAGES


async def test_a_tap_that_raises_ends_neither_the_reading_nor_the_other_messages() -> None:
    tapped = Tapped()

    def fail(*_parts: bytes) -> None:
        raise ValueError("no such number")

    tapped.parser.taps[TAPPED] = fail
    await tapped.parser.parse(STREAM)
    assert tapped.client.events == OTHER_EVENTS


async def test_another_connection_begins_with_nothing_left_of_the_one_before() -> None:
    tapped = Tapped()
    await tapped.parser.parse(STREAM[:20])
    tapped.parser.reset()
    await tapped.parser.parse(STREAM)
    assert tapped.got == TAPPED_MESSAGES


async def test_nothing_of_a_connection_is_kept_that_ends_while_a_message_is_handled() -> None:
    tapped = Tapped()

    tapped.client.meanwhile = tapped.parser.reset
    await tapped.parser.parse(msg(OTHER, b"last") + STREAM + STREAM[:20])
    tapped.client.meanwhile = None
    await tapped.parser.parse(STREAM)
    assert tapped.got == TAPPED_MESSAGES
    assert tapped.client.events[1:] == OTHER_EVENTS


async def test_what_is_no_protocol_ends_the_connection_as_with_the_library_alone() -> None:
    with pytest.raises(ProtocolError):
        await Tapped().parser.parse(b"HELLO\r\n")


async def test_a_client_is_changed_once_and_keeps_its_taps() -> None:
    tapped = Tapped()
    again: Any = TappedParser.of(cast("Client", tapped.client))
    assert again is tapped.parser
    assert TAPPED in again.taps


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (STATUS, ("408", "Request Timeout")),
        (b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", ("100", "Idle Heartbeat")),
        (b"NATS/1.0 503\r\n\r\n", ("503", "")),
        (HEADERS, ("", "")),
        (b"", ("", "")),
    ],
)
def test_a_status_is_read_from_the_first_line(headers: bytes, expected: tuple[str, str]) -> None:
    assert status_of(headers) == expected
