"""Outcomes 整改结果: what became of rectification cases, in whole numbers by unit and day.

Each event of a case says the whole state after it, and its number. Of all events of a case that were ever
folded, the one with the highest number counts and no other, so any order, any repeats and any split of the
events give the same statistics. A case counts in a span

- if it was closed in it, as what it was closed as; or else
- if it is open and overdue at the span's end, as one that got nothing right: whoever never closes a case must
  not have a cleaner record than whoever does.

Any other open case, and one that was annulled, leaves no trace.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import PERIODS_KEPT_DAYS
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.ledger import CLOSED_AFTER_DAYS
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.spans import Period, PeriodKind, Rolling, Span, parse_span, period_of

OutcomeTable = NDArray[np.int64]
"""Shape (units, :data:`OUTCOME_WIDTH`), a row for each unit of the registry. Never changes once given."""

_Cells = Mapping[int, tuple[int, ...]]


class OutcomeColumn(IntEnum):
    """What one row counts: cases that were settled, and those that are overdue."""

    CASES = 0
    """All of them."""
    ON_TIME = 1
    """In which no deadline was ever missed."""
    ASKED = 2
    """With a citizen who can confirm."""
    CONFIRMED = 3
    """Of these, by the citizen's own word."""
    NOT_LASTED = 4
    """Whose answer was refused at least once, or did not last; or that have none, being overdue."""


OUTCOME_WIDTH: Final = len(OutcomeColumn)
_ID_BYTES: Final = 16
_KEPT_DAYS: Final = PERIODS_KEPT_DAYS + 366
"""A year that can still be restated began so long ago; the longest window with its history is shorter."""

# A state as a number: the case's version, two days (0: none), unit, four marks. So the greater of two numbers
# is the one that counts, and of two different states with one version (which rectify's lock rules out) it is
# the same one in any order.
_MARKS: Final = 4
_UNIT_BITS: Final = 20
_DAY_BITS: Final = 18
_DAY: Final = (1 << _DAY_BITS) - 1
_OVERDUE_AT: Final = _MARKS + _UNIT_BITS
_CLOSED_AT: Final = _OVERDUE_AT + _DAY_BITS
_VERSION_AT: Final = _CLOSED_AT + _DAY_BITS
_OUTCOME: Final = (1 << _VERSION_AT) - 1
LAST_DAY: Final = (1 << _DAY_BITS - 1) - 1
"""Highest day number that a state can have: in the year 2328."""
_STATE_BYTES: Final = 11
MOST_VERSIONS: Final = (1 << 8 * _STATE_BYTES - _VERSION_AT) - 1
_LAST_DAY: Final = itemgetter(1)
"""Of a period with its first and last day."""


class Outcome(NamedTuple):
    """What a case that was settled, or is overdue, says of its unit.

    Attributes:
        unit: the unit's place in the registry.
        closed_on: number of the day on which the case was closed; None: it is open.
        on_time: no deadline was missed.
        asked: there is a citizen who can confirm.
        confirmed: that citizen did.
        reopened: the answer was refused at least once, or did not last.
        overdue_on: number of the day from which on it was open with a missed deadline; None: it was not.
    """

    unit: int
    closed_on: int | None
    on_time: bool
    asked: bool
    confirmed: bool
    reopened: bool
    overdue_on: int | None = None

    @property
    def settled(self) -> tuple[int, ...]:
        """What it counts for where it was closed."""
        return (1, self.on_time, self.asked, self.confirmed, self.reopened)

    @property
    def overdue(self) -> tuple[int, ...]:
        """What it counts for where it was open and overdue at the end."""
        return (1, 0, self.asked, 0, 1)

    def counts(self, first: int, last: int) -> tuple[int, ...] | None:
        """What it counts for in a span from the day ``first`` to ``last``; None: it does not."""
        if self.closed_on is not None and self.closed_on <= last:
            return self.settled if first <= self.closed_on else None
        return self.overdue if self.overdue_on is not None and self.overdue_on <= last else None


class CaseState(NamedTuple):
    """What one event says about a case.

    Attributes:
        case_id: 16 bytes.
        version: the event's number among the case's own.
        outcome: what counts after it; None: the case is open and not overdue, or none.
        event_id: of the event.
        made_on: number of the day on which it was decided; later than a period is open, it corrects that.
    """

    case_id: bytes
    version: int
    outcome: Outcome | None
    event_id: str
    made_on: int


@dataclass(frozen=True, slots=True)
class OutcomeDays:
    """The kept days as they were at one moment; any thread may read it."""

    units: int = 0
    closed: Mapping[int, _Cells] = field(default_factory=lambda: MappingProxyType({}))
    """By the day of their closing."""
    overdue: Mapping[int, _Cells] = field(default_factory=lambda: MappingProxyType({}))
    """By the day on which they became overdue, less those that were closed on it."""

    def __bool__(self) -> bool:
        """Whether any case counts."""
        return bool(self.closed or self.overdue)

    def at(self, span: Span, as_of: int) -> OutcomeTable:
        """The table of a span as of a day."""
        first, last = _ends(span, as_of)
        cells = [cells for day, cells in self.closed.items() if first <= day <= last]
        cells += [cells for day, cells in self.overdue.items() if day <= last]
        return table_of(self.units, cells)


class Outcomes:
    """The newest state of every case, and the tables of the spans that are ranked.

    Memory: about 200 bytes for each case; those that were settled on time more than :data:`_KEPT_DAYS` days
    ago are forgotten. One that ever was overdue is not: an old event of it, told again, would count for ever.
    """

    def __init__(self, units: int, lengths: tuple[int, ...], as_of: int) -> None:
        """No cases; ``lengths`` are the rolling windows' in days, ``as_of`` is the number of the last day."""
        self._units = units
        self._lengths = lengths
        self.as_of = as_of
        """Number of the day that windows end on."""
        self._cases: dict[bytes, int] = {}
        self._closed: dict[int, _Cells] = {}
        self._overdue: dict[int, _Cells] = {}
        self._periods = _closed_periods(as_of)
        self._tables: dict[Span, OutcomeTable] = {}
        self._own: set[Span] = set()  # whose tables nobody was given yet, so that they may be changed
        self._touched: Counter[Period] = Counter()
        self._causes: dict[Period, list[str]] = {}

    def __len__(self) -> int:
        """How many cases are remembered."""
        return len(self._cases)

    # --- what comes in --------------------------------------------------------------------------------------

    def fold(self, state: CaseState) -> bool:
        """Take in one event; whether the statistics changed."""
        code = _encode(state)
        known = self._cases.get(state.case_id, 0)
        if code <= known:
            return False
        self._cases[state.case_id] = code
        old, new = _decode(known & _OUTCOME), _decode(code & _OUTCOME)
        if old == new:
            return False
        changed = False
        for outcome, sign in ((old, -1), (new, 1)):
            if outcome is None:
                continue
            for by_closing, day, amounts in _entries(outcome, self.as_of - _KEPT_DAYS):
                signed = tuple(sign * each for each in amounts)
                self._add(outcome.unit, day, signed, by_closing=by_closing)
                changed = True
        self._note(old, new, state)
        return changed

    def _add(self, unit: int, day: int, amounts: tuple[int, ...], *, by_closing: bool) -> None:
        days = self._closed if by_closing else self._overdue
        # A new mapping each time: whoever looks back may still read the old one. A day has few cases.
        changed = dict(days.get(day, {}))
        _add_to(changed, unit, amounts)
        if changed:
            days[day] = changed
        else:
            days.pop(day, None)
        for span in self._tables:
            first, last = _ends(span, self.as_of)
            if day <= last and (first <= day or not by_closing):
                if span not in self._own:
                    self._tables[span] = self._tables[span].copy()
                    self._own.add(span)
                self._tables[span][unit] += amounts

    def _note(self, old: Outcome | None, new: Outcome | None, state: CaseState) -> None:
        """Remember which closed periods have changed, and what corrected them."""
        days = (day for each in (old, new) if each for day in (each.closed_on, each.overdue_on))
        start = bisect_left(self._periods, min(day for day in days if day is not None), key=_LAST_DAY)
        for first, last, period in self._periods[start:]:
            if _counts(old, first, last) != _counts(new, first, last):
                self._touched[period] += 1
                if is_closed(period, state.made_on):
                    causes = self._causes.setdefault(period, [])
                    causes += [state.event_id] if state.event_id not in causes else []

    def _keeps(self, period: Period) -> bool:
        return day_number(period.last) >= self.as_of - PERIODS_KEPT_DAYS

    def advance(self, as_of: int) -> None:
        """Let the windows end on the later day ``as_of``, and forget what is settled since long before."""
        self.as_of = as_of
        self._tables = {}
        self._periods = _closed_periods(as_of)
        oldest = as_of - _KEPT_DAYS
        for case_id, code in list(self._cases.items()):
            outcome = _decode(code & _OUTCOME)
            if outcome is not None and outcome.on_time and (outcome.closed_on or oldest) < oldest:
                del self._cases[case_id]
        self._closed, self._overdue = _by_day(self._cases.values(), self._units, oldest)
        self._causes = {period: each for period, each in self._causes.items() if self._keeps(period)}

    def under(self, lengths: tuple[int, ...], as_of: int) -> "Outcomes":
        """The same cases for windows of other lengths, from the day ``as_of`` on; this one is used up."""
        self._lengths = lengths
        self.advance(as_of)
        return self

    # --- what comes out -------------------------------------------------------------------------------------

    def spans(self, open_periods: Iterable[Period]) -> Mapping[Span, OutcomeTable]:
        """The tables of all rolling windows and of the open periods; the same objects while nothing changes.

        Empty while no case counts at all.
        """
        if not self._closed and not self._overdue:
            self._tables = {}
            return {}
        wanted: list[Span] = [*map(Rolling, self._lengths), *open_periods]
        if self._tables.keys() != set(wanted):
            days = self.days()
            self._tables = {span: days.at(span, self.as_of) for span in wanted}
        self._own = set()
        return dict(self._tables)

    def period(self, period: Period) -> OutcomeTable:
        """The table of one period, open or closed, up to the present day."""
        return self.days().at(period, self.as_of)

    def days(self) -> OutcomeDays:
        """All that is kept as it is now; costs next to nothing."""
        return OutcomeDays(self._units, dict(self._closed), dict(self._overdue))

    def touched(self) -> Mapping[Period, int]:
        """How often each closed period has changed since the start."""
        return self._touched

    def causes(self, period: Period) -> tuple[str, ...]:
        """Ids of the events that changed a closed period and have not been restated yet."""
        return tuple(self._causes.get(period, ()))

    def forget_causes(self, period: Period, restated: Iterable[str]) -> None:
        """Forget the events that have been restated."""
        gone = set(restated)
        kept = [each for each in self._causes.get(period, ()) if each not in gone]
        if kept:
            self._causes[period] = kept
        else:
            self._causes.pop(period, None)

    # --- snapshots ------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers, texts and bytes; `load` takes it back."""
        return {
            "as_of": self.as_of,
            "ids": b"".join(self._cases),
            "states": b"".join(code.to_bytes(_STATE_BYTES, "big") for code in self._cases.values()),
            "causes": [(str(period), each) for period, each in self._causes.items()],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], units: int, lengths: tuple[int, ...]) -> "Outcomes":
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
            TypeError: likewise.
            ValueError: likewise.
        """
        found = cls(units, lengths, dumped["as_of"])
        ids, states = dumped["ids"], dumped["states"]
        if len(ids) * _STATE_BYTES != len(states) * _ID_BYTES:
            raise ValueError(f"{len(ids)} bytes of ids for {len(states)} bytes of states")
        for number in range(len(ids) // _ID_BYTES):
            code = states[_STATE_BYTES * number : _STATE_BYTES * (number + 1)]
            found._cases[ids[_ID_BYTES * number : _ID_BYTES * (number + 1)]] = int.from_bytes(code, "big")
        found._closed, found._overdue = _by_day(found._cases.values(), units, found.as_of - _KEPT_DAYS)
        causes = {_period(text): list(each) for text, each in dumped["causes"]}
        found._causes = causes
        found._touched.update(causes.keys())
        return found


def is_closed(period: Period, as_of: int) -> bool:
    """Whether a period's time for corrections is over on the day ``as_of``."""
    return as_of - day_number(period.last) > CLOSED_AFTER_DAYS


def _closed_periods(as_of: int) -> list[tuple[int, int, Period]]:
    """First and last day of the periods that are closed and can be restated; the first to end first."""
    found: list[tuple[int, int, Period]] = []
    for kind in PeriodKind:
        period = period_of(kind, day_of(as_of)).before
        while day_number(period.last) >= as_of - PERIODS_KEPT_DAYS:
            if is_closed(period, as_of):
                found.append((day_number(period.first), day_number(period.last), period))
            period = period.before
    return sorted(found, key=_LAST_DAY)


def _counts(outcome: Outcome | None, first: int, last: int) -> tuple[int, ...] | None:
    """The unit, and what an outcome counts for in a span."""
    amounts = None if outcome is None else outcome.counts(first, last)
    return None if outcome is None or amounts is None else (outcome.unit, *amounts)


def _entries(outcome: Outcome, oldest: int) -> Iterator[tuple[bool, int, tuple[int, ...]]]:
    """Where an outcome counts: whether on the day of a closing, the day, and what for.

    What is overdue counts from its day on, until it is closed; from before the ``oldest`` day, as from that.
    """
    closed, overdue = outcome.closed_on, outcome.overdue_on
    if closed is not None and closed >= oldest:
        yield True, closed, outcome.settled
    if overdue is not None and (closed is None or max(overdue, oldest) < closed):
        yield False, max(overdue, oldest), outcome.overdue
        if closed is not None:
            yield False, closed, tuple(-each for each in outcome.overdue)


def _add_to(cells: dict[int, tuple[int, ...]], unit: int, amounts: tuple[int, ...]) -> None:
    """Add to a unit's cell; what comes to nothing goes."""
    before = cells.get(unit, (0,) * OUTCOME_WIDTH)
    after = tuple(one + other for one, other in zip(before, amounts, strict=True))
    if any(after):
        cells[unit] = after
    else:
        cells.pop(unit, None)


def table_of(units: int, days: Iterable[_Cells]) -> OutcomeTable:
    """The sum of some days."""
    places: list[int] = []
    rows: list[tuple[int, ...]] = []
    for cells in days:
        places.extend(cells)
        rows.extend(cells.values())
    total = np.zeros((units, OUTCOME_WIDTH), dtype=np.int64)
    if places:
        np.add.at(total, np.array(places), np.array(rows, dtype=np.int64))
    return total


def of_level(level: LevelRoster, table: OutcomeTable) -> OutcomeTable:
    """The table of one level's units; a bureau's row is its whole subtree."""
    found = np.zeros((len(level.units), OUTCOME_WIDTH), dtype=np.int64)
    places = np.flatnonzero(table[:, OutcomeColumn.CASES])
    owners = level.owner[places]
    owned = owners >= 0
    np.add.at(found, owners[owned], table[places[owned]])
    return found


def _ends(span: Span, as_of: int) -> tuple[int, int]:
    """First and last day of a span on the day ``as_of``."""
    if isinstance(span, Rolling):
        return as_of - span.days + 1, as_of
    return day_number(span.first), min(day_number(span.last), as_of)


def _encode(state: CaseState) -> int:
    code = state.version << _VERSION_AT
    if state.outcome is None:
        return code
    unit, closed_on, on_time, asked, confirmed, reopened, overdue_on = state.outcome
    marks = on_time << 3 | asked << 2 | confirmed << 1 | reopened
    for day, at in ((closed_on, _CLOSED_AT), (overdue_on, _OVERDUE_AT)):
        code |= 0 if day is None else (day + 1) << at
    return code | unit << _MARKS | marks


def _decode(code: int) -> Outcome | None:
    if not code >> _OVERDUE_AT:
        return None
    closed, overdue = code >> _CLOSED_AT & _DAY, code >> _OVERDUE_AT & _DAY
    return Outcome(
        unit=code >> _MARKS & ((1 << _UNIT_BITS) - 1),
        closed_on=closed - 1 if closed else None,
        on_time=bool(code >> 3 & 1),
        asked=bool(code >> 2 & 1),
        confirmed=bool(code >> 1 & 1),
        reopened=bool(code & 1),
        overdue_on=overdue - 1 if overdue else None,
    )


def _by_day(codes: Iterable[int], units: int, oldest: int) -> tuple[dict[int, _Cells], dict[int, _Cells]]:
    """The cells by day of the closing, and by day on which cases became overdue."""
    closed: dict[int, dict[int, tuple[int, ...]]] = {}
    overdue: dict[int, dict[int, tuple[int, ...]]] = {}
    for code in codes:
        outcome = _decode(code & _OUTCOME)
        if outcome is None:
            continue
        if outcome.unit >= units:
            raise ValueError(f"a case of unit {outcome.unit} of {units}")
        for by_closing, day, amounts in _entries(outcome, oldest):
            _add_to((closed if by_closing else overdue).setdefault(day, {}), outcome.unit, amounts)
    return _filled(closed), _filled(overdue)


def _filled(days: Mapping[int, _Cells]) -> dict[int, _Cells]:
    return {day: cells for day, cells in days.items() if cells}


def _period(text: str) -> Period:
    found = parse_span(text)
    if not isinstance(found, Period):
        raise ValueError(text)  # noqa: TRY004 - the value is wrong, whatever its type
    return found
