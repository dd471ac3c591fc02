"""Domain metrics of notify; names start with ``pingyi_notify_``, labels are bounded."""

from prometheus_client import CollectorRegistry

from shared.observability.metrics import ServiceMetrics

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Up to a minute, the promise for a bad review."""


class NotifyMetrics:
    """The service's own metrics.

    Attributes:
        events: events evaluated, by ``event`` and ``outcome`` (alert, quiet, stale, synthetic).
        raised: new alerts, by ``rule`` and ``severity``.
        deliveries: attempts, by ``channel`` and ``outcome`` (delivered, retried, failed, skipped).
        delivery_seconds: time of one attempt, by ``channel``.
        first_attempt_seconds: from receiving the cause to an alert's first attempt, by ``channel``.
        open: alerts that nobody has acknowledged.
        waiting: alerts that wait for an acknowledgement before the next person is told.
        held: tellings held back for digests.
        recipients: recipients of the file in force.
        recipients_invalid: whether a newer version of that file has problems.
        calendar_guessed: days of a year whose public holidays are not known.
        watched: events counted for surges and the like.
        unsettled: ratings that are being judged, or wait for it or for another attempt.
        behind: messages of FEEDBACK behind the position up to which everything is judged.
        unreadable: messages of the ALERTS stream that the fold could not read.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Make the metrics; `service` is what `shared.observability.http.install` takes."""
        self.service = metrics = ServiceMetrics("notify", registry)
        self.events = metrics.counter("events_evaluated", "Events that the rules saw.", ("event", "outcome"))
        self.raised = metrics.counter("alerts_raised", "New alerts.", ("rule", "severity"))
        self.deliveries = metrics.counter("deliveries", "Delivery attempts.", ("channel", "outcome"))
        self.delivery_seconds = metrics.histogram(
            "delivery_duration", "seconds", "Time of one delivery attempt.", ("channel",), LATENCY_BUCKETS_S
        )
        self.first_attempt_seconds = metrics.histogram(
            "first_attempt_delay",
            "seconds",
            "From receiving the cause to the first attempt.",
            ("channel",),
            LATENCY_BUCKETS_S,
        )
        self.open = metrics.gauge("open", "alerts", "Alerts that nobody has acknowledged.")
        self.waiting = metrics.gauge(
            "waiting", "alerts", "Alerts that are escalated unless somebody acknowledges."
        )
        self.held = metrics.gauge("held", "alerts", "Alerts held back for recipients' digests.")
        self.recipients = metrics.gauge("recipients", "items", "Recipients of the file in force.")
        self.recipients_invalid = metrics.flag(
            "recipients_file_invalid",
            "1: the file's newest version has problems; an older one stands.",
        )
        self.calendar_guessed = metrics.counter(
            "calendar_guesses", "Days judged by the week alone: their year's holidays are not known."
        )
        self.watched = metrics.counter("watched_events", "Events of FEEDBACK that were counted for surges.")
        self.unsettled = metrics.gauge(
            "unsettled", "ratings", "Ratings that are being judged, or wait for another attempt."
        )
        self.behind = metrics.gauge(
            "judging_lag", "messages", "Messages of FEEDBACK up to whose end not everything is judged."
        )
        self.unreadable = metrics.counter("fold_unreadable_messages", "Alert messages that are no events.")
