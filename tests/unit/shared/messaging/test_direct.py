"""Answers to direct reads that are none; what real servers answer is under ``tests/integration``."""

from typing import cast

import pytest
from nats.aio.client import Client

from shared.messaging.direct import DirectReads, ReadRefusedError

WHOLE = b"NATS/1.0\r\nNats-Subject: a.b\r\nNats-Sequence: 7\r\n\r\n"
END = b"NATS/1.0 204 EOB\r\n\r\n"


class Broker:
    """Answers each request with these blocks of headers."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.reads = DirectReads(cast("Client", self), "inbox")

    async def publish(self, _subject: str, _body: bytes, *, reply: str) -> None:
        assert reply == "inbox"
        for headers in self.answers:
            self.reads.receive(b"inbox", b"", headers, b"body")


@pytest.mark.parametrize("broken", [b"NATS/1.0\r\nNats-Subject: a.b\r\n\r\n", b"NATS/1.0\r\n\r\n", b""])
async def test_a_message_without_its_place_is_an_error_and_no_hole(broken: bytes) -> None:
    with pytest.raises(ReadRefusedError, match="without its place"):
        await Broker(WHOLE, broken, WHOLE, END).reads.batch("S", 1, 10, timeout_s=5)


async def test_what_comes_behind_the_end_is_nobodys() -> None:
    found = await Broker(WHOLE, END, WHOLE).reads.batch("S", 1, 10, timeout_s=5)
    assert [(each.subject, each.sequence, each.data) for each in found] == [("a.b", 7, b"body")]
