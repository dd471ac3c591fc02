"""What is known of strikes, sanctions, nominations and candidates, and what of it is to be done now.

A fold over REGISTRY keeps the books; cases, findings and closed lists say what should stand in them. `due`
compares the two for one unit, in stages: first strikes, then what rests on them. What it gives is published
by whoever leads, comes back through the fold, and is due no more. Whatever went wrong in between is found by
comparing again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

from services.rectify.domain.closed_lists import ClosedLists, Place, RulesOn
from services.rectify.domain.findings import FindingBook
from services.rectify.domain.nominations import Nomination
from services.rectify.domain.sanctions import Sanction
from services.rectify.domain.signed_checks import SignedCheck
from services.rectify.domain.strikes import GroundBook, Ladder, Strike
from shared.kernel.grades import Level


@dataclass(frozen=True, slots=True)
class Kept:
    """A state that the stream holds.

    Attributes:
        sequence: of its last event; what the next one replaces.
        event_id: of its last event.
        correlation_id: the same from the first event on.
    """

    sequence: int
    event_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit at the bottom of a closed list, candidate for a talk 约谈."""

    candidate_id: str
    unit_id: str
    city: str
    county: str
    place: Place


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a unit is, and on which level; the level above signs."""

    level: Level
    city: str
    county: str


FindUnit = Callable[[str], Whereabouts | None]
"""None: the registry has no such unit."""


class LadderBook:
    """Everything about ladders at once."""

    def __init__(self, rules_on: RulesOn) -> None:
        """Start empty."""
        self.grounds = GroundBook()
        self.findings = FindingBook()
        self.lists = ClosedLists(rules_on)
        self.campaigns: dict[str, Campaign] = {}
        self.checks: dict[tuple[str, str, str], SignedCheck] = {}
        """Of each quarter and division the last signed one."""
        self._strikes: dict[str, Strike] = {}
        self._sanctions: dict[str, tuple[Sanction, Kept]] = {}
        self._nominations: dict[str, tuple[Nomination, Kept]] = {}
        self._candidates: dict[str, str] = {}
        self._of_unit: dict[str, _OfUnit] = {}

    # --- the fold ---------------------------------------------------------------------------------

    def put_strike(self, strike: Strike) -> None:
        """Take the newest state of a strike in."""
        self._strikes[strike.strike_id] = strike
        self._unit(strike.unit_id).strikes[strike.strike_id] = None

    def put_sanction(self, sanction: Sanction, kept: Kept) -> None:
        """Take the newest state of a sanction in."""
        self._sanctions[sanction.sanction_id] = (sanction, kept)
        self._unit(sanction.unit_id).sanctions[sanction.sanction_id] = None

    def put_nomination(self, nomination: Nomination, kept: Kept) -> None:
        """Take the newest state of a nomination in."""
        self._nominations[nomination.nomination_id] = (nomination, kept)
        self._unit(nomination.unit_id).nominations[nomination.nomination_id] = None

    def put_candidate(self, candidate_id: str, unit_id: str) -> None:
        """Note that a candidate was named."""
        self._candidates[candidate_id] = unit_id

    # --- looking things up ------------------------------------------------------------------------

    def strike(self, strike_id: str) -> Strike | None:
        """One strike; None: it was never counted."""
        return self._strikes.get(strike_id)

    def all_strikes(self) -> Iterable[Strike]:
        """Every strike, the ended ones too."""
        return self._strikes.values()

    def strikes(self, unit_id: str, ladder: Ladder | None = None) -> list[Strike]:
        """The strikes of a unit, the first counted first."""
        found = [self._strikes[each] for each in self._unit(unit_id).strikes]
        return sorted(
            (strike for strike in found if ladder is None or strike.ladder is ladder),
            key=lambda strike: strike.order,
        )

    def sanction(self, sanction_id: str) -> tuple[Sanction, Kept] | None:
        """One sanction; None: unknown."""
        return self._sanctions.get(sanction_id)

    def sanctions(self, unit_id: str | None = None) -> Iterator[tuple[Sanction, Kept]]:
        """All sanctions, or those of a unit, the first proposed first."""
        ids = self._sanctions if unit_id is None else self._unit(unit_id).sanctions
        return (self._sanctions[each] for each in ids)

    def nomination(self, nomination_id: str) -> tuple[Nomination, Kept] | None:
        """One nomination; None: unknown."""
        return self._nominations.get(nomination_id)

    def nominations(self, unit_id: str | None = None) -> Iterator[tuple[Nomination, Kept]]:
        """All nominations, or those of a unit, the first made first."""
        ids = self._nominations if unit_id is None else self._unit(unit_id).nominations
        return (self._nominations[each] for each in ids)

    def is_candidate(self, candidate_id: str) -> bool:
        """Whether that was published already."""
        return candidate_id in self._candidates

    def veto(self, unit_id: str, year: int) -> Sanction | None:
        """A veto that takes a unit's awards of a year away; None: none does."""
        return next(
            (
                sanction
                for sanction, _ in self.sanctions(unit_id)
                if sanction.is_veto and sanction.year == year and sanction.in_force
            ),
            None,
        )

    def _unit(self, unit_id: str) -> "_OfUnit":
        found = self._of_unit.get(unit_id)
        if found is None:
            found = self._of_unit[unit_id] = _OfUnit({}, {}, {})
        return found


@dataclass(frozen=True, slots=True)
class _OfUnit:
    """Ids of what there is about a unit, in the order in which it came up."""

    strikes: dict[str, None]
    sanctions: dict[str, None]
    nominations: dict[str, None]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A visit campaign and its phases; the first day of each.

    Attributes:
        counties: GB/T 2260 codes of where it goes.
    """

    campaign_id: str
    title: str
    counties: frozenset[str]
    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: date

    def phase_on(self, day: date) -> str:
        """Where it is on a day: planned, mobilise 动员, run 实施, consolidate 巩固 or ended."""
        for phase, since in (
            ("consolidate", self.consolidate_from), ("run", self.run_from), ("mobilise", self.mobilise_from),
        ):  # fmt: skip
            if day >= since:
                return phase if day <= self.ends else "ended"
        return "planned"


S = TypeVar("S", Strike, Sanction, Nomination, Candidate)


@dataclass(frozen=True, slots=True)
class Due(Generic[S]):
    """An event that is to be published.

    Attributes:
        fact: as in the event's type.
        state: the state after it.
        causation_id: the event that led to it.
        correlation_id: of what it belongs to.
        rules: hash of the rule pack that it goes by.
        replaces: last sequence of its subject; 0: there is none yet.
        because: what fell away, where something did.
        rests_on: of a strike that ends: ids of the events that ended it.
    """

    fact: str
    state: S
    causation_id: str
    correlation_id: str
    rules: str
    replaces: int
    because: str | None = None
    rests_on: tuple[str, ...] = ()
