"""Domain metrics of intake; plays `ports.Tally`."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter

from services.intake.domain.approvals import Stage
from services.intake.domain.books import Books
from shared.kernel.clock import Clock, business_day
from shared.observability.metrics import ServiceMetrics

_COMMIT_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class MeasuredSpool(Protocol):
    """Role: a spool that tells how much waits in it."""

    @property
    def depth(self) -> int:
        """Messages that wait."""
        ...

    @property
    def size(self) -> int:
        """Bytes that wait."""
        ...

    @property
    def set_aside_messages(self) -> int:
        """Messages for a person to look at."""
        ...

    @property
    def damaged_files(self) -> int:
        """Files for a person to look at."""
        ...

    def oldest_age_s(self) -> float:
        """Seconds that the oldest message has waited."""
        ...


class IntakeMetrics:
    """``pingyi_intake_*``: ratings by outcome and channel, commits, queues, the index."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with `metrics`."""
        self._accepted = metrics.counter(
            "accepted_ratings", "Ratings stored in FEEDBACK or the spool.", ("channel",)
        )
        self._accepted_by_channel: dict[str, Counter] = {}
        self._duplicate = metrics.counter(
            "duplicate_ratings", "Repeats answered with their receipt.", ("channel",)
        )
        self._conflict = metrics.counter("conflicting_ratings", "Used keys with other content.", ("channel",))
        self._rejected = metrics.counter(
            "rejected_ratings", "Ratings refused, by first wrong field.", ("channel", "reason")
        )
        self._refused = metrics.counter(
            "refused_requests", "Requests sent away because of overload.", ("channel", "reason")
        )
        self._revised = metrics.counter("revised_ratings", "Revisions stored in FEEDBACK.", ("move",))
        self._commits = metrics.histogram(
            "commit_size", "messages", "Messages in one commit.", ("stream",), buckets=_COMMIT_SIZES
        )
        self._queue = metrics.gauge("queue", "messages", "Messages waiting for a commit.", ("stream",))
        self._lag = metrics.gauge("index_lag", "messages", "Messages of FEEDBACK that the index lacks.")
        self._unwritten = metrics.gauge("index_unwritten", "ratings", "Ratings of the index only in memory.")
        self._skipped = metrics.counter(
            "index_skipped_messages", "Unreadable messages on subjects of ratings and revisions."
        )
        self._approvals = metrics.gauge(
            "pending_approvals", "requests", "Requests that wait for a second person."
        )
        self._coverage = metrics.gauge(
            "campaign_coverage", "ratio", "Part of the households of all campaigns under way that is visited."
        )
        self._unverified = metrics.gauge(
            "unverified_findings",
            "items",
            "Spot checks and incidents that nobody has looked into.",
        )
        self._batch_lines = metrics.histogram(
            "batch", "ratings", "Lines in one batch.", buckets=(1, 10, 100, 500, 1000, 2500, 5000, 10_000)
        )

        self._over_quota = metrics.counter(
            "over_quota_ratings", "Ratings over a quota, by what was counted.", ("quota",)
        )
        self._places = metrics.gauge("quota", "entries", "Places that quotas count at present.")
        self._tokens = metrics.counter("issued_tokens", "One-time tokens issued.")
        self._spool_depth = metrics.gauge(
            "spool", "messages", "Messages that wait for the broker on this disk."
        )
        self._spool_size = metrics.gauge("spool", "bytes", "Bytes that wait for the broker on this disk.")
        self._spool_age = metrics.gauge(
            "spool_oldest_age", "seconds", "How long the oldest message has waited."
        )
        self._spool_aside = metrics.gauge(
            "spool_set_aside", "messages", "Messages that a person must look at."
        )
        self._spool_damaged = metrics.gauge("spool_damaged_files", "items", "Files that could not be read.")
        self._spool_drained = metrics.counter(
            "spool_drained_messages", "What became of spooled messages.", ("fate",)
        )
        self._circuit = metrics.gauge("broker_circuit_open", "info", "1 while ratings are spooled.")

    def watch_spool(self, spool: MeasuredSpool, is_open: Callable[[], bool]) -> None:
        """Show `spool` and whether the circuit `is_open`, read at each scrape."""
        self._spool_depth.set_function(lambda: spool.depth)
        self._spool_size.set_function(lambda: spool.size)
        self._spool_age.set_function(spool.oldest_age_s)
        self._spool_aside.set_function(lambda: spool.set_aside_messages)
        self._spool_damaged.set_function(lambda: spool.damaged_files)
        self._circuit.set_function(is_open)

    def drained(self, fate: str, count: int) -> None:
        """See `application.draining.DrainTally`."""
        self._spool_drained.labels(fate).inc(count)

    def accepted(self, channel: str, count: int) -> None:
        """See `ports.Tally.accepted`."""
        child = self._accepted_by_channel.get(channel)
        if child is None:  # looking it up in the counter is most of the cost
            child = self._accepted_by_channel[channel] = self._accepted.labels(channel)
        child.inc(count)

    def duplicate(self, channel: str) -> None:
        """See `ports.Tally.duplicate`."""
        self._duplicate.labels(channel).inc()

    def conflict(self, channel: str) -> None:
        """See `ports.Tally.conflict`."""
        self._conflict.labels(channel).inc()

    def rejected(self, channel: str, reason: str) -> None:
        """See `ports.Tally.rejected`."""
        self._rejected.labels(channel, reason).inc()

    def refused(self, channel: str, reason: str) -> None:
        """A request of `channel` was sent away; `reason` is `channel` or `full`."""
        self._refused.labels(channel, reason).inc()

    def revised(self, move: str) -> None:
        """See `ports.Tally.revised`."""
        self._revised.labels(move).inc()

    def over_quota(self, quota: str) -> None:
        """See `quotas.QuotaTally.over_quota`."""
        self._over_quota.labels(quota).inc()

    def watch_places(self, places: Callable[[], int]) -> None:
        """Show how much the quotas remember, read at each scrape."""
        self._places.set_function(places)

    def issued_tokens(self, count: int) -> None:
        """See `tokens.TokenTally.issued_tokens`."""
        self._tokens.inc(count)

    def batch(self, lines: int) -> None:
        """A batch of `lines` ratings came in."""
        self._batch_lines.observe(lines)

    def commit_observer(self, stream: str) -> Callable[[int], None]:
        """What to tell the sizes of commits to `stream`."""
        child = self._commits.labels(stream)
        return child.observe

    def watch_queue(self, stream: str, depth: Callable[[], int]) -> None:
        """Show `depth` as the queue of `stream`, read at each scrape."""
        self._queue.labels(stream).set_function(depth)

    def watch_index(self, unwritten: Callable[[], int]) -> None:
        """Show how much of the index is only in memory, read at each scrape."""
        self._unwritten.set_function(unwritten)

    def watch_registry(self, books: Books, clock: Clock) -> None:
        """Show what waits for a person, and how far campaigns have come, read at each scrape."""
        self._approvals.set_function(lambda: books.approvals.count(Stage.PENDING, clock.now()))
        self._coverage.set_function(lambda: books.campaigns.share_on(business_day(clock.now())))
        self._unverified.set_function(lambda: books.findings.unverified)

    def index_lag(self, messages: int) -> None:
        """How far the index is behind the stream."""
        self._lag.set(messages)

    def index_skipped(self, messages: int) -> None:
        """Messages that the index passed over because they aren't readable."""
        self._skipped.inc(messages)
