"""Quarterly checks 季度检查 that a person has signed for a division: the figures as they were then."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RegionFigures:
    """What the check found in one county, or about a city or the province itself; see `RegionCheck`."""

    city: str
    county: str
    opened: int
    closed: int
    open: int
    overdue: int
    strikes: int
    unsigned: int
    appeals: int
    nominations: int


@dataclass(frozen=True, slots=True)
class SignedCheck:
    """One signed check.

    Attributes:
        quarter: in words, 2026Q4.
        city: of the division that was checked, with all below it; ``all`` of the province.
        county: likewise.
        by: role or credential that signed.
        revision: 1, 2, … for each quarter and division; the highest stands.
        regions: by code; those with nothing are left out.
        sequence: of its event; what the next revision replaces.
    """

    quarter: str
    city: str
    county: str
    by: str
    signed_at: datetime
    revision: int
    regions: tuple[RegionFigures, ...]
    event_id: str
    sequence: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What revisions of it have in common."""
        return self.quarter, self.city, self.county
