"""Which counties' ranks moved most between noon and the end of the day, folded offline from the stream."""

import json
from collections.abc import Sequence
from datetime import date, datetime, time

from deploy.local.demo.tour import Move
from services.scoring.application.recompute import recompute
from services.scoring.domain.lists import Row
from shared.kernel.clock import SHANGHAI
from shared.kernel.units import load_units
from shared.messaging.stored import StoredMessage
from shared.rules import load_pack

LIST = "county.all.30"


def moves_since_noon(messages: Sequence[StoredMessage], day: date, as_of: date) -> list[Move]:
    """Changes of rank in the county list between noon of ``day`` (Asia/Shanghai) and all of ``messages``."""
    noon = datetime.combine(day, time(12), SHANGHAI)
    registry, rules = load_units(), load_pack(None, as_of)
    morning = [message for message in messages if _occurred(message) < noon]
    before, after = (recompute(part, registry, rules, as_of)[LIST].rows for part in (morning, messages))
    return biggest_moves(before, after)


def biggest_moves(before: Sequence[Row], after: Sequence[Row]) -> list[Move]:
    """Changes of rank between two states of one list, the largest first, ties by name.

    Units that were not ranked both times have not moved: they appeared.
    """
    ranks = {row.unit_id: row.rank for row in before if row.rank is not None}
    moves = [
        Move(row.name, ranks[row.unit_id], row.rank)
        for row in after
        if row.rank is not None and ranks.get(row.unit_id, row.rank) != row.rank
    ]
    return sorted(moves, key=lambda move: (-abs(move.before - move.after), move.name))


def _occurred(message: StoredMessage) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(message.data)["time"])
    except (ValueError, KeyError, TypeError):
        return datetime.max.replace(tzinfo=SHANGHAI)  # no rating: left out by the fold anyway
