"""The stream of one case in small, the clock and the calendar that its desk needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.rectify.application.desk import CaseChangedError
from services.rectify.application.ports import StoredCase
from services.rectify.application.translation import case_of
from services.rectify.domain.case import Case
from shared.events import Envelope, parse_envelope, spec_for_type
from shared.kernel.holidays import Holidays
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.rectify.lives import MONDAY


def again(event: Envelope[Any]) -> Envelope[Any]:
    """The event as whoever reads it from the stream gets it."""
    return parse_envelope(spec_for_type(event.type).envelope, event.to_json())


class Stream:
    """Plays `CaseStore` for one case, with bytes in between as on the wire."""

    def __init__(self) -> None:
        self.events: list[Envelope[Any]] = []
        self.cases: list[Case] = []
        """The state after each event, as whoever reads the events makes it."""
        self.lose_answer = False
        self.before_store: Callable[[], Awaitable[None]] | None = None
        """What happens, once, between somebody's look and their event."""

    async def load(self, case_id: str) -> StoredCase | None:
        if not self.events:
            return None
        event = self.events[-1]
        assert event.data.case_id == case_id
        return StoredCase(self.cases[-1], len(self.events), event.correlationid)

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        del case
        meanwhile, self.before_store = self.before_store, None
        if meanwhile is not None:
            await meanwhile()
        known = [each.id for each in self.events]
        if event.id in known:
            return known.index(event.id) + 1, True
        if replaces != len(self.events):
            raise CaseChangedError("somebody else was faster")
        self.events.append(again(event))
        self.cases.append(case_of(self.events[-1].data))
        if self.lose_answer:
            self.lose_answer = False
            raise BrokerUnavailableError("the answer was lost")
        return len(self.events), False

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        del case_id
        return tuple(enumerate(self.events, 1))


@dataclass
class Now:
    """A clock to be turned."""

    moment: datetime = MONDAY

    def now(self) -> datetime:
        return self.moment


class NoHolidays:
    def current(self) -> Holidays:
        return Holidays()
