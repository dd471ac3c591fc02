"""Reading back what was told: the events of RANKING, as far as the next publication has to know them."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Final

import msgspec
import structlog

from services.scoring.application.told import Told, ToldList, ToldPeriod
from services.scoring.domain.announcements import Announced
from shared.events import (
    EventData,
    PeriodClosed,
    PeriodRestated,
    RankingRevised,
    UnitScoreChanged,
    spec_for_data,
)
from shared.events.ranking import ROWS_IN_A_MESSAGE
from shared.events.unreadable import UNREADABLE
from shared.messaging.direct import Read

log = structlog.get_logger(__name__)


class _Row(msgspec.Struct, gc=False):
    unit_id: str


class _RevisedData(msgspec.Struct, gc=False):
    list: str
    list_hash: str
    changed_units: int
    changed: tuple[_Row, ...] = ()
    gone: tuple[str, ...] = ()
    withdrawn: bool = False


class _ClosedData(msgspec.Struct, gc=False):
    list: str
    list_hash: str
    closed_on: date


class _RestatedData(msgspec.Struct, gc=False):
    list: str
    list_hash: str
    closed_hash: str
    restatement: int


class _ChangedData(msgspec.Struct, gc=False):
    unit_id: str
    as_of: str
    rank: int | None = None
    day_start_rank: int | None = None
    score: float | None = None
    band: str | None = None


class _Revised(msgspec.Struct, gc=False):
    data: _RevisedData


class _Closed(msgspec.Struct, gc=False):
    data: _ClosedData


class _Restated(msgspec.Struct, gc=False):
    data: _RestatedData


class _Changed(msgspec.Struct, gc=False):
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: _ChangedData


def _fact(data: type[EventData]) -> str:
    return f".{spec_for_data(data).fact}."


_REVISED: Final = _fact(RankingRevised)
_CLOSED: Final = _fact(PeriodClosed)
_RESTATED: Final = _fact(PeriodRestated)
_CHANGED: Final = _fact(UnitScoreChanged)
_revised = msgspec.json.Decoder(_Revised).decode
_closed = msgspec.json.Decoder(_Closed).decode
_restated = msgspec.json.Decoder(_Restated).decode
_changed = msgspec.json.Decoder(_Changed).decode


def read_told(events: Iterable[Read]) -> Told:
    """What these events tell, in their order; others of the stream say nothing of it, nor does what is none.

    Nobody but scoring may write there; should somebody all the same, rankings go on.
    """
    found = _Found()
    for event in events:
        found.last = event.sequence
        try:
            found.take(event.subject, event.data)
        except UNREADABLE as error:
            log.warning("told_unreadable", sequence=event.sequence, reason=str(error))
    return Told(found.last, found.lists, found.units, found.periods)


class _Found:
    """What has been read so far; see `Told`."""

    def __init__(self) -> None:
        self.last = 0
        self.lists: dict[str, ToldList] = {}
        self.units: dict[str, Announced] = {}
        self.periods: dict[str, ToldPeriod] = {}

    def take(self, subject: str, body: bytes) -> None:
        """Read one more event."""
        if _REVISED in subject:
            revised = _revised(body).data
            named = frozenset((*(row.unit_id for row in revised.changed), *revised.gone))
            whole = len(revised.changed) == revised.changed_units and len(revised.gone) < ROWS_IN_A_MESSAGE
            told = ToldList(revised.list_hash, named if whole else None, revised.withdrawn, named)
            self.lists[revised.list] = told.after(self.lists.get(revised.list))
        elif _CHANGED in subject:
            changed = _changed(body)
            self.units[changed.data.unit_id] = _announced(changed)
        elif _CLOSED in subject:
            closed = _closed(body).data
            self.periods[closed.list] = ToldPeriod(closed.list_hash, closed.list_hash, closed.closed_on, 0)
        elif _RESTATED in subject:
            again = _restated(body).data
            before = self.periods.get(again.list)
            closed_on = before.closed_on if before is not None else None
            told_period = ToldPeriod(again.list_hash, again.closed_hash, closed_on, again.restatement)
            self.periods[again.list] = told_period


def _announced(event: _Changed) -> Announced:
    at_ms = round(event.time.timestamp() * 1000)
    data = event.data
    if data.score is None:
        return Announced(at_ms)
    return Announced(at_ms, data.rank, data.score, data.band, data.as_of, data.day_start_rank)
