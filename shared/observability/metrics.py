"""Metrics under one naming rule: ``pingyi_<service>_<noun>_<unit>``, bounded labels, own registry.

A registry per service instead of the library's global one: tests build several services in one process.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from shared.kernel.errors import InvalidValueError

UNITS: Final = frozenset(
    {
        "seconds",
        "bytes",
        "ratio",
        "ratings",
        "events",
        "messages",
        "alerts",
        "units",
        "lists",
        "cases",
        "entries",
        "requests",
        "connections",
        "tasks",
        "items",
        "position",
        "processes",
        "timestamp_seconds",
        "days",
        "points",
        "info",
    }
)
"""Last word of a metric's name; counters end in ``total`` instead."""

FORBIDDEN_LABELS: Final = frozenset(
    {
        "unit_id",
        "unit",
        "event_id",
        "alert_id",
        "correlation_id",
        "subject",
        "path",
        "url",
        "citizen",
        "device",
        "name",
    }
)
"""Labels without a bound, or that point at a person."""

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_NOUN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)


class ServiceMetrics:
    """Makes the metrics of one service; each name once.

    Attributes:
        service: the second word of every name.
        registry: what ``/metrics`` exposes; process, platform and garbage-collector metrics included.
    """

    def __init__(self, service: str, registry: CollectorRegistry | None = None) -> None:
        """Make a registry unless one is given.

        Raises:
            InvalidValueError: `service` can't be part of a metric's name.
        """
        if _NOUN.fullmatch(service) is None:
            raise InvalidValueError(
                service, "lower-case words joined by _", "rename the service", field="service"
            )
        self.service = service
        self.registry = registry if registry is not None else CollectorRegistry()
        if registry is None:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    def name(self, noun: str, unit: str) -> str:
        """Return the full name.

        Raises:
            InvalidValueError: malformed noun, or a unit that isn't in `UNITS` (or ``total``).
        """
        if _NOUN.fullmatch(noun) is None:
            raise InvalidValueError(noun, "lower-case words joined by _", "rename the metric", field="noun")
        if unit != "total" and unit not in UNITS:
            known = ", ".join(sorted(UNITS))
            raise InvalidValueError(unit, f"a unit of {known}", "choose one or add it to UNITS", field="unit")
        return f"pingyi_{self.service}_{noun}_{unit}"

    @staticmethod
    def _labels(labels: Sequence[str]) -> Sequence[str]:
        for label in labels:
            if label in FORBIDDEN_LABELS:
                raise InvalidValueError(
                    label, "a label with few values", "log it instead of labelling with it"
                )
        return labels

    def counter(self, noun: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """Make ``pingyi_<service>_<noun>_total``; put a unit other than "how many" into the noun.

        Raises:
            InvalidValueError: see `name`; or a label without a bound.
            ValueError: the name exists already.
        """
        return Counter(self.name(noun, "total"), help_text, self._labels(labels), registry=self.registry)

    def gauge(self, noun: str, unit: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """Make ``pingyi_<service>_<noun>_<unit>``; raises like `counter`."""
        return Gauge(self.name(noun, unit), help_text, self._labels(labels), registry=self.registry)

    def flag(self, noun: str, help_text: str) -> Gauge:
        """Make ``pingyi_<service>_<noun>``, 1 or 0: a statement has no unit; raises like `counter`."""
        name = self.name(noun, "info").removesuffix("_info")
        return Gauge(name, help_text, registry=self.registry)

    def histogram(
        self,
        noun: str,
        unit: str,
        help_text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> Histogram:
        """Make ``pingyi_<service>_<noun>_<unit>``; `buckets` are upper bounds; raises like `counter`."""
        return Histogram(
            self.name(noun, unit), help_text, self._labels(labels), registry=self.registry, buckets=buckets
        )


async def watch_loop_lag(gauge: Gauge, interval_s: float = 0.5) -> None:
    """Keep `gauge` at the event loop's lag: by how many seconds a sleep overslept; runs until cancelled.

    The gauge holds the greatest lag of the last ten samples, so that a scrape between two stalls sees them.
    """
    loop = asyncio.get_running_loop()
    recent = [0.0] * 10
    turn = 0
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        recent[turn] = max(0.0, loop.time() - due)
        turn = (turn + 1) % len(recent)
        gauge.set(max(recent))
