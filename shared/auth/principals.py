"""Who somebody is: roles, the part of the province that they see, and the one below that they manage.

Pure values without I/O. What a role may do stands in :mod:`shared.auth.grants`; how somebody proves who they
are in :mod:`shared.auth.access`.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Level
from shared.kernel.ids import UNIT_ID_FORM
from shared.kernel.units import ALL, Unit, UnitRegistry

_CODE: Final = re.compile(r"[1-9][0-9]{5}", re.ASCII)
_CITY_DIGITS: Final = 4


class Tier(StrEnum):
    """Level of the organisation that somebody belongs to."""

    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    UNIT = "unit"


class Duty(StrEnum):
    """What somebody is there for."""

    VIEWER = "viewer"
    HANDLER = "handler"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    ADMIN = "admin"
    CHANNEL = "channel"
    """A channel system: takes ratings in, sees nothing."""
    SERVICE = "service"
    """A service of the platform that reads another's data."""


STAFF: Final = (Duty.VIEWER, Duty.HANDLER, Duty.SUPERVISOR, Duty.AUDITOR, Duty.ADMIN)
"""Duties of people; they have a tier and come with a token. The others come with a key."""


@dataclass(frozen=True, slots=True)
class Role:
    """A duty at a tier, written ``county.handler``; a system has no tier: ``channel``, ``service``."""

    duty: Duty
    tier: Tier | None = None

    @classmethod
    def parse(cls, text: str) -> "Role":
        """Read ``<tier>.<duty>``, or the duty of a system alone.

        Raises:
            InvalidValueError: no such role.
        """
        tier, dot, duty = text.rpartition(".")
        for role in ROLES:
            if role.duty == duty and (role.tier or "") == tier and bool(dot) == (role.tier is not None):
                return role
        raise InvalidValueError(
            text,
            "province, city, county or unit, a dot, and viewer, handler, supervisor, auditor or admin",
            "name a role, such as county.handler",
            field="role",
        )

    def __str__(self) -> str:
        return self.duty.value if self.tier is None else f"{self.tier}.{self.duty}"


STAFF_ROLES: Final = tuple(Role(duty, tier) for tier in Tier for duty in STAFF)
ROLES: Final = (*STAFF_ROLES, Role(Duty.CHANNEL), Role(Duty.SERVICE))
"""Every role that there is."""


@dataclass(frozen=True, slots=True)
class Place:
    """What something is about: a unit, or a city or the whole province.

    Attributes:
        level: level of the unit, or of the division where no unit is meant.
        city: subject token, the first four digits of the city's code, or ``all``.
        county: subject token, the county's six digits, or ``all``.
        unit_id: None where it is about a division.
    """

    level: Level
    city: str
    county: str
    unit_id: str | None = None

    @classmethod
    def of_unit(cls, unit: Unit) -> "Place":
        """Where `unit` is."""
        return cls(unit.level, unit.city, unit.county, unit.unit_id)

    @classmethod
    def of_tokens(cls, city: str | None, county: str | None, unit_id: str | None = None) -> "Place":
        """The place that a NATS subject names; what names none is about the province.

        With a `unit_id` and a county it counts as a window, the lowest that it can be.
        """
        city, county = city or ALL, county or ALL
        if county != ALL:
            return cls(Level.COUNTY if unit_id is None else Level.WINDOW, city, county, unit_id)
        return cls(Level.PROVINCE if city == ALL else Level.CITY, city, county, unit_id)


def places_of(units: UnitRegistry, unit_id: str, day: date) -> tuple[Place, ...]:
    """Where a unit is; on days after it was merged or recoded also where its successor is (ADR 0058).

    Raises:
        NotFoundError: there is no such unit.
    """
    unit = units.get(unit_id)
    heir = units.heir(unit, day)
    both = (unit,) if heir is None or heir is unit else (unit, heir)
    return tuple(map(Place.of_unit, both))


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the province that somebody sees: a division with all below it, or a single unit.

    Attributes:
        code: GB/T 2260 code of the division, six digits, or the unit's id.
    """

    tier: Tier
    code: str

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Read a division's six digits (360000 province, 360700 city, 360721 county) or a unit's id.

        Raises:
            InvalidValueError: it is neither.
        """
        if UNIT_ID_FORM.fullmatch(text) is not None:
            return cls(Tier.UNIT, text)
        if _CODE.fullmatch(text) is None:
            raise InvalidValueError(
                text,
                "a GB/T 2260 code of six digits or a unit's id",
                "write 360000 for the province, 360700 for a city, 360721 for a county, U000112 for a unit",
                field="region",
            )
        if text.endswith("0000"):
            return cls(Tier.PROVINCE, text)
        return cls(Tier.CITY if text.endswith("00") else Tier.COUNTY, text)

    @property
    def city(self) -> str | None:
        """Subject token of the city that the scope is or lies in; None of the province, and of a unit."""
        return self.code[:_CITY_DIGITS] if self.tier in {Tier.CITY, Tier.COUNTY} else None

    @property
    def county(self) -> str | None:
        """Subject token of the county that the scope is; None of any other."""
        return self.code if self.tier is Tier.COUNTY else None

    @property
    def unit_id(self) -> str | None:
        """The unit that the scope is; None of a division."""
        return self.code if self.tier is Tier.UNIT else None

    def sees(self, place: Place) -> bool:
        """Whether `place` is the scope itself or below it: the own subtree."""
        match self.tier:
            case Tier.PROVINCE:
                return True
            case Tier.CITY:
                return place.city == self.city
            case Tier.COUNTY:
                return place.county == self.code
            case Tier.UNIT:
                return place.unit_id == self.code

    def manages(self, place: Place) -> bool:
        """Whether `place` is exactly one level below (下管一级): the province judges the cities' bureaus."""
        match self.tier:
            case Tier.PROVINCE:
                return place.level is Level.CITY
            case Tier.CITY:
                return place.level is Level.COUNTY and place.city == self.city
            case Tier.COUNTY:
                return place.level is Level.WINDOW and place.county == self.code
            case Tier.UNIT:
                return False

    def is_own(self, place: Place) -> bool:
        """Whether `place` is the scope itself: the own bureau, the own unit."""
        if self.tier is Tier.UNIT:
            return place.unit_id == self.code
        return self.sees(place) and place.level.value == self.tier.value

    def contains(self, other: "Scope") -> bool:
        """Whether all that `other` sees is seen from here, as far as codes tell: ids of units don't."""
        if self.tier is Tier.PROVINCE or self == other:
            return True
        return self.tier is Tier.CITY and other.tier is Tier.COUNTY and other.city == self.city

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are.

    Attributes:
        subject: account, post or system, as it goes into the audit trail; never a person's name.
        roles: at least one; staff's have the tier of `scope`.
        scope: what they see.
        channels: channels that they may submit ratings of.
        credential_id: the key that proved it; None of a token.
    """

    subject: str
    roles: tuple[Role, ...]
    scope: Scope
    channels: frozenset[Channel] = field(default_factory=frozenset)
    credential_id: str | None = None
