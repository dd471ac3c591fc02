"""Reading the archive through its HTTP API, page by page."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from deploy.local import api
from deploy.local.history.ndjson import PastMessage
from shared.messaging.streams import FEEDBACK

PAGE: Final = 500
TIMEOUT_S: Final = 120.0
_NEWLINES: Final = bytes.maketrans(b"\r\n", b"  ")


class Entry(msgspec.Struct, gc=False):
    """One entry of the log, with the archived bytes of its event (``null``: unparseable)."""

    stream: str
    sequence: int
    subject: str
    event: msgspec.Raw


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None


_decode_page = msgspec.json.Decoder(_Page).decode
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


def read_archived_feedback(archive_url: str) -> Iterator[list[PastMessage]]:
    """Every archived message of FEEDBACK in the order of the stream, as it was in the stream.

    Events that the archive calls duplicates are among them: the stream had them, and whoever folds it
    recognises them by their id.
    """
    for page in read_entries(archive_url, stream=FEEDBACK, order="asc"):
        yield [PastMessage(entry.subject, bytes(entry.event), entry.sequence) for entry in page]


def read_lines(archive_url: str, stream: str) -> Iterator[bytes]:
    """Every archived entry of a stream as one line of JSON; see `ndjson.read_feedback_lines`."""
    for page in read_pages(archive_url, stream=stream, order="asc"):
        for item in page:
            # A raw newline can only stand between tokens; a producer is free to write it there.
            yield item.translate(_NEWLINES)
