"""Reading one HTTP answer from a stream, no more of it than is wanted. The parser is httptools."""

import asyncio
from dataclasses import dataclass
from typing import Final

import httptools

MAX_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer; the rest is left unread and the connection closed. Heads are no longer."""
_FINAL: Final = 200
"""Lower ones announce the answer itself (RFC 9110, 15.2)."""


class BadAnswerError(Exception):
    """What came is no answer, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` holds at most `MAX_ANSWER_BYTES`."""

    status: int
    body: bytes
    retry_after: str | None = None


class _Reading:
    """What the parser tells, by the names that it calls."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.status = 0
        self.retry_after: str | None = None
        self.sized = False
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"retry-after" and self.retry_after is None:
            self.retry_after = value.decode("latin-1")
        self.sized = self.sized or lower in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.status >= _FINAL:
            self.complete = True
        else:
            self.status, self.retry_after, self.sized = 0, None, False

    @property
    def enough(self) -> bool:
        return self.complete or len(self.body) >= MAX_ANSWER_BYTES


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read an answer, as far as it is wanted.

    Raises:
        BadAnswerError: it is none, or ends too early.
        OSError: the connection broke.
    """
    reading, head_bytes = _Reading(), 0
    while not reading.enough:
        data = await reader.read(MAX_ANSWER_BYTES)
        if not data:
            if reading.status >= _FINAL and not reading.sized:
                break  # its end is the connection's
            raise BadAnswerError("it ended too early")
        try:
            reading.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not reading.complete:
                raise BadAnswerError(type(error).__name__) from error
            break  # what follows an answer is nothing to us
        head_bytes += 0 if reading.status else len(data)
        if head_bytes > MAX_ANSWER_BYTES:
            raise BadAnswerError("its head is too long")
    return Answer(reading.status, bytes(reading.body[:MAX_ANSWER_BYTES]), reading.retry_after)
