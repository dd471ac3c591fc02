"""The roles that rectify needs others to play."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

from services.rectify.domain.case import Case, Sealed
from services.rectify.domain.timers import Timer
from shared.events import Envelope
from shared.kernel.holidays import Holidays
from shared.rules import RulePack


class StoredCase(NamedTuple):
    """A case as the stream has it.

    Attributes:
        case: its state.
        sequence: of its last event; what the next one replaces, and its ETag.
        correlation_id: the same from the rating to the last event.
    """

    case: Case
    sequence: int
    correlation_id: str


class CaseStore(Protocol):
    """Role: keeps the events of cases, and lets one writer at a time go on."""

    async def load(self, case_id: str) -> StoredCase | None:
        """The newest state of a case; None if there is no such case.

        Raises:
            TransientError: the broker is away.
        """
        ...

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        """Append `event`, after which `case` is the state, if `replaces` is still its last sequence.

        With 0 there must be none yet.

        Returns:
            The event's sequence, and whether it had been stored before.

        Raises:
            CaseChangedError: another event was stored since; load again.
            TransientError: not known to be stored.
        """
        ...

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        """All events of a case that the stream still has, with their sequences, oldest first.

        Raises:
            TransientError: the broker is away.
        """
        ...


class Texts(Protocol):
    """Role: seals the texts of cases so that they can be erased, case by case."""

    async def seal(self, case_id: str, text: str) -> Sealed:
        """Seal `text`, of which numbers of people were taken out before.

        Raises:
            TransientError: the case's key can't be read or made.
        """
        ...

    async def open(self, case_id: str, sealed: Sealed) -> str | None:
        """The text; None if it was erased.

        Raises:
            TransientError: the case's key can't be read.
            UnsealError: it doesn't open it.
        """
        ...

    async def erase(self, case_id: str) -> bool:
        """Destroy the case's key, and with it all its texts; whether there was one.

        Raises:
            TransientError: not known to be gone.
        """
        ...


class TimerStore(Protocol):
    """Role: keeps timers where no restart of ours can lose them, and says when one is due."""

    async def put(self, timers: Sequence[Timer]) -> None:
        """Set each of `timers`, in the place of the one of the same key.

        Raises:
            TransientError: not all are known to be set.
        """
        ...

    async def cancel(self, keys: Sequence[str]) -> None:
        """Take these away; one that is not there is no error.

        Raises:
            TransientError: not all are known to be gone.
        """
        ...

    async def standing(self) -> Mapping[str, Timer]:
        """All that are set, by key.

        Raises:
            TransientError: the broker is away.
        """
        ...


class RulePacks(Protocol):
    """Role: the rules of a day."""

    def on(self, day: date) -> RulePack:
        """The pack in force on `day`."""
        ...


class HolidayTable(Protocol):
    """Role: the state's holidays, as announced so far."""

    def current(self) -> Holidays:
        """The table; another object when something was announced."""
        ...


class RecordedFindings(Protocol):
    """Role: finds spot checks and incidents as they were recorded."""

    async def find(self, family: str, finding_id: str, city: str, county: str) -> Envelope[Any] | None:
        """The event of a finding of this family (``inspection`` or ``incident``) and place; None: not kept.

        Raises:
            TransientError: the broker is away.
        """
        ...
