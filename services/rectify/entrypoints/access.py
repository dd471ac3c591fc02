"""Where a case belongs, and so who may see and move it: the unit that it is about, those that work on it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from services.rectify.domain.book import CaseFilter, Summary
from services.rectify.domain.case import Case, Party
from services.rectify.domain.errors import CaseNotFoundError
from shared.auth.access import refusal, require_at_one, require_within
from shared.auth.grants import Permission, Verdict, judge
from shared.auth.principals import Place, Principal, Tier, places_of
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.units import Unit, UnitRegistry


class Places:
    """Judges what somebody may do to a case.

    A case is of the unit that it is about, of the one that answers for it, and of the one that is asked to:
    who is granted it at one of these places may do it. A transfer alone is only for the one that is asked.
    Where one of them was merged or recoded since, its successor stands beside it (ADR 0058).
    """

    def __init__(self, units: UnitRegistry, today: Callable[[], date]) -> None:
        """`units` say where each of them is, and who has taken over by `today`."""
        self._units = units
        self._today = today

    def _places(self, city: str, county: str, unit_id: str) -> tuple[Place, ...]:
        if unit_id in self._units:
            return places_of(self._units, unit_id, self._today())
        return (Place.of_tokens(city, county, unit_id),)

    def require(self, actor: Principal, permission: Permission, case: Case, path: str) -> None:
        """Return if `actor` may do it to `case`.

        Raises:
            CaseNotFoundError: it is none of theirs to know of.
            ProblemError: 403, they see it, but it is not theirs to do.
        """
        parties = (case.responsible, case.pending_transfer)
        units = [case.unit_id, *(party.unit_id for party in parties if party is not None)]
        places = [place for unit_id in units for place in self._places(case.city, case.county, unit_id)]
        require_at_one(actor, permission, places, lambda: _missing(case.case_id), path)

    def require_taker(self, actor: Principal, case: Case, asked: Party, path: str) -> None:
        """Return if `actor`, who may move `case`, may answer for `asked`, who is to take it over.

        That takes authority there, and another person than who proposed the transfer: somebody with authority
        over both sides must not hand cases to and fro alone. Of the unit itself anybody may.

        Raises:
            ProblemError: 403, it is for whoever is asked to say.
        """
        places = self._places(case.city, case.county, asked.unit_id)
        if all(judge(actor, Permission.CASES_MOVE, each) is not Verdict.GRANTED for each in places):
            raise refusal(
                f"{asked.unit_id} is asked to take the case over: it takes {Permission.CASES_MOVE.value} "
                "there to accept or to refuse; until then whoever has it stays responsible.",
                path,
            )
        if actor.subject == case.transfer_by and not any(map(actor.scope.is_own, places)):
            raise refusal(
                f"{actor.subject} proposed the transfer: somebody of {asked.unit_id}, or another person with "
                f"{Permission.CASES_MOVE.value} there, accepts or refuses it.",
                path,
            )

    def registered(self, unit_id: str, field: str) -> Unit:
        """The unit that `field` of a body names, and that can still do something.

        Raises:
            InvalidValueError: there is none of that id, or it has ended.
        """
        try:
            unit = self._units.get(unit_id)
        except NotFoundError as error:
            # Not a 404: that is for the case that is asked for.
            raise InvalidValueError(unit_id, error.expected, error.remedy, field=field) from error
        today = self._today()
        if unit.valid_to is not None and unit.valid_to <= today:
            heir = self._units.heir(unit, today)
            remedy = "name another" if heir is None else f"name its successor {heir.unit_id} ({heir.name})"
            expected = f"a unit that did not end (on {unit.valid_to})"
            raise InvalidValueError(unit_id, expected, remedy, field=field)
        return unit

    @staticmethod
    def within(actor: Principal, unit: Unit) -> bool:
        """Whether `unit` is of the part of the province that `actor` is there for."""
        return actor.scope.sees(Place.of_unit(unit))

    def require_unit(self, actor: Principal, permission: Permission, unit_id: str, path: str) -> None:
        """Return if `actor` may do it to a unit.

        Raises:
            NotFoundError: no such unit, or none of theirs to know of.
            ProblemError: 403, they see it, but it is not theirs to do.
        """
        place = Place.of_unit(self._units.get(unit_id))
        require_within(actor, permission, place, lambda: _missing(unit_id), path)

    def seen_by(self, actor: Principal, wanted: CaseFilter) -> CaseFilter:
        """Of what is `wanted`, what `actor` may see; theirs is what they, their unit or bureau answer for."""
        scope = actor.scope

        def is_mine(case: Summary) -> bool:
            unit = case.responsible_unit
            own = unit is not None and any(map(scope.is_own, self._places(case.city, case.county, unit)))
            return own or case.handler == actor.subject

        wanted = replace(wanted, is_mine=is_mine)
        if scope.tier is Tier.PROVINCE:
            return wanted

        def sees(case: Summary) -> bool:
            units = (case.unit_id, case.responsible_unit, case.transfer_unit)
            return any(
                any(map(scope.sees, self._places(case.city, case.county, unit))) for unit in units if unit
            )

        return replace(wanted, sees=sees)


def _missing(case_id: str) -> CaseNotFoundError:
    return CaseNotFoundError(case_id, "the id of a case", "look it up in the list", field="case_id")
