"""Metrics about people's data; plays `people.PeopleTally`."""

from services.intake.application.keeping import Pass
from shared.observability.metrics import ServiceMetrics


class PeopleMetrics:
    """``pingyi_intake_unmask_…``, ``…_erased_…``, ``…_vault_…``."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with `metrics`."""
        self._steps = metrics.counter(
            "unmask_steps", "Unmaskings requested, approved, refused, shown.", ("step",)
        )
        self._refusals = metrics.counter("unmask_refusals", "People turned away by the vault.", ("why",))
        self._erased = metrics.counter("erased_records", "Records destroyed on demand.", ("by",))
        self._records = metrics.gauge(
            "vault_records", "items", "Records by key, as of the last pass.", ("key",)
        )
        self._unopened = metrics.gauge("vault_unopened", "items", "Records that no live key opens.")
        self._spared = metrics.gauge(
            "vault_spared", "items", "Records that no rating seems to name, too many to be destroyed."
        )
        self._passed = metrics.gauge("vault_passed", "timestamp_seconds", "When the last pass began.")
        self._rewrapped = metrics.counter("rewrapped_records", "Records wrapped again under the newest key.")
        self._orphans = metrics.counter("orphaned_records", "Records without a rating that were destroyed.")
        self._again = metrics.counter("erased_again_records", "Erased records that had come back.")
        self._keys: set[str] = set()

    def unmasked(self, step: str) -> None:
        """See `people.PeopleTally.unmasked`."""
        self._steps.labels(step).inc()

    def unmask_refused(self, why: str) -> None:
        """See `people.PeopleTally.unmask_refused`."""
        self._refusals.labels(why).inc()

    def erased(self, *, by_citizen: bool) -> None:
        """See `people.PeopleTally.erased`."""
        self._erased.labels("citizen" if by_citizen else "staff").inc()

    def passed(self, done: Pass) -> None:
        """A pass through the vault is over."""
        for key in self._keys - set(done.by_key):
            self._records.labels(key).set(0)
        self._keys |= set(done.by_key)
        for key, count in done.by_key.items():
            self._records.labels(key).set(count)
        self._unopened.set(done.unopened)
        self._spared.set(done.spared)
        self._passed.set(done.began_at.timestamp())
        self._rewrapped.inc(done.rewrapped)
        self._orphans.inc(done.orphans)
        self._again.inc(done.erased_again)
