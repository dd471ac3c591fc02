"""The file of recipients: who can be told, by which channels, and who answers for what. TOML, or a CSV table.

The file is read again when it changes; a version with problems is reported, and the one before stands.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError

from services.notify.adapters.recipients_csv import parse_table
from services.notify.adapters.recipients_form import (
    MOST_PROBLEMS,
    FileForm,
    RecipientsError,
    book_of,
    problems_of,
    region_token,
)
from services.notify.domain.directory import Book, Directory
from services.notify.metrics import NotifyMetrics
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry

__all__ = [
    "RecipientsError", "RecipientsFile", "parse_recipients", "read_recipients", "region_token",
]  # fmt: skip

log = structlog.get_logger(__name__)
TABLE: Final = ".csv"
"""How the name of a table ends."""
ENCODINGS: Final = ("utf-8-sig", "gb18030")
"""Of a table: spreadsheets on Chinese machines save it in the second one."""


def parse_recipients(text: str, origin: str, units: UnitRegistry, kinds: Mapping[str, str]) -> Book:
    """Read a file of recipients.

    Args:
        text: TOML.
        origin: what to call it in errors.
        units: chains may name these only.
        kinds: subscriptions may name these kinds of window only.

    Raises:
        RecipientsError: no TOML, or anything unknown, missing, repeated or contradictory; lists all of it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipientsError(origin, (f"not valid TOML ({error}): correct the syntax there.",)) from error
    try:
        found = FileForm.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in issue['loc'])}: {issue['msg']}"
            for issue in error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        ]
        raise RecipientsError(origin, problems) from error
    problems = [f"{place}: {text}" for place, text in problems_of(found, units, kinds)]
    if problems:
        raise RecipientsError(origin, problems[:MOST_PROBLEMS])
    return book_of(found)


def read_recipients(path: Path, units: UnitRegistry, kinds: Mapping[str, str]) -> Book:
    """Read a file of recipients: a table if its name ends in `TABLE`, else TOML.

    Raises:
        RecipientsError: see `parse_recipients`.
        OSError: it can't be read.
    """
    raw, table = path.read_bytes(), path.suffix.lower() == TABLE
    for encoding in ENCODINGS if table else ("utf-8",):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return (parse_table if table else parse_recipients)(text, str(path), units, kinds)
    wanted = "text in UTF-8 or GB18030" if table else "text in UTF-8"
    raise RecipientsError(str(path), (describe(raw[:20], wanted, "save the file in UTF-8"),))


class RecipientsFile:
    """Keeps a directory's book as the file says."""

    def __init__(
        self, path: Path | None, units: UnitRegistry, kinds: Mapping[str, str], metrics: NotifyMetrics
    ) -> None:
        """Read `path`; None: there are no recipients, and every channel gets every alert."""
        self._path = path
        self._units = units
        self._kinds = kinds
        self._metrics = metrics
        self._seen: tuple[int, int] | None = None

    def read(self) -> Book:
        """Return the book.

        Raises:
            RecipientsError: the file can't be used.
            OSError: it can't be read.
        """
        if self._path is None:
            return Book()
        self._seen = self._mark()
        book = read_recipients(self._path, self._units, self._kinds)
        self._metrics.recipients.set(len(book.recipients))
        self._metrics.recipients_invalid.set(0)
        return book

    def refresh(self, directory: Directory) -> None:
        """Take a changed file in; problems are logged, and what was read before stands."""
        try:
            if self._path is None or self._mark() == self._seen:
                return
            directory.book = self.read()
            log.info("recipients_read", recipients=len(directory.book.recipients))
        except (RecipientsError, OSError) as error:
            self._metrics.recipients_invalid.set(1)
            log.warning("recipients_unchanged", reason=str(error))

    def _mark(self) -> tuple[int, int]:
        state: Any = self._path.stat() if self._path else None
        return (state.st_mtime_ns, state.st_size)
