"""Which counties' ranks moved most between noon and the end of the day, folded offline from the stream."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.local.demo.tour import Move


def biggest_moves(
    noon: Sequence[Mapping[str, Any]], evening: Sequence[Mapping[str, Any]], most: int = 5
) -> list[Move]:
    """The ``most`` largest changes of rank between two states of one list; ties by name.

    Units that were not ranked both times have not moved: they appeared.
    """
    before = {row["unit_id"]: row["rank"] for row in noon if row["rank"] is not None}
    moves = [
        Move(row["name"], before[row["unit_id"]], row["rank"])
        for row in evening
        if row["rank"] is not None and row["unit_id"] in before and before[row["unit_id"]] != row["rank"]
    ]
    return sorted(moves, key=lambda move: (-abs(move.before - move.after), move.name))[:most]
