"""Metrics of the archive, names and units."""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime

from services.archive.domain.entries import Entry
from shared.observability.metrics import ServiceMetrics

BATCH_BUCKETS = (1, 5, 10, 50, 100, 250, 500, 1000)
DELAY_BUCKETS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 12.0, 15.0, 20.0, 60.0, 600.0)
WRITE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0)


class ArchiveMetrics:
    """What the archive counts; streams are the only label, and there are six."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Register everything in ``metrics``."""
        self._entries = metrics.counter("entries", "Entries appended to the log.", ("stream", "kind"))
        self._batch = metrics.histogram("batch", "entries", "Entries in one insert.", buckets=BATCH_BUCKETS)
        self._write = metrics.histogram(
            "write", "seconds", "One ordered insert, until it is durable.", buckets=WRITE_BUCKETS_S
        )
        self.head = metrics.gauge("head", "position", "Index of the last entry that this process appended.")
        self.lag = metrics.gauge("lag", "messages", "Messages of the stream not archived yet.", ("stream",))
        self.conflicts = metrics.counter("head_conflicts", "Inserts lost to another writer; tried again.")
        self.retries = metrics.counter("retries", "Attempts that failed for want of MongoDB or the broker.")
        self.lost = metrics.counter(
            "sequences_lost", "Sequences gone from the stream before they were archived.", ("stream",)
        )
        self.replayed = metrics.counter("replayed_entries", "Entries brought back after a restore.")
        self.checkpoint = metrics.gauge("checkpoint", "entries", "Entries under the last signed checkpoint.")
        self.signed_at = metrics.gauge(
            "checkpoint_last", "timestamp_seconds", "When the last checkpoint was signed."
        )
        self.signing = metrics.histogram(
            "signing", "seconds", "From reading entries back until the checkpoint is told.",
            buckets=WRITE_BUCKETS_S,
        )  # fmt: skip
        self.checkpoint_delay = metrics.histogram(
            "checkpoint_delay", "seconds", "From the receipt of a checkpoint's oldest entry to signing.",
            buckets=DELAY_BUCKETS_S,
        )  # fmt: skip
        self.inconsistent = metrics.flag(
            "head_inconsistent", "1 while the head contradicts what was signed or announced, else 0."
        )
        self._leader = metrics.flag("leader", "1 if this process sequences and signs, else 0.")
        self.findings = metrics.gauge("verify_findings", "items", "Findings of the last verification.")
        self.verified_at = metrics.gauge(
            "verify_last", "timestamp_seconds", "End of the last complete verification."
        )
        self.verify_seconds = metrics.gauge("verify", "seconds", "Duration of the last verification.")
        self.reconciled = metrics.counter(
            "reconciled", "Messages of the stream compared with the log, byte for byte.", ("stream",)
        )
        self.unreconciled = metrics.gauge(
            "unreconciled", "messages", "Archived messages not compared with the stream yet.", ("stream",)
        )
        self.diverged = metrics.gauge(
            "diverged", "messages", "Sequences known to differ between stream and log.", ("stream", "kind")
        )
        self.reconciled_at = metrics.gauge(
            "reconciled_last", "timestamp_seconds", "End of the last round in which every stream answered."
        )

    def signed(self, size: int, at: datetime) -> None:
        """Note a checkpoint."""
        self.checkpoint.set(size)
        self.signed_at.set(at.timestamp())

    def leading(self, *, leads: bool) -> None:
        """Note whether this process sequences and signs."""
        self._leader.set(int(leads))

    def written(self, entries: Sequence[Entry], seconds: float) -> None:
        """Count one insert."""
        for (stream, kind), count in Tally((e.leaf.stream, e.leaf.kind.value) for e in entries).items():
            self._entries.labels(stream, kind).inc(count)
        self._batch.observe(len(entries))
        self._write.observe(seconds)
        self.head.set(entries[-1].index)
