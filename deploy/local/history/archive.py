"""Reading the archive through its HTTP API, page by page."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import msgspec

from deploy.local import api
from deploy.local.errors import LocalError
from deploy.local.history.ndjson import PastMessage
from shared.kernel.errors import describe
from shared.messaging.streams import FEEDBACK

PAGE: Final = 500
MESSAGES: Final = 1_000
TIMEOUT_S: Final = 120.0
_NOTHING: Final = b"null"
"""In place of a message that could not be parsed: scoring left it out, but its sequence counts as seen."""
_NEWLINES: Final = bytes.maketrans(b"\r\n", b"  ")


class Entry(msgspec.Struct, gc=False):
    """One entry of the log, with the archived bytes of its event (``null``: unparseable)."""

    stream: str
    sequence: int
    subject: str
    event: msgspec.Raw


class Message(msgspec.Struct, gc=False):
    """One archived message of a stream; without its bytes if it could not be parsed."""

    sequence: int
    subject: str
    kind: str
    data: bytes | None
    data_hash: str


class _Exported(msgspec.Struct):
    stream: str
    sequence: int
    subject: str
    kind: str
    data_hash: str
    event: msgspec.Raw


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_messages = msgspec.json.Decoder(Message).decode_lines
_decode_entry = msgspec.json.Decoder(Entry).decode


def read_pages(archive_url: str, **conditions: str | None) -> Iterator[list[bytes]]:
    """The entries that meet all conditions of ``GET /v1/events``, as JSON, a page at a time.

    Raises:
        LocalError: the archive does not answer, or refuses.
    """
    cursor: str | None = None
    with api.client(TIMEOUT_S) as http:
        while True:
            parameters: dict[str, Any] = {**conditions, "limit": PAGE, "cursor": cursor}
            answer = api.send(http, "GET", f"{archive_url}/v1/events", params=parameters)
            page = _decode_page(answer.content)
            if page.items:
                yield [bytes(item) for item in page.items]
            cursor = page.next
            if cursor is None:
                return


def read_entries(archive_url: str, **conditions: str | None) -> Iterator[list[Entry]]:
    """Like :func:`read_pages`, taken apart."""
    for page in read_pages(archive_url, **conditions):
        yield [_decode_entry(item) for item in page]


def read_messages(archive_url: str, stream: str) -> Iterator[list[Message]]:
    """Every archived message of a stream by its sequence, a page at a time.

    Of a stream that went back and was accepted so: what it has now. What it had before is in the log, under
    numbers that the stream has given to other messages since.

    Raises:
        LocalError: the archive does not answer, refuses, or gives other bytes than it once hashed.
    """
    after = 0
    with api.client(TIMEOUT_S) as http:
        while True:
            parameters = {"after": after, "limit": MESSAGES}
            answer = api.send(http, "GET", f"{archive_url}/v1/streams/{stream}/messages", params=parameters)
            page = _decode_messages(answer.content)
            if not page:
                return
            for message in page:
                _require_intact(message, stream)
            yield page
            after = page[-1].sequence


def archived_ends(archive_url: str) -> dict[str, int]:
    """The last archived sequence of each stream.

    Raises:
        LocalError: the archive does not answer, or refuses.
    """
    streams = api.call("GET", f"{archive_url}/v1/head")["streams"]
    return {name: int(last) for name, last in streams.items()}


def _require_intact(message: Message, stream: str) -> None:
    if message.data is not None and sha256(message.data).hexdigest() != message.data_hash:
        raise LocalError(
            describe(
                f"other bytes of {stream} at sequence {message.sequence}",
                f"those with SHA-256 {message.data_hash}, as archived",
                "check the log with `pingyi audit verify`",
            )
        )


def read_archived_feedback(archive_url: str, stream: str = FEEDBACK) -> Iterator[list[PastMessage]]:
    """Every archived message of FEEDBACK, or another stream, in its order, as it is in the stream.

    Events that the archive calls duplicates are among them: the stream has them, and whoever folds it
    recognises them by their id.
    """
    for page in read_messages(archive_url, stream):
        yield [PastMessage(each.subject, each.data or _NOTHING, each.sequence) for each in page]


def read_lines(archive_url: str, stream: str) -> Iterator[bytes]:
    """Every archived message of a stream as one line of JSON; see `ndjson.read_feedback_lines`."""
    for page in read_messages(archive_url, stream):
        for message in page:
            line = _Exported(
                stream,
                message.sequence,
                message.subject,
                message.kind,
                message.data_hash,
                msgspec.Raw(message.data or _NOTHING),
            )
            # A raw newline can only stand between tokens; a producer is free to write it there.
            yield msgspec.json.encode(line).translate(_NEWLINES)
