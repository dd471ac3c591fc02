"""The archive's answers as scoring reads them, from a recorded transport."""

import base64
import hashlib
import json

import httpx
import pytest

from services.scoring.adapters.archive_api import (
    ArchiveDamagedError,
    ArchiveUnavailableError,
    HttpFeedbackArchive,
)
from services.scoring.application.ports import ArchivedMessage


def line(sequence: int, data: bytes | None, *, of: bytes | None = None) -> bytes:
    """One line; its hash is that of ``of`` if given."""
    return json.dumps(
        {
            "sequence": sequence,
            "subject": "feedback.v1.x",
            "kind": "event" if data is not None else "unparseable",
            "data": None if data is None else base64.b64encode(data).decode(),
            "data_hash": hashlib.sha256(of if of is not None else data or b"raw").hexdigest(),
        }
    ).encode()


def archive(content: bytes = b"", status: int = 200) -> HttpFeedbackArchive:
    """An archive that answers so, if asked rightly."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/streams/FEEDBACK/messages"
        assert dict(request.url.params) == {"after": "6", "limit": "10"}
        return httpx.Response(status, content=content)

    return HttpFeedbackArchive("http://archive/", "FEEDBACK", transport=httpx.MockTransport(answer))


async def test_lines_become_messages_and_what_was_no_event_has_no_bytes() -> None:
    content = line(7, "满意".encode()) + b"\n" + line(8, None) + b"\n"
    assert await archive(content).read(6, 10) == [
        ArchivedMessage(7, "feedback.v1.x", "满意".encode()),
        ArchivedMessage(8, "feedback.v1.x", b"", kept=False),
    ]


async def test_nothing_behind_is_an_empty_answer() -> None:
    assert await archive().read(6, 10) == []


async def test_bytes_that_are_not_those_that_were_archived_are_refused() -> None:
    with pytest.raises(ArchiveDamagedError, match=r"other bytes at sequence 7.*verify the archive"):
        await archive(line(7, b"now", of=b"then")).read(6, 10)


@pytest.mark.parametrize("content", [b"<html>", b'{"sequence": 1}\n', b'{"sequence"'])
async def test_what_no_archive_would_say_is_refused(content: bytes) -> None:
    with pytest.raises(ArchiveDamagedError, match="a message on each line"):
        await archive(content).read(6, 10)


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_a_refusal_is_waited_out_and_named(status: int) -> None:
    with pytest.raises(
        ArchiveUnavailableError, match=f"status {status} why.*archive at http://archive: it is asked again"
    ):
        await archive(b"why", status).read(6, 10)


async def test_an_archive_that_is_away_is_waited_for() -> None:
    away = HttpFeedbackArchive("http://127.0.0.1:9", "FEEDBACK")
    with pytest.raises(ArchiveUnavailableError, match=r"ConnectError.*127.0.0.1:9"):
        await away.read(6, 10)
    await away.close()
