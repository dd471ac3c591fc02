"""What operators see of screening; plays `entrypoints.screening.ScreeningMetrics`."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from services.intake.domain.screening import Hold, Release
from shared.observability.metrics import ServiceMetrics

SHARE_OF: Final = 10_000
"""The share that is held is one of about so many ratings: the newest weigh most."""


class PrometheusScreening:
    """``pingyi_intake_screening_*`` and ``pingyi_intake_quarantine*``."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with `metrics`."""
        self._screened = metrics.counter("screened_ratings", "Ratings that screening looked at.")
        self._held = metrics.counter("screening_held_ratings", "Ratings held by screening.", ("trait",))
        self._released = metrics.counter("screening_released_ratings", "Holds that screening took back.")
        self._pending = metrics.gauge(
            "screening_pending", "ratings", "Decisions that are not carried out yet."
        )
        self._lag = metrics.gauge("screening_lag", "messages", "Messages that screening has not read yet.")
        self._quarantined = metrics.gauge("quarantined", "ratings", "Ratings that are held at present.")
        self._share = metrics.gauge(
            "quarantine_share", "ratio", f"Part of about the last {SHARE_OF} ratings that screening holds."
        )
        self._apart = metrics.gauge(
            "screening_apart", "processes", "Processes beside this one that screen; at 0 it does so itself."
        )
        self._recent, self._recent_held = 0.0, 0.0
        self._share.set_function(self._held_share)

    def _held_share(self) -> float:
        return max(0.0, self._recent_held / self._recent) if self._recent else 0.0

    def screened(self, ratings: int, lag: int) -> None:
        """So many were looked at, and so many messages are still to come."""
        self._lag.set(lag)
        if ratings:
            self._screened.inc(ratings)
            keep = (1 - 1 / SHARE_OF) ** ratings
            self._recent = self._recent * keep + ratings
            self._recent_held *= keep

    def screening_decided(self, decided: Sequence[Hold | Release]) -> None:
        """These were carried out."""
        traits = Counter(each.trait.value for each in decided if isinstance(each, Hold))
        for trait, count in traits.items():
            self._held.labels(trait).inc(count)
        released = len(decided) - sum(traits.values())
        self._released.inc(released)
        self._recent_held += len(decided) - 2 * released

    def screening_pending(self, ratings: int) -> None:
        """So many decisions are not carried out yet."""
        self._pending.set(ratings)

    def screened_by(self, processes: int) -> None:
        """So many processes beside this one look at the stream."""
        self._apart.set(processes)

    def watch_held(self, held: Callable[[], int]) -> None:
        """Show how many ratings are held, read at each scrape."""
        self._quarantined.set_function(held)
