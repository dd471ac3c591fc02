"""Awards 评先: who comes first in a closed period, without those that a veto 一票否决 keeps from it.

The ranking itself stays as it is: a veto takes away an honour, not a rating. Whoever is left out is named
beside the list with the event that says why. Nobody moves up: the place stays empty, as in nominations.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from services.scoring.application.handlers import ReadRankings
from services.scoring.application.pages import WantedList, choose, choose_list
from services.scoring.application.published import PublishedList
from services.scoring.application.views import below
from services.scoring.domain.lists import RANKED, ListKey, Row
from services.scoring.domain.spans import Period
from shared.kernel.errors import InvalidValueError, TransientError, describe
from shared.kernel.units import UnitRegistry

IMPOSED: Final = "cn.pingyi.sanctions.veto-imposed.v1"
LIFTED: Final = "cn.pingyi.sanctions.veto-lifted.v1"
RETRY_AFTER_S: Final = 2.0

_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


class Veto(NamedTuple):
    """One veto as its last event says.

    Attributes:
        sanction_id: the sanction that it is.
        version: number of that event among the sanction's own.
        event_id: of the event that imposed it.
        unit_id: whom it keeps from awards.
        kind: point of the veto list.
        year: whose awards are lost.
        imposed_at: when it was signed.
        stands: whether it was not lifted since.
    """

    sanction_id: str
    version: int
    event_id: str
    unit_id: str
    kind: str
    year: int
    imposed_at: datetime
    stands: bool


class _Record(msgspec.Struct, gc=False):
    version: Annotated[int, msgspec.Meta(ge=1)]


class _Data(msgspec.Struct, gc=False):
    sanction_id: str
    unit_id: str
    veto: str
    year: int
    sanction: _Record


class _Event(msgspec.Struct, gc=False):
    id: str
    type: Literal["cn.pingyi.sanctions.veto-imposed.v1", "cn.pingyi.sanctions.veto-lifted.v1"]
    time: _AwareTime
    data: _Data
    synthetic: bool = False


class _Typed(msgspec.Struct, gc=False):
    type: str


_type: Final = msgspec.json.Decoder(_Typed).decode
_event: Final = msgspec.json.Decoder(_Event).decode


class Vetoes:
    """All vetoes: of each the event with the highest number counts, so order and repeats do not matter."""

    def __init__(self) -> None:
        """None yet."""
        self._by_id: dict[str, Veto] = {}
        self.position = 0
        """Sequence of the last event about sanctions that was folded; 0: none."""
        self.caught_up = False
        """Whether everything that was in the stream at the start has been folded."""

    def fold(self, body: bytes, position: int) -> bool:
        """Take in one event about sanctions; whether it was one about a veto.

        Raises:
            msgspec.MsgspecError: it is no event; as all of `UNREADABLE`.
        """
        self.position = position
        if _type(body).type not in {IMPOSED, LIFTED}:
            return False
        event = _event(body)
        data = event.data
        known = self._by_id.get(data.sanction_id)
        if event.synthetic or (known is not None and known.version >= data.sanction.version):
            return False
        imposed = event.type == IMPOSED
        self._by_id[data.sanction_id] = Veto(
            data.sanction_id,
            data.sanction.version,
            event.id if imposed or known is None else known.event_id,
            data.unit_id,
            data.veto,
            data.year,
            event.time if imposed or known is None else known.imposed_at,
            stands=imposed,
        )
        return True

    def of_year(self, year: int) -> Mapping[str, Veto]:
        """By unit the veto that keeps it from the awards of a year; of several the first imposed."""
        found: dict[str, Veto] = {}
        for veto in sorted(self._by_id.values(), key=lambda each: (each.imposed_at, each.event_id)):
            if veto.stands and veto.year == year:
                found.setdefault(veto.unit_id, veto)
        return found


class Masked(NamedTuple):
    """A unit that would have been named, with its rank in the list, and what keeps it from it."""

    row: Row
    veto: Veto


class Awards(NamedTuple):
    """Who comes first in one closed list.

    Attributes:
        list: the closed list, or the part of it that was asked for.
        named: those of the first ones that no veto keeps from it, by rank.
        masked: the others of the first ones, by rank.
        position: last event about sanctions that is taken into account.
    """

    list: PublishedList
    named: Sequence[Row]
    masked: Sequence[Masked]
    position: int


class ReadAwards:
    """Answers from closed lists as they stand, and from the vetoes known now."""

    def __init__(
        self, read: ReadRankings, vetoes: Vetoes, registry: UnitRegistry, most: Callable[[], int]
    ) -> None:
        """``most`` gives how many are named: the rule pack's ``lists.top``."""
        self._read = read
        self._vetoes = vetoes
        self._registry = registry
        self._most = most

    def of(self, level: str, kind: str | None, period: str, parent: str | None) -> Awards:
        """Who comes first in the closed list of a period, of one kind, below a city or county.

        Raises:
            InvalidValueError: no such list or parent, or its period has not closed; the message names what
                exists.
            NotFoundError: no such parent.
            TransientError: rankings or vetoes can't be shown yet.
        """
        if not self._vetoes.caught_up:
            found = f"vetoes up to {self._vetoes.position}"
            raise VetoesBehindError(describe(found, "all of them", "ask again"), RETRY_AFTER_S)
        lists = self._read.rankings().lists
        closed = {ListKey.parse(key): found for key, found in lists.items() if found.is_closed}
        if not closed:
            expected = "a closed period; none has closed yet"
            raise InvalidValueError(period, expected, "ask later", field="period")
        choose("period", period, [str(key.span) for key in closed])
        key = choose_list(WantedList(level, kind, None, period), list(closed))
        chosen = closed[key]
        if parent is not None:
            chosen = below(chosen, parent, self._registry)
        if not isinstance(key.span, Period):  # pragma: no cover - only periods close
            raise InvalidValueError(period, "a calendar period", "write it like 2026Q3", field="period")
        return _awards(chosen, self._vetoes.of_year(key.span.year), self._most(), self._vetoes.position)


class VetoesBehindError(TransientError):
    """Not all vetoes have been read yet."""


def _awards(found: PublishedList, vetoes: Mapping[str, Veto], most: int, position: int) -> Awards:
    named: list[Row] = []
    masked: list[Masked] = []
    for row in found.rows[:most]:
        if row.status != RANKED:
            break
        veto = vetoes.get(row.unit_id)
        if veto is None:
            named.append(row)
        else:
            masked.append(Masked(row, veto))
    return Awards(found, named, masked, position)
