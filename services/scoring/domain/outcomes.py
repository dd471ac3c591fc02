"""Outcomes 整改结果: what became of rectification cases, in whole numbers by unit and day of the closing.

Each event of a case says the whole state after it, and its number. Of all events of a case that were ever
folded, the one with the highest number counts and no other, so any order, any repeats and any split of the
events give the same statistics. A case counts once it is settled, on the day on which it was closed; one that
is open again or annulled leaves no trace.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import PERIODS_KEPT_DAYS
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.ledger import CLOSED_AFTER_DAYS
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.spans import Period, Rolling, Span, parse_span, periods_of

OutcomeTable = NDArray[np.int64]
"""Shape (units, :data:`OUTCOME_WIDTH`), a row for each unit of the registry. Never changes once given."""

_Cells = Mapping[int, tuple[int, ...]]


class OutcomeColumn(IntEnum):
    """What one row counts: settled cases."""

    SETTLED = 0
    """All of them."""
    ON_TIME = 1
    """In which no deadline was ever missed."""
    ASKED = 2
    """With a citizen who could confirm."""
    CONFIRMED = 3
    """Of these, by the citizen's own word."""
    REOPENED = 4
    """Whose answer was refused at least once, or did not last."""


OUTCOME_WIDTH: Final = len(OutcomeColumn)
_ID_BYTES: Final = 16
_KEPT_DAYS: Final = PERIODS_KEPT_DAYS + 366
"""A year that can still be restated began so long ago; the longest window with its history is shorter."""

# A state as a number: the case's version, whether it is settled, day, unit, four marks. So the greater of two
# numbers is the one that counts, and of two different states with one version (which rectify's lock rules
# out) it is the same one in any order.
_MARKS: Final = 4
_UNIT_BITS: Final = 20
_DAY_BITS: Final = 17
_DAY_AT: Final = _MARKS + _UNIT_BITS
_SETTLED: Final = 1 << (_DAY_AT + _DAY_BITS)
_VERSION_AT: Final = _DAY_AT + _DAY_BITS + 1
_OUTCOME: Final = (1 << _VERSION_AT) - 1
LAST_DAY: Final = (1 << _DAY_BITS) - 1
"""Highest day number that a state can have: in the year 2328."""
MOST_VERSIONS: Final = (1 << 63 - _VERSION_AT) - 1


class Outcome(NamedTuple):
    """What a settled case says of its unit.

    Attributes:
        unit: the unit's place in the registry.
        day: number of the day on which the case was closed.
        on_time: no deadline was missed.
        asked: there is a citizen who could confirm.
        confirmed: that citizen did.
        reopened: the answer was refused at least once, or did not last.
    """

    unit: int
    day: int
    on_time: bool
    asked: bool
    confirmed: bool
    reopened: bool


class CaseState(NamedTuple):
    """What one event says about a case.

    Attributes:
        case_id: 16 bytes.
        version: the event's number among the case's own.
        outcome: what counts after it; None: the case is open, or none.
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
    days: Mapping[int, _Cells] = field(default_factory=lambda: MappingProxyType({}))

    def at(self, span: Span, as_of: int) -> OutcomeTable:
        """The table of a span as of a day: what was closed up to it."""
        return table_of(self.units, self.days, *_ends(span, as_of))


class Outcomes:
    """The newest state of every case, and the tables of the spans that are ranked.

    Memory: about 200 bytes for each case; those that were settled more than :data:`_KEPT_DAYS` days ago are
    forgotten.
    """

    def __init__(self, units: int, lengths: tuple[int, ...], as_of: int) -> None:
        """No cases; ``lengths`` are the rolling windows' in days, ``as_of`` is the number of the last day."""
        self._units = units
        self._lengths = lengths
        self.as_of = as_of
        """Number of the day that windows end on."""
        self._cases: dict[bytes, int] = {}
        self._days: dict[int, _Cells] = {}
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
        old, new = known & _OUTCOME, code & _OUTCOME
        if old == new:
            return False
        changed = False
        for outcome, sign in ((_decode(old), -1), (_decode(new), 1)):
            if outcome is not None and outcome.day >= self.as_of - _KEPT_DAYS:
                self._add(outcome, sign)
                self._note(outcome.day, state)
                changed = True
        return changed

    def _add(self, outcome: Outcome, sign: int) -> None:
        amounts = (
            sign,
            sign * outcome.on_time,
            sign * outcome.asked,
            sign * outcome.confirmed,
            sign * outcome.reopened,
        )
        cells = self._days.get(outcome.day, {})
        before = cells.get(outcome.unit, (0,) * OUTCOME_WIDTH)
        after = tuple(one + other for one, other in zip(before, amounts, strict=True))
        # A new mapping each time: whoever looks back may still read the old one. A day has few cases.
        changed = {**cells, outcome.unit: after}
        if not any(after):
            del changed[outcome.unit]
        if changed:
            self._days[outcome.day] = changed
        else:
            self._days.pop(outcome.day, None)
        for span in self._tables:
            first, last = _ends(span, self.as_of)
            if first <= outcome.day <= last:
                if span not in self._own:
                    self._tables[span] = self._tables[span].copy()
                    self._own.add(span)
                self._tables[span][outcome.unit] += amounts

    def _note(self, day: int, state: CaseState) -> None:
        """Remember that a closed period has changed, and what corrected it."""
        if self.as_of - day <= CLOSED_AFTER_DAYS:
            return
        for period in periods_of(day_of(day)):
            if is_closed(period, self.as_of) and self._keeps(period):
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
        oldest = as_of - _KEPT_DAYS
        for day in [day for day in self._days if day < oldest]:
            del self._days[day]
        for case_id, code in list(self._cases.items()):
            outcome = _decode(code & _OUTCOME)
            if outcome is not None and outcome.day < oldest:
                del self._cases[case_id]
        self._causes = {period: each for period, each in self._causes.items() if self._keeps(period)}

    def under(self, lengths: tuple[int, ...], as_of: int) -> "Outcomes":
        """The same cases for windows of other lengths, from the day ``as_of`` on; this one is used up."""
        self._lengths = lengths
        self.advance(as_of)
        return self

    # --- what comes out -------------------------------------------------------------------------------------

    def spans(self, open_periods: Iterable[Period]) -> Mapping[Span, OutcomeTable]:
        """The tables of all rolling windows and of the open periods; the same objects while nothing changes.

        Empty while there is no settled case at all.
        """
        if not self._days:
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
        return OutcomeDays(self._units, dict(self._days))

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
            "states": list(self._cases.values()),
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
        if len(ids) != _ID_BYTES * len(states):
            raise ValueError(f"{len(ids)} bytes of ids for {len(states)} cases")
        for number, code in enumerate(states):
            found._cases[ids[_ID_BYTES * number : _ID_BYTES * (number + 1)]] = code
        found._days = _by_day(found._cases.values(), units, found.as_of - _KEPT_DAYS)
        causes = {_period(text): list(each) for text, each in dumped["causes"]}
        found._causes = causes
        found._touched.update(causes.keys())
        return found


def is_closed(period: Period, as_of: int) -> bool:
    """Whether a period's time for corrections is over on the day ``as_of``."""
    return as_of - day_number(period.last) > CLOSED_AFTER_DAYS


def table_of(units: int, days: Mapping[int, _Cells], first: int, last: int) -> OutcomeTable:
    """What was closed on the days ``first`` … ``last``, ends included."""
    places: list[int] = []
    rows: list[tuple[int, ...]] = []
    for day, cells in days.items():
        if first <= day <= last:
            places.extend(cells)
            rows.extend(cells.values())
    total = np.zeros((units, OUTCOME_WIDTH), dtype=np.int64)
    if places:
        np.add.at(total, np.array(places), np.array(rows, dtype=np.int64))
    return total


def of_level(level: LevelRoster, table: OutcomeTable) -> OutcomeTable:
    """The table of one level's units; a bureau's row is its whole subtree."""
    found = np.zeros((len(level.units), OUTCOME_WIDTH), dtype=np.int64)
    places = np.flatnonzero(table[:, OutcomeColumn.SETTLED])
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
    unit, day, on_time, asked, confirmed, reopened = state.outcome
    marks = on_time << 3 | asked << 2 | confirmed << 1 | reopened
    return code | _SETTLED | day << _DAY_AT | unit << _MARKS | marks


def _decode(code: int) -> Outcome | None:
    if not code & _SETTLED:
        return None
    return Outcome(
        unit=code >> _MARKS & ((1 << _UNIT_BITS) - 1),
        day=code >> _DAY_AT & ((1 << _DAY_BITS) - 1),
        on_time=bool(code >> 3 & 1),
        asked=bool(code >> 2 & 1),
        confirmed=bool(code >> 1 & 1),
        reopened=bool(code & 1),
    )


def _by_day(codes: Iterable[int], units: int, oldest: int) -> dict[int, _Cells]:
    days: dict[int, dict[int, tuple[int, ...]]] = {}
    for code in codes:
        outcome = _decode(code & _OUTCOME)
        if outcome is None or outcome.day < oldest:
            continue
        if outcome.unit >= units:
            raise ValueError(f"a case of unit {outcome.unit} of {units}")
        cells = days.setdefault(outcome.day, {})
        before = cells.get(outcome.unit, (0,) * OUTCOME_WIDTH)
        amounts = (1, outcome.on_time, outcome.asked, outcome.confirmed, outcome.reopened)
        cells[outcome.unit] = tuple(one + other for one, other in zip(before, amounts, strict=True))
    return dict(days)


def _period(text: str) -> Period:
    found = parse_span(text)
    if not isinstance(found, Period):
        raise ValueError(text)  # noqa: TRY004 - the value is wrong, whatever its type
    return found
