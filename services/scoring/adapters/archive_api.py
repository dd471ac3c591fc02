"""The archive's HTTP API as the place where old feedback is read; see `FeedbackArchive` and ADR 0024."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
import msgspec

from services.scoring.application.ports import ArchivedMessage
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import PermanentError, TransientError, describe

TIMEOUT_S: Final = 30.0
CONNECT_S: Final = 5.0


class ArchiveUnavailableError(TransientError):
    """The archive does not answer, or refuses."""


class ArchiveDamagedError(PermanentError):
    """What the archive says does not belong together."""


class _Line(msgspec.Struct, gc=False):
    """One line of ``GET /v1/streams/{stream}/messages``; ``data`` is null where only the hash was kept."""

    sequence: int
    subject: str
    data: bytes | None
    data_hash: str


_decode_lines = msgspec.json.Decoder(_Line).decode_lines


class HttpFeedbackArchive:
    """Reads one stream from the archive at an address."""

    def __init__(
        self,
        url: str,
        stream: str,
        key_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Read ``stream`` from the archive at ``url`` with the key in ``key_file``; nothing connects yet."""
        self._url = url.rstrip("/")
        self._key_file = key_file
        self._path = f"/v1/streams/{stream}/messages"
        # No proxies of the environment: the archive is a neighbour. And without https no certificates: 3 MB.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            trust_env=False,
            verify=self._url.startswith("https:"),
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        """See `FeedbackArchive.read`.

        Raises:
            ArchiveUnavailableError: no answer, or a refusal.
            ArchiveDamagedError: bytes that are not those that were archived, or no answer of an archive.
        """
        try:
            answer = await self._client.get(
                self._url + self._path,
                params={"after": str(after), "limit": str(most)},
                headers=self._proof(),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise self._unavailable(f"status {answer.status_code} {answer.text[:60]}")
        try:
            lines = _decode_lines(answer.content)
        except UNREADABLE as error:
            raise self._damaged(f"{answer.content[:60]!r}", f"a message on each line ({error})") from error
        return [self._message(line) for line in lines]

    def _proof(self) -> dict[str, str]:
        """The key, read anew each time: it may have been rotated since."""
        if self._key_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._key_file.read_text(encoding='ascii').strip()}"}
        except OSError as error:
            raise self._unavailable(f"no key in {self._key_file} ({error.strerror})") from error

    def _message(self, line: _Line) -> ArchivedMessage:
        if line.data is None:
            return ArchivedMessage(line.sequence, line.subject, b"", kept=False)
        if hashlib.sha256(line.data).hexdigest() != line.data_hash:
            raise self._damaged(f"other bytes at sequence {line.sequence}", f"SHA-256 {line.data_hash}")
        return ArchivedMessage(line.sequence, line.subject, line.data)

    def _unavailable(self, found: str) -> ArchiveUnavailableError:
        return ArchiveUnavailableError(
            describe(found, f"an answer of the archive at {self._url}", "it is asked again")
        )

    def _damaged(self, found: str, expected: str) -> ArchiveDamagedError:
        return ArchiveDamagedError(
            describe(found, f"{expected} from {self._url}", "verify the archive (GET /v1/verify)")
        )
