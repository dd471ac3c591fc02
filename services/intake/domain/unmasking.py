"""Unmasking 解封: who may read a citizen's text or contact, and when. Pure judgement over a fold of facts.

It takes two people: one asks with a reason, another one agrees, then the first may read for a while. The
rated unit has no part in it, nor has anybody whose scope does not contain that unit: to them the rating is
not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.kernel.grades import Level
from shared.kernel.people_reasons import UnmaskReason
from shared.kernel.units import Unit

PROVINCE: Final = "province"
_CITY_DIGITS: Final = 4
_COUNTY_DIGITS: Final = 6


class Part(StrEnum):
    """What can be read."""

    TEXT = "text"
    CONTACT = "contact"


class Refusal(StrEnum):
    """Why somebody may not; the first two look alike from outside, like something that is not there."""

    OUT_OF_SCOPE = "out_of_scope"
    RATED_UNIT = "rated_unit"
    SAME_PERSON = "same_person"
    OTHER_PERSON = "other_person"
    DECIDED = "decided"
    NOT_APPROVED = "not_approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody on duty.

    Attributes:
        name: account or post, never a person's name.
        scope: `PROVINCE`, the code of a city (4 digits) or county (6 digits), or the id of a unit.
        verified: whether a credential proved both.
    """

    name: str
    scope: str
    verified: bool


def refusal_of_scope(actor: Actor, unit: Unit) -> Refusal | None:
    """What keeps `actor` from matters of a citizen who rated `unit`; None if nothing does.

    Only who stands above the unit may: its county's staff for a window, the city's for a county's bureau.
    A bureau's own division is its staff, so the scope has to be wider than the unit itself.
    """
    if not actor.verified:
        return Refusal.UNPROVEN
    scope = actor.scope
    if scope == unit.unit_id:
        return Refusal.RATED_UNIT
    if scope == PROVINCE:
        return Refusal.RATED_UNIT if unit.level is Level.PROVINCE else None
    if scope.isdecimal() and len(scope) == _CITY_DIGITS and scope == unit.city:
        return Refusal.RATED_UNIT if unit.level in (Level.PROVINCE, Level.CITY) else None
    if scope.isdecimal() and len(scope) == _COUNTY_DIGITS and scope == unit.county:
        return None if unit.level is Level.WINDOW else Refusal.RATED_UNIT
    return Refusal.OUT_OF_SCOPE


@dataclass(frozen=True, slots=True)
class Approval:
    """A second person's word on an unmasking; `expires_at` is until when it may be read."""

    approved: bool
    decided_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Unmasking:
    """One request to read what a rating's record holds, and what became of it.

    Attributes:
        expires_at: until when it may be decided about.
        shown: how often it was read.
    """

    request_id: str
    target_id: str
    unit_id: str
    city: str
    county: str
    reason: UnmaskReason
    parts: tuple[Part, ...]
    requested_by: str
    expires_at: datetime
    approval: Approval | None = None
    shown: int = 0

    def state(self, now: datetime) -> str:
        """One word for people: waiting, approved, refused or expired."""
        if self.approval is None:
            return "waiting" if now <= self.expires_at else "expired"
        if not self.approval.approved:
            return "refused"
        return "approved" if now <= self.approval.expires_at else "expired"

    def refusal_of_decision(self, actor: Actor, now: datetime) -> Refusal | None:
        """What keeps `actor` from deciding about it."""
        if actor.name == self.requested_by:
            return Refusal.SAME_PERSON
        if self.approval is not None:
            return Refusal.DECIDED
        return Refusal.EXPIRED if now > self.expires_at else None

    def refusal_of_reading(self, actor: Actor, now: datetime) -> Refusal | None:
        """What keeps `actor` from reading."""
        if actor.name != self.requested_by:
            return Refusal.OTHER_PERSON
        if self.approval is None:
            return Refusal.EXPIRED if now > self.expires_at else Refusal.NOT_APPROVED
        if not self.approval.approved:
            return Refusal.REFUSED
        return Refusal.EXPIRED if now > self.approval.expires_at else None


class Unmaskings:
    """The fold: every unmasking that is known, by the facts in their order. The first decision stands.

    Nothing is forgotten: less than 1 kB for each, and each took the minutes of two people.
    """

    def __init__(self) -> None:
        """Know of none."""
        self._known: dict[str, Unmasking] = {}

    def get(self, request_id: str) -> Unmasking | None:
        """The unmasking of that id; None if there is none."""
        return self._known.get(request_id)

    def all(self) -> Mapping[str, Unmasking]:
        """All, by id; not to be changed."""
        return self._known

    def requested(self, unmasking: Unmasking) -> None:
        """Somebody asked; a repeat changes nothing."""
        self._known.setdefault(unmasking.request_id, unmasking)

    def decided(self, request_id: str, approval: Approval) -> None:
        """A second person decided; not the one who asked, and only the first counts."""
        known = self._known.get(request_id)
        if known is not None and known.approval is None and approval.decided_by != known.requested_by:
            self._known[request_id] = replace(known, approval=approval)

    def was_shown(self, request_id: str) -> None:
        """It was read once more."""
        known = self._known.get(request_id)
        if known is not None:
            self._known[request_id] = replace(known, shown=known.shown + 1)
