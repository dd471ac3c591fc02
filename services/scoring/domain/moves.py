"""Moves 变动: which units of a list moved between two days, how far, and why.

A score has two causes: the unit's own ratings (new days entered the window, old ones left it) and its peers,
whose mean good share and likeness are the prior. Both lists are computed with today's knowledge, so what
entered and left explains the difference to the last rating.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from services.scoring.domain.history import Flow
from services.scoring.domain.lists import SUPPRESSED, RankedList, Row
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.small_groups import LEAST_SHOWN, Exchange, exchange, hidden_exchange

EFFECT_DECIMALS: Final = 2


class PeerPrior(NamedTuple):
    """The prior of a unit's peers as its list states it; None where it would tell on raters."""

    mu: float | None
    strength: float | None


class Move(NamedTuple):
    """One unit's move.

    Attributes:
        unit_id: the unit.
        name: its name.
        before: its row on the earlier day; None if it was not in the list.
        after: its row on the later day; None if it no longer is.
        exchange: ratings that entered and left its window.
        group: its peer group, by the name that the list's priors have.
        prior_before: its peers' prior on the earlier day.
        prior_after: its peers' prior on the later day.
        by_ratings: points of its score's change that come from its own ratings; None without two scores.
        by_peers: points that come from its peers.
    """

    unit_id: str
    name: str
    before: Row | None
    after: Row | None
    exchange: Exchange
    group: str
    prior_before: PeerPrior
    prior_after: PeerPrior
    by_ratings: float | None
    by_peers: float | None

    @property
    def places(self) -> int | None:
        """Ranks climbed (+) or lost (-); None without two ranks."""
        before, after = self.before, self.after
        if before is None or after is None or before.rank is None or after.rank is None:
            return None
        return before.rank - after.rank

    @property
    def points(self) -> float | None:
        """Points of score gained or lost; None without two scores."""
        before, after = self.before, self.after
        if before is None or after is None or before.score is None or after.score is None:
            return None
        return round(after.score - before.score, EFFECT_DECIMALS)


def moves(
    before: RankedList, after: RankedList, level: LevelRoster, flow: Flow, least: int = LEAST_SHOWN
) -> list[Move]:
    """Units whose rank, score, band or status differ, those that moved most first.

    Order: change of status (published, ranked, or no longer), places, points, unit id.

    Args:
        before: the list on the earlier day.
        after: the same list on the later day.
        level: the level's units on the later day.
        flow: what entered and left between them, for all units of the registry.
        least: counts of fewer ratings are not shown; 0: all are, those of unpublished units too.
    """
    known = {row.unit_id: row for row in before.rows}
    places: dict[str, int] = {unit.unit_id: place for place, unit in enumerate(level.units)}
    entered = level.aggregate(flow.entered)
    left = None if flow.left is None else level.aggregate(flow.left)
    found: list[Move] = []
    for row in after.rows:
        old = known.pop(row.unit_id, None)
        if _standing(old) == _standing(row):
            continue
        place = places[row.unit_id]
        published = old is not None and old.score is not None and row.score is not None
        told = (
            exchange(entered[place], None if left is None else left[place], least)
            if published or not least
            else hidden_exchange(can_leave=left is not None)
        )
        group = f"{level.level}.{level.peers[place]}"
        found.append(_move(old, row, told, group, (before.priors, after.priors)))
    for gone in known.values():
        if _standing(gone) != _standing(None):
            told = hidden_exchange(can_leave=left is not None)
            found.append(_move(gone, None, told, "", (before.priors, after.priors)))
    return sorted(found, key=_by_distance)


def _standing(row: Row | None) -> tuple[object, ...]:
    """What a move is a change of; a unit that is in no list stands like a suppressed one: nothing is said."""
    return (SUPPRESSED, None, None, None) if row is None else (row.status, row.rank, row.score, row.band)


_Priors = Mapping[str, Mapping[str, Any]]


def _move(
    before: Row | None, after: Row | None, told: Exchange, group: str, priors: tuple[_Priors, _Priors]
) -> Move:
    row = after or before
    if row is None:
        raise ValueError("a move of no unit")
    old, new = (_prior(each.get(group, {})) for each in priors)
    total, by_peers = None, None
    if before is not None and after is not None and before.score is not None and after.score is not None:
        total = after.score - before.score
        by_peers = _effect_of_peers(before, new)
    return Move(
        unit_id=row.unit_id,
        name=row.name,
        before=before,
        after=after,
        exchange=told,
        group=group,
        prior_before=old,
        prior_after=new,
        by_ratings=None
        if total is None or by_peers is None
        else round(total - by_peers, EFFECT_DECIMALS) + 0.0,
        by_peers=None if by_peers is None else round(by_peers, EFFECT_DECIMALS) + 0.0,
    )


def _prior(document: Mapping[str, Any]) -> PeerPrior:
    return PeerPrior(document.get("mu"), document.get("strength"))


def _effect_of_peers(before: Row, prior: PeerPrior) -> float | None:
    """By how much the old row's score would have moved if only its peers had changed."""
    mu, strength = prior
    if mu is None or strength is None or before.n is None or before.score is None:
        return None
    return 100 * (mu * strength + (before.good or 0.0) * before.n) / (strength + before.n) - before.score


def _by_distance(move: Move) -> tuple[bool, int, float, str]:
    before, after = _standing(move.before)[0], _standing(move.after)[0]
    return before == after, -abs(move.places or 0), -abs(move.points or 0.0), move.unit_id
