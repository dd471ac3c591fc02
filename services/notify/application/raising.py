"""Raising alerts: an event comes in, the rules judge it, what they find becomes durable."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog

from services.notify.application.ages import MaxAges
from services.notify.application.ports import AlertStates, Publisher, RulePacks
from services.notify.application.routing import Addressed, Router
from services.notify.application.translation import (
    divergence_of,
    flag_of,
    letter_of,
    move_of,
    raised_event,
    review_of,
)
from services.notify.domain.alert import Alert, Background
from services.notify.domain.catalogue import RULES
from services.notify.domain.routing import addressees
from services.notify.domain.rules import grades_of_concern, review_alerts, score_alerts, stream_diverged
from services.notify.domain.watch_rules import beside_failing, dead_letter, too_good
from services.notify.metrics import NotifyMetrics
from shared.events import (
    Envelope,
    FeedbackSubmitted,
    MessageDeadLettered,
    Provenance,
    StreamDiverged,
    UnitFlagged,
    UnitScoreChanged,
)
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import PermanentError
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

log = structlog.get_logger(__name__)
LOGGED_EACH: Final = 100
"""So many dropped events are logged one by one, then every hundredth with the count; the metric has all."""
HOUR_S: Final = 3600
HOURS_KEPT: Final = 1000


class RaiseAlerts:
    """Evaluates events in any order, any number of times: the same event always gives the same alert ids.

    Two kinds of event raise nothing: synthetic ones (drills must not call people out) and those that
    `max_ages` calls history. Age counts from ``receivedat``: a rating of yesterday that arrives now is news.
    """

    def __init__(  # noqa: PLR0913 - the composition root passes every dependency by name
        self,
        *,
        publisher: Publisher,
        states: AlertStates,
        packs: RulePacks,
        units: UnitRegistry,
        channels: Callable[[], tuple[str, ...]],
        max_ages: MaxAges,
        clock: Clock,
        metrics: NotifyMetrics,
        router: Router | None = None,
    ) -> None:
        """Address alerts as `router` says; without one, to all that `channels` gives at that moment."""
        self._router = router
        self._publisher = publisher
        self._states = states
        self._packs = packs
        self._units = units
        self._channels = channels
        self._max_ages = max_ages
        self._dropped = 0
        self._clock = clock
        self._metrics = metrics
        self._alarming: dict[int, frozenset[int]] = {}
        self._quiet_reviews = metrics.events.labels("feedback", "quiet")
        self._quiet_moves = metrics.events.labels("score_changed", "quiet")

    def is_quiet(self, grade: int, received_at: datetime) -> bool:
        """Tell whether no rule could fire on a rating: nothing else is to be done with it.

        Nineteen of twenty ratings leave here: no fact, no registry, no clock. Never raises; where no rule
        pack covers the day, `on_feedback` says so.
        """
        hour = int(received_at.timestamp()) // HOUR_S  # no day begins within one: their packs are the same
        alarming = self._alarming.get(hour)
        if alarming is None:
            try:
                rules = self._packs.on(business_day(received_at))
            except PermanentError:
                return False
            if len(self._alarming) >= HOURS_KEPT:
                self._alarming.clear()
            alarming = self._alarming[hour] = grades_of_concern(rules)
        return grade not in alarming

    def count_quiet_reviews(self, number: int) -> None:
        """Count ratings that were quiet."""
        self._quiet_reviews.inc(number)

    def lets_move_pass(self, event: Envelope[UnitScoreChanged]) -> bool:
        """Tell whether no rule fires on a change of place, and count it then; like `is_quiet`."""
        try:
            rules = self._packs.on(business_day(event.receivedat))
        except PermanentError:
            return False
        if event.synthetic or score_alerts(move_of(event, self._units), rules):
            return False
        self._quiet_moves.inc()
        return True

    async def on_feedback(self, event: Envelope[FeedbackSubmitted]) -> tuple[str, ...]:
        """Judge one rating; returns the ids of the alerts that it raises.

        Raises:
            TransientError: an alert is not known to be stored; judge the same event again.
            PermanentError: no rule pack covers the day.
        """
        if self._ignored("feedback", event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        alerts = review_alerts(review_of(event, self._units), rules)
        return await self._raise_all("feedback", alerts, event, rules)

    async def on_score_changed(self, event: Envelope[UnitScoreChanged]) -> tuple[str, ...]:
        """Judge one change of a unit's place; returns and raises like `on_feedback`."""
        if self._ignored("score_changed", event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        alerts = score_alerts(move_of(event, self._units), rules)
        return await self._raise_all("score_changed", alerts, event, rules)

    async def on_stream_diverged(self, event: Envelope[StreamDiverged]) -> tuple[str, ...]:
        """Report that stream and archive differ, or agree again; returns and raises like `on_feedback`."""
        if self._ignored("stream_diverged", event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        return await self._raise_all(
            "stream_diverged", (stream_diverged(divergence_of(event)),), event, rules
        )

    async def on_unit_flagged(self, event: Envelope[UnitFlagged]) -> tuple[str, ...]:
        """Report that a unit's ratings look made up; returns and raises like `on_feedback`."""
        if self._ignored("unit_flagged", event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        found = too_good(flag_of(event, self._units), rules)
        return await self._raise_all("unit_flagged", () if found is None else (found,), event, rules)

    async def on_dead_letter(self, event: Envelope[MessageDeadLettered]) -> tuple[str, ...]:
        """Report that a consumer gave up on a message; returns and raises like `on_feedback`."""
        if self._ignored("dead_letter", event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        return await self._raise_all("dead_letter", (dead_letter(letter_of(event), rules),), event, rules)

    async def on_event(
        self, kind: str, event: Envelope[Any], judge: Callable[[RulePack], tuple[Alert, ...]]
    ) -> tuple[str, ...]:
        """Judge an event of a further `kind` by its day's pack; returns and raises like `on_feedback`."""
        if self._ignored(kind, event):
            return ()
        rules = self._packs.on(business_day(event.receivedat))
        return await self._raise_all(kind, judge(rules), event, rules)

    def count_quiet(self, kind: str) -> None:
        """Count an event of a further `kind` whose type alone says that no rule fires on it."""
        self._metrics.events.labels(kind, "quiet").inc()

    async def raise_found(self, alert: Alert, rules: RulePack, provenance: Provenance) -> None:
        """Raise what no single event shows.

        Raises:
            TransientError: the alert is not known to be stored; raise it again.
        """
        await self._raise(alert, rules, provenance)

    def _ignored(self, kind: str, event: Envelope[Any]) -> bool:
        if event.synthetic:
            self._metrics.events.labels(kind, "synthetic").inc()
            return True
        limit = self._max_ages.of(kind)
        if limit is None or self._clock.now() - event.receivedat <= limit:
            return False
        self._metrics.events.labels(kind, "stale").inc()
        self._dropped += 1
        if self._dropped <= LOGGED_EACH or self._dropped % LOGGED_EACH == 0:
            log.warning(
                "event_too_old_for_an_alert",
                kind=kind,
                event_id=event.id,
                received_at=event.receivedat.isoformat(),
                limit_s=limit.total_seconds(),
                dropped=self._dropped,
            )
        return True

    async def _raise_all(
        self, kind: str, alerts: tuple[Alert, ...], event: Envelope[Any], rules: RulePack
    ) -> tuple[str, ...]:
        for alert in alerts:
            await self._raise(alert, rules, Provenance.caused_by(event))
        self._metrics.events.labels(kind, "alert" if alerts else "quiet").inc()
        return tuple(alert.alert_id for alert in alerts)

    async def _raise(self, alert: Alert, rules: RulePack, provenance: Provenance) -> None:
        if self._states.known(alert.alert_id):
            return  # a redelivery long after the broker has forgotten the message id
        now = self._clock.now()
        addressed = (
            Addressed((), addressees(alert, self._channels()))
            if self._router is None
            else self._router.first(alert, rules, now)
        )
        info = RULES.get(alert.rule)
        envelope = raised_event(
            alert,
            beside_failing(alert, addressed.channels, self._channels()),
            now,
            rules=rules.hash,
            provenance=provenance,
            background=Background(condition=info.condition(rules) if info else None),
            tellings=addressed.tellings,
        )
        await self._publisher.publish(envelope, city=alert.city, county=alert.county)
        self._metrics.raised.labels(alert.rule, alert.severity.value).inc()
        log.info(
            "alert_raised",
            alert_id=alert.alert_id,
            rule=alert.rule,
            severity=alert.severity.value,
            unit_id=alert.unit_id,
            cause_id=provenance.causation_id,
            correlation_id=provenance.correlation_id,
        )
