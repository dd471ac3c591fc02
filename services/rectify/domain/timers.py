"""Timers of a case, one for each reminder to come. Derived from the state, so they can be mended."""

from dataclasses import dataclass
from datetime import datetime

from services.rectify.domain.case import Case, Status
from services.rectify.domain.clocks import ClockName


@dataclass(frozen=True, slots=True)
class Timer:
    """One reminder; `key` names its place, so that a newer one replaces it."""

    case_id: str
    clock: ClockName
    round: int
    percent: int
    at: datetime

    @property
    def key(self) -> str:
        """``<case>.<clock>-<per cent>``: two tokens of a subject."""
        return f"{self.case_id}.{self.clock.value}-{self.percent}"


def timers_of(case: Case) -> tuple[Timer, ...]:
    """The timers that should stand for `case`."""
    if case.status is Status.ANNULLED:
        return ()
    return tuple(
        Timer(case.case_id, clock.name, clock.round, mark.percent, mark.at)
        for clock in case.clocks
        for mark in clock.pending
    )
