"""What rests on the stream REGISTRY."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from nats.aio.client import Client

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog
from services.intake.adapters.registry_log import JetStreamRegistryLog
from services.intake.application.approval_messages import apply_approval
from services.intake.application.approving import Approvals
from services.intake.application.carrying_out import CarryingOut
from services.intake.application.prepared import RandomBytes
from services.intake.application.registering import Registering
from services.intake.application.supervising import Supervision
from services.intake.application.supervision_messages import apply_supervision
from services.intake.domain.books import Books
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.entrypoints.approvals import ApprovalRoutes
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.registry import RegistryRoutes
from services.intake.entrypoints.registry_fold import RegistryFold, keep_carrying_out
from services.intake.entrypoints.supervision import SupervisionRoutes
from shared.events import Envelope
from shared.kernel.regions import DivisionRegistry, load_divisions
from shared.kernel.units import CurrentUnits, load_units
from shared.messaging.registry import apply_registry, take_up
from shared.observability.lifecycle import TaskSupervisor


class Registry:
    """Everything that rests on the stream REGISTRY: approvals, supervision, panels."""

    def __init__(self, client: Callable[[], Awaitable[Client]], units: CurrentUnits) -> None:
        """`units` are kept what the stream says."""
        self.log, self.books = JetStreamRegistryLog(), Books(load_units(), load_divisions())
        self._units = units
        self._fold = RegistryFold(client, self, (self._apply,), self.books.forget)
        self._work: CarryingOut | None = None

    def _apply(self, envelope: Envelope[Any], sequence: int) -> None:
        books = self.books
        apply_approval(books.approvals, envelope, sequence)
        apply_supervision(books.campaigns, books.findings, books.panels, envelope)
        apply_registry(books.registry, envelope)

    @property
    def divisions(self) -> DivisionRegistry:
        """The divisions in force."""
        return self.books.registry.divisions

    def folded(self, position: int, *, caught_up: bool) -> None:
        """See `registry_fold.Position`; who waits for a load finds its units in force."""
        if caught_up:
            take_up(self._units, self.books.registry)
        self.log.folded(position, caught_up=caught_up)

    def behind(self) -> None:
        """See `registry_fold.Position`."""
        self.log.behind()

    async def check(self) -> str:
        """Readiness: whether the books are complete, and up to where."""
        self.log.require_ready()
        return f"up to {self.log.position}"

    def start(self, tasks: TaskSupervisor) -> None:
        """Start folding, and carrying out what was granted."""
        tasks.start("registry-fold", self._fold.run())
        if self._work is not None:
            tasks.start("carrying-out", keep_carrying_out(self._work))

    def add_to(
        self,
        app: FastAPI,
        parts: HttpParts,
        feedback: JetStreamFeedbackLog,
        pseudonyms: Pseudonyms,
        random: RandomBytes,
    ) -> Approvals:
        """Compose the use cases and add their routes to `app`; gives what other routes ask approvals of."""
        books, reviser = self.books, parts.reviser
        approvals = Approvals(
            book=books.approvals,
            log=self.log,
            feedback=feedback,
            reviser=reviser,
            rules=parts.rules,
            units=parts.units,
            random=random,
        )
        self._work = CarryingOut(
            book=books.approvals,
            log=self.log,
            reviser=reviser,
            preparer=parts.desk.preparer,
            now=parts.clock.now,
        )
        supervision = Supervision(
            campaigns=books.campaigns,
            findings=books.findings,
            panels=books.panels,
            log=self.log,
            pseudonyms=pseudonyms,
            units=parts.units,
            divisions=lambda: self.divisions,
            rating=reviser.history,
        )
        ApprovalRoutes(parts, approvals, self._work).add_to(app)
        SupervisionRoutes(parts, supervision).add_to(app)
        registering = Registering(
            book=books.registry,
            log=self.log,
            kinds=lambda: parts.rules.at(parts.clock.now()).kinds,
            random=random,
        )
        RegistryRoutes(parts, registering).add_to(app)
        parts.metrics.watch_registry(books, parts.clock)
        return approvals
