"""Looking back 回看: the statistics of spans as of an earlier day, with what is known today.

Not what was published then: ratings that came late, corrections and exclusions have changed those days since.
What was published on a day is computed from the stream up to its position, see `recompute`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.scoring.domain.buckets import HISTORY_DAYS, IntTable, Statistics
from services.scoring.domain.day_history import DayHistory
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.spans import Period, Rolling, Span, periods_of
from shared.kernel.grades import Source


class Flow(NamedTuple):
    """Days between two windows of one length.

    Attributes:
        entered: statistics of the days that only the later one has.
        left: statistics of the days that only the earlier one has; None where no day can leave: in a period.
    """

    entered: IntTable
    left: IntTable | None


@dataclass(frozen=True, slots=True)
class History:
    """The kept days of all sources.

    Attributes:
        sources: by source; the public is always there.
        lengths: lengths of the rolling windows, in days.
    """

    sources: Mapping[Source, DayHistory]
    lengths: Sequence[int]

    @property
    def as_of(self) -> int:
        """Number of the present day."""
        return self.public.as_of

    @property
    def public(self) -> DayHistory:
        """What the public said."""
        return self.sources[Source.PUBLIC]

    def first_day(self, span: Span) -> int:
        """The first day as of which a span can be shown, along with what its ranks are compared with."""
        whole_from = self.public.whole_from
        if isinstance(span, Rolling):
            return whole_from + span.days
        return max(whole_from, self.as_of - HISTORY_DAYS, day_number(span.first))

    def spans(self, day: int) -> list[Span]:
        """All spans that can be shown as of ``day``, in the order of the lists."""
        known: list[Span] = [Rolling(length) for length in self.lengths]
        for period in periods_of(day_of(day)):
            known += [period.before, period]
        return [span for span in known if self.first_day(span) <= day]

    def at(self, span: Span, day: int) -> Statistics:
        """The statistics of a span as of ``day``."""
        return _there(
            {
                source: days.total(day - span.days + 1, day)
                if isinstance(span, Rolling)
                else days.period(span, day)
                for source, days in self.sources.items()
            }
        )

    def before(self, span: Span, day: int, now: Statistics) -> Statistics:
        """What `at` is compared with: the window of the day before, or the whole period before.

        Args:
            span: which span.
            day: as of which day.
            now: what `at` gave for them.
        """
        if isinstance(span, Period):
            return _there(
                {source: days.period(span.before, days.as_of) for source, days in self.sources.items()}
            )
        gone = day - span.days
        return _there(
            {
                source: table - self.sources[source].total(day, day) + self.sources[source].total(gone, gone)
                for source, table in now.items()
            }
        )

    def flow(self, span: Span, since: int, day: int) -> Flow:
        """What the public's ratings of a span gained and lost from the day ``since`` to the later ``day``."""
        public = self.public
        if isinstance(span, Period):
            return Flow(public.period(span, day) - public.period(span, since), None)
        entered = public.total(max(since, day - span.days) + 1, day)
        return Flow(entered, public.total(since - span.days + 1, min(since, day - span.days)))


def _there(found: dict[Source, IntTable]) -> Statistics:
    """Without sources that nobody used."""
    return {source: table for source, table in found.items() if source is Source.PUBLIC or table.any()}
