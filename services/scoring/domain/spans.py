"""What a ranking covers: a rolling window 滚动期, or a calendar month, quarter or year.

All of it in business days of Asia/Shanghai. A span's text is the last part of a list's key.
"""

import re
from calendar import monthrange
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from shared.kernel.errors import InvalidValueError

_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_PERIOD: Final = re.compile(r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})|Q(?P<quarter>[1-4]))?", re.ASCII)


class PeriodKind(StrEnum):
    """The calendar periods that are ranked and closed."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def months(self) -> int:
        """Its length in months."""
        return _MONTHS[self.value]


class Rolling(NamedTuple):
    """The last `days` days: D-days+1 … D."""

    days: int

    def __str__(self) -> str:
        """The number of days, e.g. ``30``."""
        return str(self.days)


class Period(NamedTuple):
    """One calendar period.

    Attributes:
        kind: month, quarter or year.
        year: calendar year.
        number: month 1-12, quarter 1-4; 1 for a year.
    """

    kind: PeriodKind
    year: int
    number: int

    def __str__(self) -> str:
        """``2026-11``, ``2026Q4`` or ``2026``."""
        if self.kind is PeriodKind.MONTH:
            return f"{self.year:04d}-{self.number:02d}"
        return f"{self.year:04d}Q{self.number}" if self.kind is PeriodKind.QUARTER else f"{self.year:04d}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, (self.number - 1) * self.kind.months + 1, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        month = self.number * self.kind.months
        return date(self.year, month, monthrange(self.year, month)[1])

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def before(self) -> "Period":
        """The period of the same kind before it."""
        return period_of(self.kind, self.first - timedelta(days=1))


Span = Rolling | Period


def period_of(kind: PeriodKind, day: date) -> Period:
    """The period of ``kind`` that ``day`` lies in."""
    return Period(kind, day.year, (day.month - 1) // kind.months + 1)


def periods_of(day: date) -> tuple[Period, Period, Period]:
    """The month, the quarter and the year that ``day`` lies in."""
    return (
        period_of(PeriodKind.MONTH, day),
        period_of(PeriodKind.QUARTER, day),
        period_of(PeriodKind.YEAR, day),
    )


def parse_span(text: str) -> Span:
    """Read the text of a span: ``30`` days, ``2026-11``, ``2026Q4`` or the year ``2026``.

    A number below 1,000 is a rolling window in days, four digits are a year.

    Raises:
        InvalidValueError: neither.
    """
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < len("2026"):
        return Rolling(int(text))
    match = _PERIOD.fullmatch(text)
    if match is not None:
        year, month, quarter = int(match["year"]), match["month"], match["quarter"]
        if year >= 1 and (month is None or 1 <= int(month) <= PeriodKind.YEAR.months):
            if month is not None:
                return Period(PeriodKind.MONTH, year, int(month))
            if quarter is not None:
                return Period(PeriodKind.QUARTER, year, int(quarter))
            return Period(PeriodKind.YEAR, year, 1)
    raise InvalidValueError(
        text,
        "days of a rolling window (30), a month (2026-11), a quarter (2026Q4) or a year (2026)",
        "write it like one of these",
        field="span",
    )
