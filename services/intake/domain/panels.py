"""Panels of assessors 评议员: who may judge which units in which year. Pure; a fold of events."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from services.intake.domain.acceptance import Issue
from shared.kernel.grades import Level
from shared.kernel.units import Unit

MEMBER: Final = "contact.account"
"""Where a ballot says whose it is: the number on the assessor's card."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An assessor's seat on the panel of one division for one year.

    Attributes:
        assessor: pseudonym.
        division: six digits; its subtree is the panel's scope.
    """

    assessor: str
    panel: Level
    division: str
    year: int
    group: str

    def covers(self, unit: Unit) -> bool:
        """Whether ballots about `unit` are within the panel's scope."""
        if self.panel is Level.PROVINCE:
            return unit.division.startswith(self.division[:2])
        if self.panel is Level.CITY:
            return unit.city == self.division[:4]
        return unit.county == self.division


class PanelBook:
    """Every seat by assessor; an assessor may sit on several panels."""

    def __init__(self) -> None:
        """Know nobody."""
        self._seats: dict[tuple[str, int], dict[str, Seat]] = {}
        self._turns: Counter[tuple[str, int, str]] = Counter()

    def __iter__(self) -> Iterator[Seat]:
        """All seats, in the order of their enrolment."""
        return (seat for seats in self._seats.values() for seat in seats.values())

    def clear(self) -> None:
        """Know nobody any more."""
        self._seats.clear()
        self._turns.clear()

    def enrolled(self, seat: Seat, *, enrolled: bool) -> None:
        """Give a seat, or take it away again; the last event about a seat is in force."""
        self._turns[seat.assessor, seat.year, seat.division] += 1
        seats = self._seats.setdefault((seat.assessor, seat.year), {})
        if enrolled:
            seats[seat.division] = seat
        else:
            seats.pop(seat.division, None)

    def turns(self, assessor: str, seat: Seat) -> int:
        """How often a seat like `seat` was given to the assessor or taken away."""
        return self._turns[assessor, seat.year, seat.division]

    def would_change(self, assessor: str, seat: Seat, *, enrolled: bool) -> bool:
        """Whether giving a seat like `seat`, or taking it away, is anything new."""
        has = self._seats.get((assessor, seat.year), {}).get(seat.division)
        return has != replace(seat, assessor=assessor) if enrolled else has is not None

    def issue(self, assessor: str | None, unit: Unit, year: int) -> Issue | None:
        """What keeps a ballot about `unit` in `year` from being accepted; never repeats the number."""
        if assessor is None:
            return Issue(
                MEMBER,
                "nothing",
                "the number of an enrolled assessor, on the channel assessor",
                "send the number on the assessor's card in contact.account, or use another channel",
            )
        seats = self._seats.get((assessor, year), {})
        if not seats:
            return Issue(
                MEMBER,
                f"an assessor who is not enrolled for {year}",
                f"an assessor enrolled for {year}, the year in which it happened",
                "enrol the assessor first (POST /v1/assessors), or correct the number or the time",
            )
        if any(seat.covers(unit) for seat in seats.values()):
            return None
        scopes = ", ".join(sorted(seats))
        return Issue(
            "unit_id",
            unit.unit_id,
            f"a unit within the scope of the assessor's panel ({scopes})",
            "correct the unit; a panel judges its own subtree only",
        )
