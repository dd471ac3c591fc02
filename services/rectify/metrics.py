"""Domain metrics of rectify; names start with ``pingyi_rectify_``, labels are bounded."""

from prometheus_client import CollectorRegistry

from shared.observability.metrics import ServiceMetrics

LATENESS_BUCKETS_S = (0.05, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0)


class RectifyMetrics:
    """The service's own metrics.

    Attributes:
        moves: commands, by ``move`` and ``outcome`` (done, repeated, refused, lost, moot).
        opened: what ratings and findings led to, by ``origin`` (rating, complaint, inspection, incident;
            stale: too old).
        open: cases with something to do, by ``state`` (open, overdue).
        timers: timers that stand.
        timers_set: timers that were set or moved.
        timers_mended: of these, missing or wrong when cases and timers were compared.
        fired: timers that fired, by ``outcome`` (announced, stale).
        lateness_seconds: from the moment of a reminder to its event.
        leader: 1 while this replica does the work in the background.
        calendar_uncovered: 1 while deadlines fall into a year whose holidays were not announced.
        unreadable: messages that a fold could not read.
        sanction_moves: what people decided about sanctions and nominations, by ``move`` and ``outcome``.
        ladder_events: what ladders led to, by ``fact`` and ``outcome`` (stored; lost: somebody was
            faster; failed: a unit was left out).
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Make the metrics; `service` is what `shared.observability.http.install` takes."""
        self.service = metrics = ServiceMetrics("rectify", registry)
        self.moves = metrics.counter("case_moves", "Commands on cases.", ("move", "outcome"))
        self.opened = metrics.counter(
            "ratings_followed", "Reviews and findings that call for a case.", ("origin",)
        )
        self.open = metrics.gauge("open", "cases", "Cases with something to do.", ("state",))
        self.timers = metrics.gauge("standing_timers", "items", "Timers that stand.")
        self.timers_set = metrics.counter("timers_set", "Timers set or moved.")
        self.timers_mended = metrics.counter("timers_mended", "Timers that were missing or wrong.")
        self.fired = metrics.counter("timers_fired", "Timers that fired.", ("outcome",))
        self.lateness_seconds = metrics.histogram(
            "reminder_lateness", "seconds", "From a reminder's moment to its event.", (), LATENESS_BUCKETS_S
        )
        self.leader = metrics.gauge("leading", "info", "1 while this replica works in the background.")
        self.calendar_uncovered = metrics.gauge(
            "uncovered_years", "items", "Years of deadlines whose holidays were not announced."
        )
        self.unreadable = metrics.counter("fold_unreadable_messages", "Messages that are no events.")
        self.sanction_moves = metrics.counter(
            "sanction_moves", "People's decisions on sanctions.", ("move", "outcome")
        )
        self.ladder_events = metrics.counter(
            "ladder_events", "Events that ladders led to.", ("fact", "outcome")
        )
