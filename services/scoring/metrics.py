"""Scoring's metrics: how far the fold is, how long a rating takes to be seen, who leads, what is kept."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from services.scoring.application.published import StoredRankings
from services.scoring.domain.flags import Flags
from services.scoring.domain.integrity import SIGNALS
from services.scoring.domain.snapshots import Refusal, Snapshot
from shared.observability.metrics import ServiceMetrics

VISIBLE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
COMPUTE_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0)
SNAPSHOT_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
ACCOUNTS: Final = ("accepted", "counted", "replaced", "held", "excluded", "late", "duplicates", "synthetic")


class ScoringMetrics:
    """Implements the application's `FoldObserver` and `SnapshotObserver` on Prometheus."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with ``metrics``."""
        self._folded = metrics.counter("events_folded", "Messages of FEEDBACK folded, repeats included.")
        self._lag = metrics.gauge("fold_lag", "messages", "Messages of FEEDBACK still to be folded.")
        self._dead_letters = metrics.counter("dead_letters", "Messages that are no ratings.")
        self._computed = metrics.histogram(
            "list_computation", "seconds", "Time to compute all lists once.", buckets=COMPUTE_BUCKETS_S
        )
        self._visible = metrics.histogram(
            "accepted_to_visible",
            "seconds",
            "From intake's receipt of a rating to the publication that includes it.",
            buckets=VISIBLE_BUCKETS_S,
        )
        self._revisions = metrics.counter("lists_published", "Lists that changed and were announced.")
        self._announced = metrics.counter("score_changes_published", "Announcements about single units.")
        self._books = metrics.gauge("books", "ratings", "Published accounts of the books.", ("account",))
        self._position = metrics.gauge(
            "published", "position", "Sequence of FEEDBACK that the published rankings reach to."
        )

        self._boards = metrics.gauge("live_board", "connections", "Live boards that are followed.")
        self._leader = metrics.flag("leader", "1 if this replica leads and publishes, else 0.")
        self._snapshot_made = 0.0
        metrics.gauge(
            "snapshot_age", "seconds", "Age of the newest snapshot; 0 if there is none."
        ).set_function(lambda: max(0.0, time.time() - self._snapshot_made) if self._snapshot_made else 0.0)
        self._snapshot_size = metrics.gauge("snapshot_size", "bytes", "Size of the newest snapshot.")
        self._snapshot_position = metrics.gauge(
            "snapshot", "position", "Sequence of FEEDBACK that the newest snapshot reaches to."
        )
        self._snapshot_time = metrics.histogram(
            "snapshot_duration", "seconds", "Time to take and store one.", buckets=SNAPSHOT_BUCKETS_S
        )
        self._snapshots_failed = metrics.counter("snapshots_failed", "Snapshots that could not be stored.")
        self._snapshots_refused = metrics.counter(
            "snapshots_refused", "Snapshots that a start did not use.", ("cause",)
        )
        self._history_changed = metrics.flag(
            "history_changed", "1 while the stream's past is another than what was folded, else 0."
        )

    def watch_boards(self, following: Callable[[], int]) -> None:
        """Show how many live boards are followed, as ``following`` says when asked."""
        self._boards.set_function(following)

    def folded(self, messages: int, lag: int) -> None:
        """See `FoldObserver.folded`."""
        self._folded.inc(messages)
        self._lag.set(lag)

    def dead_lettered(self) -> None:
        """See `FoldObserver.dead_lettered`."""
        self._dead_letters.inc()

    def computed(self, seconds: float) -> None:
        """See `FoldObserver.computed`."""
        self._computed.observe(seconds)

    def published(self, lists: int, units: int, stored: StoredRankings, latencies_s: Sequence[float]) -> None:
        """See `FoldObserver.published`."""
        self._revisions.inc(lists)
        self._announced.inc(units)
        for seconds in latencies_s:
            self._visible.observe(seconds)
        if stored.books is not None:
            self._position.set(stored.books.position)
            accounts = stored.books.document()
            for account in ACCOUNTS:
                self._books.labels(account).set(accounts[account])

    def leading(self, *, leads: bool) -> None:
        """See `SnapshotObserver.leading`."""
        self._leader.set(int(leads))

    def snapshot_saved(self, snapshot: Snapshot, seconds: float) -> None:
        """See `SnapshotObserver.snapshot_saved`."""
        self._snapshot_time.observe(seconds)
        self.snapshot_restored(snapshot)

    def snapshot_failed(self) -> None:
        """See `SnapshotObserver.snapshot_failed`."""
        self._snapshots_failed.inc()

    def snapshot_restored(self, snapshot: Snapshot) -> None:
        """See `SnapshotObserver.snapshot_restored`."""
        self._snapshot_made = snapshot.made_at.timestamp()
        self._snapshot_size.set(snapshot.size)
        self._snapshot_position.set(snapshot.position)

    def snapshot_refused(self, refusal: Refusal) -> None:
        """See `SnapshotObserver.snapshot_refused`."""
        self._snapshots_refused.labels(refusal.cause).inc()

    def history_changed(self, *, changed: bool) -> None:
        """See `SnapshotObserver.history_changed`."""
        self._history_changed.set(int(changed))


class CaseMetrics:
    """Implements the application's `CaseObserver` on Prometheus."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with ``metrics``."""
        self._folded = metrics.counter("cases_folded", "Messages of CASES folded.")
        self._lag = metrics.gauge("cases_lag", "messages", "Messages of CASES still to be folded.")
        self._left_out = metrics.counter("cases_left_out", "Messages of CASES that are no events of a case.")

    def cases_folded(self, messages: int, lag: int) -> None:
        """See `CaseObserver.cases_folded`."""
        self._folded.inc(messages)
        self._lag.set(lag)

    def case_left_out(self) -> None:
        """See `CaseObserver.case_left_out`."""
        self._left_out.inc()


class WatchMetrics:
    """Implements the application's `WatchObserver` on Prometheus."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything with ``metrics``."""
        self._examined = metrics.histogram(
            "integrity_examination",
            "seconds",
            "Time to examine all units with all signals once.",
            buckets=COMPUTE_BUCKETS_S,
        )
        self._flags = metrics.gauge("flagged", "units", "Units that are flagged at present.", ("signal",))

    def examined(self, seconds: float, flags: Flags) -> None:
        """See `WatchObserver.examined`."""
        self._examined.observe(seconds)
        standing = Counter(signal for _, signal in flags.standing)
        for signal in SIGNALS:
            self._flags.labels(signal.__name__).set(standing[signal.__name__])
