"""Who may make which move on a case: it depends on the move, the case and the unit that is named."""

from typing import Final

from services.rectify.application.desk import LostRaceError
from services.rectify.application.ports import StoredCase
from services.rectify.domain.case import Case
from services.rectify.entrypoints.access import Places
from services.rectify.entrypoints.bodies import AssignIn, ClassifyIn, MoveBody, PlanIn, ProposeTransferIn
from shared.auth.access import refusal
from shared.auth.grants import Permission
from shared.auth.principals import Principal

JUDGING: Final = frozenset({"extend", "confirm", "review", "spot_check", "inquire", "annul"})
"""Moves that nobody makes on a case about themselves."""
TAKING: Final = frozenset({"accept_transfer", "refuse_transfer"})
"""Moves of whoever is asked to take a case over 首接责任."""


def permission_for(body: MoveBody, move: str, case: Case) -> Permission:
    """What a move takes: to move, or to judge. The first class is free, another one is a judgement."""
    another_class = isinstance(body, ClassifyIn) and case.case_class not in {None, body.case_class}
    return Permission.CASES_JUDGE if move in JUDGING or another_class else Permission.CASES_MOVE


def require_move(
    places: Places, actor: Principal, body: MoveBody, move: str, stored: StoredCase, path: str
) -> None:
    """Return if `actor` may make the move of `body` on a case as it stands.

    Args:
        places: where cases and units are.
        actor: who asks.
        body: the move with its fields.
        move: its name.
        stored: the case.
        path: of the request, for the problem.

    Raises:
        CaseNotFoundError: the case is none of theirs to know of.
        InvalidValueError: the unit that is named is not registered.
        ProblemError: 403, they see it, but it is not theirs to do.
    """
    places.require(actor, permission_for(body, move, stored.case), stored.case, path)
    match body:
        case AssignIn():
            unit = places.registered(body.to.unit_id, "to.unit_id")
            if not places.within(actor, unit):
                raise refusal(
                    f"{unit.unit_id} is not of the part that {actor.subject} is there for ({actor.scope}): "
                    "assign the case within it, then propose a transfer.",
                    path,
                )
        case ProposeTransferIn():
            places.registered(body.to.unit_id, "to.unit_id")
        case PlanIn() if body.responsible_unit is not None:
            places.registered(body.responsible_unit, "responsible_unit")
        case _:
            pass
    if move in TAKING and stored.case.pending_transfer is not None:
        places.require_taker(actor, stored.case, stored.case.pending_transfer, path)


def only_if(body: MoveBody, move: str, stored: StoredCase, seen: int | None) -> int | None:
    """The sequence that the case must have for a move that was judged on `stored`; None: any.

    Whether somebody may accept a transfer or change a class hangs on the case itself: it holds for no other
    state, neither for one that comes meanwhile nor for one to come that was guessed (`seen`, of If-Match).

    Raises:
        LostRaceError: no such state was there when it was judged.
    """
    if move not in TAKING and not isinstance(body, ClassifyIn):
        return seen
    if seen is not None and seen > stored.sequence:
        raise LostRaceError(stored, f'the version with the ETag "{seen}"')
    return stored.sequence if seen is None else seen
