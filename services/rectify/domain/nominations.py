"""Nominations 推荐: the first of a closed list go up the levels; each confirms what is one level below."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from services.rectify.domain.closed_lists import Place
from shared.kernel.errors import ConflictError, NotFoundError, describe
from shared.kernel.grades import Level

LADDER_UP: Final = (Level.WINDOW, Level.COUNTY, Level.CITY, Level.PROVINCE)


def level_above(level: Level) -> Level | None:
    """The level that manages `level`; None: nobody does."""
    place = LADDER_UP.index(level) + 1
    return LADDER_UP[place] if place < len(LADDER_UP) else None


class NominationStatus(StrEnum):
    """Where a nomination stands."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One level's word."""

    at_level: Level
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Nomination:
    """The state of a nomination.

    Attributes:
        awaits: level whose word is next; None: all have spoken, or it is withdrawn.
        confirmations: the levels' words, lowest first.
    """

    nomination_id: str
    unit_id: str
    city: str
    county: str
    list: str
    period: str
    list_hash: str
    rank: int
    rests_on: tuple[str, ...]
    awaits: Level | None
    status: NominationStatus = NominationStatus.OPEN
    confirmations: tuple[Confirmation, ...] = ()
    version: int = 1

    @property
    def year(self) -> int:
        """The year whose awards it is about."""
        return int(self.period[:4])


class IllegalNominationError(ConflictError):
    """The nomination does not allow that now (HTTP 409)."""

    title: ClassVar[str] = "The nomination does not allow that now"


class NominationNotFoundError(NotFoundError):
    """No nomination has that id, or it is none of theirs to know of."""


def nominated(place: Place, level: Level, city: str, county: str) -> Nomination:
    """The nomination that a place at the top of a list leads to; `level` is the unit's."""
    return Nomination(
        place.nomination_id, place.unit_id, city, county, place.list, place.period, place.list_hash,
        place.row.rank, place.rests_on, level_above(level),
    )  # fmt: skip


def confirm(nomination: Nomination, by: str, now: datetime) -> Nomination:
    """The level that it awaits says yes.

    Raises:
        IllegalNominationError: it awaits nobody.
    """
    level = nomination.awaits
    if nomination.status is not NominationStatus.OPEN or level is None:
        raise IllegalNominationError(
            describe(
                f"confirm while {nomination.status.value}", "an open nomination", "nothing is to be done"
            )
        )
    above = level_above(level)
    return replace(
        nomination,
        confirmations=(*nomination.confirmations, Confirmation(level, by, now)),
        awaits=above,
        status=NominationStatus.OPEN if above is not None else NominationStatus.CONFIRMED,
        version=nomination.version + 1,
    )


def withdraw_nomination(nomination: Nomination) -> Nomination:
    """A veto masks the unit."""
    return replace(nomination, status=NominationStatus.WITHDRAWN, awaits=None, version=nomination.version + 1)


def nominate_again(nomination: Nomination, level: Level) -> Nomination:
    """The veto holds no more: it starts at the first level again."""
    return replace(
        nomination,
        status=NominationStatus.OPEN,
        awaits=level_above(level),
        confirmations=(),
        version=nomination.version + 1,
    )
