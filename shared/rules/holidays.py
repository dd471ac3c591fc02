"""The state's holidays: those that chinesecalendar knows, and what was announced since, from a file.

The file is TOML::

    years = [2027]                       # now announced in full
    off = [2027-01-01, 2027-02-05]       # days off that a week would not give
    work = [2027-02-06]                  # weekend days that are worked in exchange 调休
"""

import tomllib
from datetime import date, datetime
from pathlib import Path

import structlog
from chinese_calendar import constants

from shared.kernel.errors import InvalidValueError, PermanentError, describe
from shared.kernel.holidays import Holidays

log = structlog.get_logger(__name__)


class HolidayFileError(PermanentError):
    """The file of announced holidays can't be used."""


def known_holidays() -> Holidays:
    """What the package knows; it ends with the last year that was announced when it was released."""
    return Holidays(
        frozenset(constants.holidays),
        frozenset(constants.workdays),
        frozenset(day.year for day in constants.holidays),
    )


def read_overlay(path: Path, base: Holidays) -> Holidays:
    """`base` with what stands in the file.

    Raises:
        HolidayFileError: it can't be read, or holds something else than lists of dates.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        off, work = _days(document, "off"), _days(document, "work")
        years = document.get("years", [])
        if not isinstance(years, list) or not all(isinstance(year, int) for year in years):
            raise InvalidValueError(years, "a list of years", "write e.g. years = [2027]")
        if unknown := document.keys() - {"off", "work", "years"}:
            raise InvalidValueError(min(unknown), "the keys years, off and work", "remove the others")
        if both := off & work:
            raise InvalidValueError(min(both), "a day that is off or worked", "remove it from one list")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidValueError) as error:
        raise HolidayFileError(
            describe(str(path), "a file of announced holidays", f"correct it: {error}")
        ) from error
    merged = base.with_overlay(off, work)
    return Holidays(merged.off, merged.work, merged.years | frozenset(years))


def _days(document: dict[str, object], key: str) -> frozenset[date]:
    value = document.get(key, [])
    if isinstance(value, list) and all(
        isinstance(each, date) and not isinstance(each, datetime) for each in value
    ):
        return frozenset(value)
    raise InvalidValueError(value, f"a list of dates in `{key}`", f"write e.g. {key} = [2027-01-01]")


class FileHolidays:
    """The table in force; looks at the file when `refresh` is called.

    Raises:
        HolidayFileError: when made, the file can't be used. Later such a file is logged and the table before
            stays in force: a slip of the pen must not move thousands of deadlines.
    """

    def __init__(self, path: Path | None) -> None:
        """Read `path` above what the package knows; None: the package alone."""
        self._path = path
        self._base = known_holidays()
        self._seen: tuple[int, int] | None = None
        self._table = self._base
        if path is not None:
            self._seen = _stamp(path)
            self._table = read_overlay(path, self._base)

    def current(self) -> Holidays:
        """What is known at present."""
        return self._table

    def refresh(self) -> bool:
        """Read the file if it has changed; whether another table is in force now."""
        if self._path is None:
            return False
        try:
            stamp = _stamp(self._path)
            if stamp == self._seen:
                return False
            self._seen = stamp
            table = read_overlay(self._path, self._base)
        except (HolidayFileError, OSError) as error:
            log.error("holiday_file_refused", reason=str(error))  # noqa: TRY400 - the reason is the whole story
            return False
        changed, self._table = table != self._table, table
        return changed


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
