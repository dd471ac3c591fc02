"""What rests on strikes: ladders, sanctions, vetoes, nominations, quarterly checks."""

from collections.abc import Callable
from datetime import date

from fastapi import FastAPI
from nats.aio.client import Client

from services.rectify.adapters.case_fold import CaseFold
from services.rectify.adapters.ladder_fold import LadderFold
from services.rectify.adapters.ladder_store import JetStreamLadders
from services.rectify.adapters.rule_packs import SpannedRulePacks
from services.rectify.application.checking import SignCheck
from services.rectify.application.laddering import KeepLadders
from services.rectify.application.ports import HolidayTable, RulePacks
from services.rectify.application.sanctioning import Sanctioning
from services.rectify.domain.closed_lists import RulesOfADay
from services.rectify.domain.ladder_book import LadderBook, Whereabouts
from services.rectify.domain.ladders import Ladderer
from services.rectify.entrypoints.checks import make_checks_router
from services.rectify.entrypoints.sanctions import Reach, install_sanction_errors, make_sanctions_router
from services.rectify.metrics import RectifyMetrics
from shared.kernel.clock import Clock
from shared.kernel.units import UnitRegistry
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor


class Ladders:
    """Everything that rests on strikes."""

    def __init__(
        self,
        cases: CaseFold,
        packs: RulePacks,
        holidays: HolidayTable,
        clock: Clock,
        units: UnitRegistry,
        metrics: RectifyMetrics,
    ) -> None:
        """Watch `cases`."""
        spanned = SpannedRulePacks(packs, clock)

        def rules_on(day: date) -> RulesOfADay:
            pack = spanned.on(day)
            return RulesOfADay(pack.ladders, pack.lists, pack.hash)

        def find(unit_id: str) -> Whereabouts | None:
            if unit_id not in units:
                return None
            unit = units.get(unit_id)
            return Whereabouts(unit.level, unit.city, unit.county)

        book = LadderBook(rules_on)
        self._cases, self._reach, self._clock = cases, Reach(units), clock
        self._store = JetStreamLadders()
        self.fold = LadderFold(book, metrics)
        self._keep = KeepLadders(Ladderer(book, find, rules_on), self.fold, self._store, clock, metrics)
        self.fold.tell(self._keep.changed)
        self._sanctioning = Sanctioning(self._store, packs, holidays, clock, metrics)
        self._sign_check = SignCheck(self._store, self.fold, packs, clock)
        cases.watch = self.fold.on_case

    async def bind(self, client: Client) -> None:
        """Store through `client` from now on."""
        await self._store.bind(client)

    def start(self, client: Client, tasks: TaskSupervisor) -> None:
        """Start folding."""
        tasks.start("ladder-fold", self.fold.follow_registry(client))
        tasks.start("closed-lists", self.fold.follow_lists(client))

    async def loop(self, leads: Callable[[], bool]) -> None:
        """The leader's work."""
        await self._keep.run(leads)

    async def close(self) -> None:
        """Finish what is queued."""
        await self._store.close()

    def add_to(self, app: FastAPI, health: Health) -> None:
        """Add the routes and the health check."""
        health.register("sanctions", self.fold.check)
        install_sanction_errors(app)
        app.include_router(make_sanctions_router(self._sanctioning, self.fold, self._reach))
        book_of_cases = self._cases.require_caught_up
        app.include_router(
            make_checks_router(self._sign_check, self._clock, self.fold, book_of_cases, self._reach)
        )
