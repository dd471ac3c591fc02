"""The ledger 评议账: folds ratings and what was decided about them into daily buckets.

A rating goes through three gates: it may be held or excluded (`ratings.State`), late, or replaced by a later
one of the same citizen. What passes weighs what its clusters let it weigh. The result depends on the *set* of
events alone: any order, any repeats and any split into batches give the same statistics and the same books,
as long as the stream's disorder stays within the memory's bound (:data:`SLACK_DAYS`).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from services.scoring.domain.books import Books
from services.scoring.domain.buckets import DailyBuckets, IntTable, Statistics
from services.scoring.domain.clusters import Clusters
from services.scoring.domain.days import DAY_MS, SHANGHAI_MS, day_number, day_of, day_of_ms
from services.scoring.domain.history import History
from services.scoring.domain.pace import DayPace, Pace
from services.scoring.domain.ratings import PUBLIC, SOURCES, Rating, Revision, State
from services.scoring.domain.replacements import Replacements
from services.scoring.domain.spans import Period, PeriodKind, Rolling, Span, periods_of
from shared.kernel.grades import Source
from shared.rules.pack import Windows

SLACK_DAYS: Final = 5
"""By how many days of receipt the stream may be out of order without an effect on the result."""

CLOSED_AFTER_DAYS: Final = 30
"""How long after its end a calendar period stays open for late ratings and corrections."""

_ID_BYTES: Final = 16


class PeriodChange(NamedTuple):
    """What happened to a period after its end.

    Attributes:
        times: how often its statistics have changed since the start; the same number means no change.
        causes: ids of the correcting events that have not been restated yet.
    """

    times: int
    causes: tuple[str, ...]


class Ledger:
    """The fold's state: daily buckets by source, books, and the memory that recognises what belongs together.

    Memory, beside the buckets: about 120 bytes for each event id of the last ``replacement_days`` +
    :data:`SLACK_DAYS` days of receipt (measured against the newest receipt that was folded, never a clock);
    see `Replacements` and `Clusters` for theirs. A repeat that comes later than that counts again; the event
    id, the broker's window and intake's index stand before it.

    Decisions are kept for good, one for each rating that was decided about: a later decision takes away what
    the last one left, however late it comes (an appeal is upheld, a closed year is corrected), and the books
    have to stay balanced. Without the last one it would be undone as if it had never been. They grow with
    what people and the quarantine decide, not with the ratings.
    """

    def __init__(self, units: int, rules: Windows, as_of: int) -> None:
        """An empty ledger for ``units`` units whose windows end on the day number ``as_of``."""
        self._units = units
        self._rules = rules
        self._late_ms = rules.lateness_days * DAY_MS
        self._memory_days = max(rules.replacement_days, rules.lateness_days) + SLACK_DAYS
        self._public = DailyBuckets(units, rules.days, as_of)
        self._buckets: dict[int, DailyBuckets] = {PUBLIC: self._public}
        self._pace = Pace(units, as_of)
        self._clusters = Clusters(self._recount)
        self._replacements = Replacements(rules.replacement_days, self._count, self._uncount)
        self._newest_day: int | None = None
        self._seen: set[bytes] = set()
        self._seen_by_day: dict[int, list[bytes]] = {}
        self._revisions: dict[bytes, Revision] = {}
        self._late_by_day: Counter[int] = Counter()
        self._late_in: dict[Period, int] = {}
        self._causes: dict[Period, list[str]] = {}
        self._accepted = self._counted = self._held = self._excluded = self._late = 0
        self._duplicates = self._synthetic = 0

    @property
    def as_of(self) -> int:
        """The day number that the windows end on."""
        return self._public.as_of

    def advance(self, as_of: int) -> None:
        """Move the windows on to the day number ``as_of``; see :meth:`DailyBuckets.advance`."""
        for buckets in self._buckets.values():
            buckets.advance(as_of)
        self._pace.advance(as_of)
        oldest = as_of - self._rules.days[-1] - self._memory_days - CLOSED_AFTER_DAYS
        self._clusters.forget(oldest)
        self._replacements.forget(oldest)

    def settle(self, least: int = 1) -> None:
        """Add up what waits if it is at least so much; the spans do it anyway."""
        for buckets in self._buckets.values():
            if buckets.waiting >= least:
                buckets.settle()
        self._pace.settle(least)

    # --- what comes in --------------------------------------------------------------------------------------

    def fold(self, rating: Rating) -> bool:
        """Take in one rating; whether the statistics or the books of accepted ratings changed.

        A probe is never counted, and an event id counts once.
        """
        # Unpacked at once: named one by one, the fields would take five times as long.
        event_id, _, _, _, occurred_ms, received_ms, repeat_key, synthetic, _, _, _, _, _ = rating
        if synthetic:
            self._synthetic += 1
            return False
        seen = self._seen
        before = len(seen)
        seen.add(event_id)
        if len(seen) == before:
            self._duplicates += 1
            return False
        day = (received_ms + SHANGHAI_MS) // DAY_MS  # `day_of_ms`, whose call would cost as much again
        ids = self._seen_by_day.get(day)
        if ids is None:
            ids = self._open_day(day)
        ids.append(event_id)
        self._accepted += 1
        if self._revisions:
            decided = self._revisions.get(event_id)
            if decided is not None:  # its correction was faster
                self._put(decided.standing, decided.state)
                return True
        # What `_admit` does, of which this is the usual case.
        if received_ms - occurred_ms > self._late_ms:
            self._admit(rating)
        elif repeat_key is None:
            self._count(rating)
        else:
            self._replacements.add(rating, repeat_key, day)
        return True

    def revise(self, revision: Revision) -> bool:
        """Take in what was decided about a rating; whether anything changed. The highest number wins.

        What the rating contributed so far is taken away exactly, and what stands from now on is added. A
        decision that comes before its rating waits for it.
        """
        submitted = revision.submitted
        if submitted.synthetic:
            return False
        event_id = submitted.event_id
        known = self._revisions.get(event_id)
        if known is not None and known.number >= revision.number:
            return False
        self._revisions[event_id] = revision
        if not self._has_folded(submitted):
            return False
        if known is None:
            self._withdraw(submitted)
        else:
            self._take_away(known.standing, known.state)
        self._put(revision.standing, revision.state)
        self._note_cause(revision)
        return True

    def _note_cause(self, revision: Revision) -> None:
        """Remember a decision that may change closed periods, for their restatement."""
        for day in {day_of_ms(each.occurred_ms) for each in (revision.submitted, revision.standing)}:
            for period in periods_of(day_of(day)):
                if self._is_closed(period):
                    self._causes.setdefault(period, []).append(revision.event_id)

    def _has_folded(self, rating: Rating) -> bool:
        if rating.event_id in self._seen:
            return True
        # Older than the memory: its event came long ago, or the decision could not name it.
        return (
            self._newest_day is not None
            and day_of_ms(rating.received_ms) < self._newest_day - self._memory_days
        )

    # --- the gates ------------------------------------------------------------------------------------------

    def _put(self, rating: Rating, state: State) -> None:
        if state is State.HELD:
            self._held += 1
        elif state is State.EXCLUDED:
            self._excluded += 1
        else:
            self._admit(rating)

    def _take_away(self, rating: Rating, state: State) -> None:
        if state is State.HELD:
            self._held -= 1
        elif state is State.EXCLUDED:
            self._excluded -= 1
        else:
            self._withdraw(rating)

    def _admit(self, rating: Rating) -> None:
        """Count a rating, unless it is late or replaced."""
        if rating.received_ms - rating.occurred_ms > self._late_ms:
            self._note_late(rating, 1)
        elif (key := rating.repeat_key) is None:
            self._count(rating)
        else:
            self._replacements.add(rating, key, day_of_ms(rating.received_ms))

    def _withdraw(self, rating: Rating) -> None:
        """Undo `_admit`."""
        if rating.received_ms - rating.occurred_ms > self._late_ms:
            self._note_late(rating, -1)
        elif rating.repeat_key is None:
            self._uncount(rating)
        else:
            self._replacements.remove(rating, rating.repeat_key)

    def _note_late(self, rating: Rating, more: int) -> None:
        self._late += more
        self._late_by_day[day_of_ms(rating.occurred_ms)] += more
        self._late_in.clear()

    def _count(self, rating: Rating) -> None:
        self._counted += 1
        _, unit, grade, weight, occurred_ms, _, _, _, source, place, fingerprints, dimensions, proven = rating
        day = (occurred_ms + SHANGHAI_MS) // DAY_MS
        if fingerprints:
            weight = self._clusters.add(rating, day)
        if source == PUBLIC:
            self._public.add(unit, day, grade, place, weight, dimensions, proven=proven)
            if day >= self._pace.first_day:
                self._pace.add(unit, day, occurred_ms)
        else:
            self._buckets_of(source).add(unit, day, grade, place, weight, dimensions, proven=proven)

    def _uncount(self, rating: Rating) -> None:
        self._counted -= 1
        weight = self._clusters.remove(rating) if rating.fingerprints else rating.weight_milli
        day = day_of_ms(rating.occurred_ms)
        self._buckets_of(rating.source).remove(
            rating.unit, day, rating.grade, rating.place, weight, rating.dimensions, proven=rating.proven
        )
        if rating.source == PUBLIC:
            self._pace.remove(rating.unit, day, rating.occurred_ms)

    def _recount(self, rating: Rating, old_milli: int, new_milli: int) -> None:
        buckets, day = self._buckets_of(rating.source), day_of_ms(rating.occurred_ms)
        buckets.remove(rating.unit, day, rating.grade, rating.place, old_milli, proven=rating.proven)
        buckets.add(rating.unit, day, rating.grade, rating.place, new_milli, proven=rating.proven)

    def _buckets_of(self, source: int) -> DailyBuckets:
        found = self._buckets.get(source)
        if found is None:
            found = self._buckets[source] = DailyBuckets(self._units, self._rules.days, self.as_of)
        return found

    # --- the memory -----------------------------------------------------------------------------------------

    def _open_day(self, day: int) -> list[bytes]:
        """Begin to remember a day of receipt; a newer one than all before lets old ones go."""
        ids = self._seen_by_day[day] = []
        if self._newest_day is None or day > self._newest_day:
            self._newest_day = day
            self._forget(day)
        return ids

    def _forget(self, newest: int) -> None:
        """Drop what nothing that may still come can refer to, the newest day of receipt being ``newest``."""
        before = newest - self._memory_days
        for day in [day for day in self._seen_by_day if day < before]:
            self._seen.difference_update(self._seen_by_day.pop(day))
        self._replacements.forget_single(newest - self._rules.replacement_days - SLACK_DAYS)
        self._clusters.put_away(newest - self._rules.lateness_days - SLACK_DAYS)

    def remembered(self) -> tuple[int, int]:
        """How many event ids and how many pairs of citizen and transaction are in memory."""
        return len(self._seen), len(self._replacements)

    # --- what comes out -------------------------------------------------------------------------------------

    def windows(self) -> dict[int, IntTable]:
        """The public's statistics of every rolling window; copies."""
        return self._public.windows()

    def daily_ratings(self, days: int) -> IntTable:
        """The public's plain counts of the last ``days`` days, shape (days, units), oldest first; a copy."""
        return self._public.counts(self.as_of - days + 1, self.as_of)

    def pace(self) -> tuple[DayPace, ...]:
        """How closely the public's ratings follow one another, yesterday and today; copies."""
        return self._pace.days()

    def spans(self) -> dict[Span, Statistics]:
        """The statistics of every rolling window and open period, shortest first; copies."""
        found: dict[Span, dict[Source, IntTable]] = {}
        for source, buckets in self._buckets_by_source():
            for days, table in buckets.windows().items():
                _enter(found, Rolling(days), source, table)
            for period in self.open_periods():
                _enter(found, period, source, buckets.period(period))
        return dict(found)

    def before(self) -> dict[Span, Statistics]:
        """What to compare `spans` with: yesterday's windows by today's knowledge, and the periods before."""
        found: dict[Span, dict[Source, IntTable]] = {}
        for source, buckets in self._buckets_by_source():
            for days, table in buckets.windows_before().items():
                _enter(found, Rolling(days), source, table)
            for period in self.open_periods():
                _enter(found, period, source, buckets.period(period.before))
        return dict(found)

    def period(self, period: Period) -> Statistics:
        """The statistics of one period, open or closed."""
        found: dict[Span, dict[Source, IntTable]] = {}
        for source, buckets in self._buckets_by_source():
            _enter(found, period, source, buckets.period(period))
        return found[period]

    def open_periods(self) -> tuple[Period, ...]:
        """Months, quarters and years that are running or ended at most 30 days ago; by kind, oldest first."""
        found: list[Period] = []
        for period in periods_of(day_of(self.as_of)):
            still_open = [period]
            while self.as_of - day_number(still_open[0].before.last) <= CLOSED_AFTER_DAYS:
                still_open.insert(0, still_open[0].before)
            found += still_open
        return tuple(found)

    def _is_closed(self, period: Period) -> bool:
        return self.as_of - day_number(period.last) > CLOSED_AFTER_DAYS

    def closed_changes(self) -> dict[Period, "PeriodChange"]:
        """The closed periods whose statistics have changed since the start, with how far that has come.

        After a restart these are all that are kept: what was changed before it may not have been restated.
        """
        self.settle()
        touched: Counter[Period] = Counter()
        for buckets in self._buckets.values():
            touched.update(buckets.touched)
        return {
            period: PeriodChange(times, tuple(self._causes.get(period, ())))
            for period, times in touched.items()
            if self._is_closed(period)
        }

    def forget_causes(self, changes: Mapping[Period, "PeriodChange"]) -> None:
        """Forget the decisions of ``changes``, which have been restated."""
        for period, change in changes.items():
            kept = [each for each in self._causes.get(period, ()) if each not in change.causes]
            if kept:
                self._causes[period] = kept
            else:
                self._causes.pop(period, None)

    def late_in(self, period: Period) -> int:
        """How many ratings of that period came too late to count."""
        found = self._late_in.get(period)
        if found is None:
            first, last = day_number(period.first), day_number(period.last)
            found = sum(count for day, count in self._late_by_day.items() if first <= day <= last)
            self._late_in[period] = found  # asked for at every publication, of every closed period
        return found

    def history(self) -> History:
        """The days of all sources as they are now, to be looked back at in any thread."""
        return History(
            {source: buckets.history() for source, buckets in self._buckets_by_source()}, self._rules.days
        )

    def _buckets_by_source(self) -> list[tuple[Source, DailyBuckets]]:
        return [(SOURCES[each], self._buckets[each]) for each in sorted(self._buckets, key=_public_first)]

    def books(self) -> Books:
        """The accounts of everything folded so far."""
        return Books(
            accepted=self._accepted,
            counted=self._counted,
            replaced=self._replacements.replaced,
            late=self._late,
            held=self._held,
            excluded=self._excluded,
            duplicates=self._duplicates,
            synthetic=self._synthetic,
        )

    # --- snapshots ------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers, lists and bytes; `load` takes it back."""
        return {
            "buckets": {source: buckets.dump() for source, buckets in self._buckets.items()},
            "clusters": self._clusters.dump(),
            "pace": self._pace.dump(),
            "replacements": self._replacements.dump(),
            "seen": {day: b"".join(ids) for day, ids in self._seen_by_day.items()},
            "newest_day": self._newest_day,
            "revisions": [
                (each.number, int(each.state), tuple(each.submitted), tuple(each.standing), each.event_id)
                for each in self._revisions.values()
            ],
            "late_by_day": dict(self._late_by_day),
            "causes": [
                (str(period.kind), period.year, period.number, causes)
                for period, causes in self._causes.items()
            ],
            "counts": [
                self._accepted, self._counted, self._held, self._excluded, self._late,
                self._duplicates, self._synthetic,
            ],
        }  # fmt: skip

    @classmethod
    def load(cls, dumped: Mapping[str, Any], units: int, rules: Windows) -> "Ledger":
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
            ValueError: likewise.
            TypeError: likewise.
        """
        buckets = {source: DailyBuckets.load(each) for source, each in dumped["buckets"].items()}
        found = cls(units, rules, buckets[PUBLIC].as_of)
        found._buckets, found._public = buckets, buckets[PUBLIC]
        found._clusters.load(dumped["clusters"])
        found._pace.load(dumped["pace"])
        found._replacements.load(dumped["replacements"])
        for day, joined in dumped["seen"].items():
            ids = [joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)]
            found._seen_by_day[day] = ids
            found._seen.update(ids)
        found._newest_day = dumped["newest_day"]
        for number, state, submitted, standing, event_id in dumped["revisions"]:
            revision = Revision(number, State(state), _rating(submitted), _rating(standing), event_id)
            found._revisions[revision.submitted.event_id] = revision
        found._late_by_day = Counter(dumped["late_by_day"])
        found._causes = {
            Period(PeriodKind(kind), year, number): causes for kind, year, number, causes in dumped["causes"]
        }
        (
            found._accepted, found._counted, found._held, found._excluded, found._late,
            found._duplicates, found._synthetic,
        ) = dumped["counts"]  # fmt: skip
        return found


def _rating(values: list[Any]) -> Rating:
    rating = Rating(*values)
    return rating._replace(fingerprints=tuple(rating.fingerprints))


def _public_first(source: int) -> tuple[bool, int]:
    return source != PUBLIC, source


def _enter(found: dict[Span, dict[Source, IntTable]], span: Span, source: Source, table: IntTable) -> None:
    """Keep the table of a source other than the public only where somebody appraised."""
    tables = found.setdefault(span, {})
    if source is Source.PUBLIC or table.any():
        tables[source] = table
