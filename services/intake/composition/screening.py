"""Screening: its fold, the table of what is held, and the lease that says which replica acts."""

from collections.abc import Callable

from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screened import StoredRatings
from services.intake.adapters.screening_metrics import PrometheusScreening
from services.intake.adapters.sqlite_quarantine import SUBJECTS as DECIDED
from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.application.holding import Holder
from services.intake.application.lapsing import Lapsing
from services.intake.application.prepared import RequestFacts
from services.intake.application.revising import Reviser
from services.intake.entrypoints.quarantine_fold import QuarantineFold
from services.intake.entrypoints.screening import Looks, ScreeningFold
from services.intake.entrypoints.watching import Watch
from services.intake.settings import Settings
from shared.kernel.clock import Clock
from shared.messaging.instance import Instance
from shared.messaging.lease import Lease, SessionLeaseStore
from shared.messaging.session import BrokerSession
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor

NAME = "intake"


class Screening:
    """Screening, the table of what is held, and the lease that says which replica acts."""

    def __init__(  # noqa: PLR0913 - its parts, keyword-only
        self,
        *,
        session: BrokerSession,
        settings: Settings,
        holder: Holder,
        reviser: Reviser,
        facts: Callable[[str], RequestFacts],
        kept: ScreenFile,
        apart: Looks | None,
        rules: RulePacks,
        clock: Clock,
        health: Health,
        metrics: PrometheusScreening,
    ) -> None:
        self.quarantine = SqliteQuarantine(settings.data_dir)
        metrics.watch_held(self.quarantine.held)
        self._table = QuarantineFold(self.quarantine, session.wait_ready, DECIDED)
        self._instance = Instance(settings.data_dir)
        self._lease = Lease(SessionLeaseStore(session), NAME, self._instance.name)
        self._fold = ScreeningFold(
            looks=Watch(
                client=session.wait_ready, reads=StoredRatings(), kept=kept, rules=rules, clock=clock
            ),
            apart=apart,
            holder=holder,
            leads=lambda: self._lease.is_leader,
            metrics=metrics,
        )
        self._lapsing = Lapsing(
            held=self.quarantine,
            reviser=reviser,
            rules=rules,
            facts=facts,
            leads=lambda: self._lease.is_leader,
        )
        self._tasks = TaskSupervisor(health)

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._tasks.start("lease", self._lease.keep())
        self._tasks.start("quarantine-fold", self._table.run())
        self._tasks.start("screening", self._fold.run())
        self._tasks.start("lapsing", self._lapsing.run())

    async def __aexit__(self, *raised: object) -> None:
        """Let another replica act, and keep the state."""
        await self._tasks.__aexit__(None, None, None)
        await self._lease.release()
        await self._fold.stop()
        self.quarantine.close()
        self._instance.close()
