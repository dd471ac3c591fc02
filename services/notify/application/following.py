"""Following alerts up: the next person is told when nobody acknowledges, and digests come when they are due.

A sweep over what the fold of ALERTS holds. It keeps nothing by itself: whatever it decides is an event with
an id that derives from what it is about, so a kill, a restart or a second replica neither loses nor doubles.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from services.notify.application.ports import AlertStates, Publisher, RulePacks
from services.notify.application.routing import Addressed, Router
from services.notify.application.translation import raised_event
from services.notify.domain.alert import Alert, Background, alert_id
from services.notify.domain.catalogue import DIGEST, ESCALATION
from services.notify.domain.duty import Recipient
from services.notify.domain.follow_ups import DIGEST_IDS, digest_of, escalation_of, overdue
from services.notify.domain.ledger import Waiting
from services.notify.domain.routing import slot_of
from services.notify.metrics import NotifyMetrics
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import TransientError
from shared.rules import RulePack

log = structlog.get_logger(__name__)
AT_ONCE = 200
"""Follow-ups published side by side, so that they share commits."""


class FollowUp:
    """Publishes what is due; call it every few seconds."""

    def __init__(
        self,
        *,
        router: Router,
        states: AlertStates,
        publisher: Publisher,
        packs: RulePacks,
        clock: Clock,
        metrics: NotifyMetrics,
    ) -> None:
        """Follow up what the router's ledger holds."""
        self._router = router
        self._ledger = router.ledger
        self._states = states
        self._publisher = publisher
        self._packs = packs
        self._clock = clock
        self._metrics = metrics

    async def run(self, every_s: float) -> None:
        """Sweep until cancelled, through outages of the broker."""
        while True:
            try:
                await self.sweep()
            except TransientError as error:
                log.warning("follow_up_waits", reason=str(error))
            await asyncio.sleep(every_s)

    async def sweep(self) -> int:
        """Publish every digest and every escalation that is due; returns how many.

        Raises:
            TransientError: one is not known to be stored; the next sweep repeats it under the same id.
        """
        now = self._clock.now()
        rules = self._packs.on(business_day(now))
        due = [*self._digests(rules, now), *self._escalations(rules, now)]
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            await asyncio.gather(*(self._publish(*each, rules=rules, now=now) for each in some))
        self._metrics.waiting.set(len(self._ledger.waiting()))
        self._metrics.held.set(sum(self._ledger.held.values()))
        return len(due)

    def _digests(self, rules: RulePack, now: datetime) -> list[tuple[Alert, Addressed, tuple[str, ...]]]:
        found: list[tuple[Alert, Addressed, tuple[str, ...]]] = []
        slot = slot_of(now, rules.routing)
        for recipient, ids in self._ledger.due(now).items():
            if self._states.known(alert_id(DIGEST, recipient, str(slot))):
                continue  # one in a period; the rest comes with the next
            addressed = self._router.digest(recipient, now)
            if addressed is None:
                continue
            about = ids[:DIGEST_IDS]
            statuses = (self._states.get(each) for each in about[: rules.routing.digest_most])
            alerts = [status.alert for status in statuses if status is not None]
            person = self._router.directory.book.recipients.get(recipient) or Recipient(recipient, "", ())
            found.append((digest_of(person, alerts, len(about), slot, rules.routing, now), addressed, about))
        return found

    def _escalations(self, rules: RulePack, now: datetime) -> list[tuple[Alert, Addressed, tuple[str, ...]]]:
        if self._router.directory.empty:
            return []
        due = [each for each in self._ledger.waiting() if overdue(each, rules.routing, now)]
        steps = (self._escalation(each, rules, now) for each in due)
        return [each for each in steps if each is not None]

    def _escalation(
        self, waiting: Waiting, rules: RulePack, now: datetime
    ) -> tuple[Alert, Addressed, tuple[str, ...]] | None:
        status = self._states.get(waiting.alert_id)
        addressed = None if status is None else self._router.next(status.alert, waiting.step, rules, now)
        if status is None or addressed is None:
            self._ledger.exhausted(waiting.alert_id)  # told to everybody there is
            return None
        step = max(each.step or 0 for each in addressed.tellings)
        if self._states.known(alert_id(ESCALATION, waiting.alert_id, str(step))):
            return None
        alert = escalation_of(status.alert, step, waiting, rules.routing, now)
        return alert, addressed, (waiting.alert_id,)

    async def _publish(
        self, alert: Alert, addressed: Addressed, about: Sequence[str], *, rules: RulePack, now: datetime
    ) -> None:
        envelope = raised_event(
            alert,
            addressed.channels,
            now,
            rules=rules.hash,
            provenance=Provenance(alert.alert_id, about[0]),
            background=Background(about=tuple(about)),
            tellings=addressed.tellings,
        )
        await self._publisher.publish(envelope, city=alert.city, county=alert.county)
        self._metrics.raised.labels(alert.rule, alert.severity.value).inc()
        log.info("alert_followed_up", alert_id=alert.alert_id, rule=alert.rule, about=len(about))
