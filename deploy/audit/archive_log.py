"""The log as the archive's HTTP interface gives it; nothing that it answers is believed here."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from deploy.local import api
from deploy.local.errors import LocalError, ServiceRefusedError
from shared.kernel.errors import describe

TIMEOUT_S: Final = 60.0
ATTEMPTS: Final = 8
PAUSE_S: Final = 1.0
UNAVAILABLE: Final = 503
PAGE: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What the archive claims of an entry: its canonical leaf, its place, and the path to a checkpoint."""

    index: int
    leaf: str
    size: int
    path: tuple[bytes, ...]
    note: str


class ArchiveLog:
    """One archive. Everything is asked for again, for some seconds, while the archive is being restarted."""

    def __init__(self, url: str) -> None:
        """Ask the archive at ``url``, without a final slash."""
        self.url = url
        self._http = api.client(TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def checkpoint(self, size: int | None = None) -> str:
        """A signed note with the lines of its witnesses: of ``size``, or the last one.

        Raises:
            ServiceRefusedError: there is none.
            LocalError: the archive does not answer.
        """
        return self._get("checkpoint", size=size).text

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Size and note of every checkpoint, the smallest first."""
        after = 0
        while items := self._get("checkpoints", after=after, limit=PAGE).json()["items"]:
            for item in items:
                yield item["size"], item["note"]
            after = items[-1]["size"]

    def claimed_keys(self) -> list[str]:
        """Verifier keys that the archive says are the log's, the present one first, and its witnesses'."""
        return self._get("keys").text.split()

    def tile(self, level: int, index: int) -> bytes:
        """A full tile, as it is stored."""
        return self._get(f"tile/{level}/{index}").content

    def inclusion(self, event_id: str) -> Inclusion:
        """Where an event is, and the path from there to the last checkpoint."""
        answer = self._get("inclusion", event_id=event_id).json()
        path = tuple(bytes.fromhex(each) for each in answer["path"])
        note = answer["checkpoint"] or ""
        return Inclusion(answer["index"], answer["leaf"], answer["size"], path, note)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The hashes that shall prove that the log of ``second`` entries begins with that of ``first``."""
        answer = self._get("consistency", first=first, second=second).json()
        return [bytes.fromhex(each) for each in answer["path"]]

    def write_entries(self, first: int, end: int, path: Path) -> None:
        """Write entries from index ``first`` up to, not with, ``end`` to ``path``, as lines of JSON.

        The file appears when it is complete. Memory does not depend on how much it is.
        """
        part = path.with_name(f".{path.name}")

        def download() -> None:
            url, params = f"{self.url}/v1/log/entries", {"first": first, "end": end}
            with self._http.stream("GET", url, params=params) as answer:
                if answer.is_error:
                    answer.read()
                    raise api.refusal(answer)
                with part.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)

        self._patiently(download)
        part.rename(path)

    def cosign(self, size: int, line: str) -> str:
        """Hand a witness's line over; the note with it."""
        url = f"{self.url}/v1/log/cosignatures"
        return self._patiently(
            lambda: api.send(self._http, "POST", url, body={"size": size, "line": line})
        ).text

    def _get(self, path: str, **params: Any) -> httpx.Response:  # noqa: ANN401 - numbers and texts
        return self._patiently(
            lambda: api.send(self._http, "GET", f"{self.url}/v1/log/{path}", params=params)
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask()
            except ServiceRefusedError as error:
                if error.problem.get("status") != UNAVAILABLE or attempt == ATTEMPTS:
                    raise
            except (LocalError, httpx.HTTPError) as error:
                if attempt == ATTEMPTS:
                    remedy = "look at `pingyi status`, or name the archive with ARCHIVE_URL"
                    raise LocalError(describe(self.url, f"an answer ({error})", remedy)) from error
            time.sleep(PAUSE_S)
        raise AssertionError(ATTEMPTS)  # pragma: no cover - the last attempt returns or raises
