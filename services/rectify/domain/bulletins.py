"""Bulletins 简报 that were published: which days one covers, and which file is which."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple

from shared.kernel.errors import InvalidValueError, NotFoundError

_PERIOD: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})|Q(?P<quarter>[1-4])|-(?P<day>[0-9]{2}-[0-9]{2})-(?P<days>[1-9][0-9]{0,2})d)?",
    re.ASCII,
)
_MONTHS: Final = 12
_QUARTER: Final = 3


class BulletinNotFoundError(NotFoundError):
    """No bulletin was published with that file."""


def days_of(period: str) -> tuple[date, date]:
    """First and last day of ``2026-10``, ``2026Q4``, ``2026`` or ``2026-11-26-30d``.

    Raises:
        InvalidValueError: it is none of these.
    """
    match = _PERIOD.fullmatch(period)
    try:
        if match is not None and match["day"] is not None:
            last = date.fromisoformat(f"{match['year']}-{match['day']}")
            return last - timedelta(days=int(match["days"]) - 1), last
        if match is not None:
            year, months = int(match["year"]), _MONTHS
            month = 1
            if match["month"] is not None:
                month, months = int(match["month"]), 1
            elif match["quarter"] is not None:
                month, months = (int(match["quarter"]) - 1) * _QUARTER + 1, _QUARTER
            end = month + months - 1
            return date(year, month, 1), date(year, end, monthrange(year, end)[1])
    except (ValueError, OverflowError):
        pass
    raise InvalidValueError(
        period,
        "a month (2026-10), a quarter (2026Q4), a year (2026) or the last days up to one (2026-11-26-30d)",
        "write it like one of these",
        field="period",
    )


def tokens_of(region: str) -> tuple[str, str]:
    """City and county of a division's code, as in subjects: ``360700`` is ``3607`` and ``all``."""
    if region.endswith("0000"):
        return "all", "all"
    return region[:4], "all" if region.endswith("00") else region


@dataclass(frozen=True, slots=True)
class Published:
    """One bulletin as it was published.

    Attributes:
        region: GB/T 2260 code of the division.
        period: see `days_of`.
        revision: 1, 2, … for each region and period; the highest stands.
        pdf_sha256: of the PDF file, hexadecimal; `html_sha256` and `figures_sha256` likewise.
        lists: key and hash of each list that it rests on, and whether its period was closed.
        positions: last sequence that it rests on, by stream.
        event_id: of the event that says so; `sequence`: its place in the stream.
    """

    region: str
    period: str
    first: str
    last: str
    title: str
    issue: str
    issuer: str
    revision: int
    pdf_sha256: str
    html_sha256: str
    figures_sha256: str
    rules: str | None
    positions: tuple[tuple[str, int], ...]
    lists: tuple[tuple[str, str, bool], ...]
    published_at: datetime
    event_id: str
    sequence: int

    def same_files(self, pdf_sha256: str, html_sha256: str) -> bool:
        """Whether these are its files."""
        return (self.pdf_sha256, self.html_sha256) == (pdf_sha256, html_sha256)


class Verified(NamedTuple):
    """What a file is: the bulletin, in which form, and the one that stands for its region and period now."""

    bulletin: Published
    form: Literal["pdf", "html"]
    standing: Published


class Shelf:
    """All published bulletins; taking one in again changes nothing."""

    def __init__(self) -> None:
        """Nothing was published yet."""
        self._by_sequence: dict[int, Published] = {}
        self._files: dict[str, tuple[Published, Literal["pdf", "html"]]] = {}
        self._standing: dict[tuple[str, str], Published] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_sequence)

    def put(self, bulletin: Published) -> None:
        """Take one in, in any order."""
        self._by_sequence[bulletin.sequence] = bulletin
        self._files[bulletin.pdf_sha256] = (bulletin, "pdf")
        self._files[bulletin.html_sha256] = (bulletin, "html")
        place = (bulletin.region, bulletin.period)
        before = self._standing.get(place)
        if before is None or before.revision < bulletin.revision:
            self._standing[place] = bulletin

    def verify(self, sha256: str) -> Verified:
        """What the file with this hash is.

        Raises:
            BulletinNotFoundError: nobody published it, or it was changed since.
        """
        found = self._files.get(sha256)
        if found is None:
            raise BulletinNotFoundError(
                sha256,
                "the SHA-256 of a file that was published",
                "it was changed, or never published: ask the issuing body for the file",
                field="sha256",
            )
        bulletin, form = found
        return Verified(bulletin, form, self._standing[bulletin.region, bulletin.period])

    def newest(self, region: str | None, period: str | None) -> Iterator[Published]:
        """Those of a region and a period (None: of any), the last published first."""
        for sequence in sorted(self._by_sequence, reverse=True):
            found = self._by_sequence[sequence]
            if region in {None, found.region} and period in {None, found.period}:
                yield found
