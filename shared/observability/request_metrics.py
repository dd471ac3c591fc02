"""How many requests there were, and how long they took: counted for each, told at a scrape."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from shared.observability.metrics import LATENCY_BUCKETS_S, ServiceMetrics

_BOUNDS: Final = (*map(floatToGoString, LATENCY_BUCKETS_S), "+Inf")


class _Tally:
    """Requests with one method, route and status: their seconds, and how many are in each bucket."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def add(self, other: "_Tally") -> None:
        self.buckets = [mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds


class RequestMetrics(Collector):
    """A counter by method, route and status, and a histogram by method and route.

    In plain numbers, made into Prometheus's at a scrape: its own counter and histogram take a lock for each
    of three numbers, ten times as much as this. One event loop counts and is scraped, so none is needed.
    """

    def __init__(self, metrics: ServiceMetrics) -> None:
        """Add both to `metrics`."""
        self._requests = metrics.name("http_requests", "total")
        self._durations = metrics.name("http_request_duration", "seconds")
        self._tallies: dict[tuple[str, str, int], _Tally] = {}
        metrics.registry.register(self)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is its template, of which there are few."""
        key = (method, route, status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        tally.buckets[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        tally.seconds += seconds

    def describe(self) -> Iterator[Metric]:
        """Tell the names, so that no other metric takes them."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Tell everything."""
        requests = CounterMetricFamily(
            self._requests, "HTTP requests answered.", labels=("method", "route", "status")
        )
        by_route: dict[tuple[str, str], _Tally] = {}
        for (method, route, status), tally in self._tallies.items():
            requests.add_metric((method, route, str(status)), sum(tally.buckets))
            by_route.setdefault((method, route), _Tally()).add(tally)
        durations = HistogramMetricFamily(
            self._durations, "Time from request to complete answer.", labels=("method", "route")
        )
        for labels, tally in by_route.items():
            durations.add_metric(
                labels, list(zip(_BOUNDS, accumulate(tally.buckets), strict=True)), tally.seconds
            )
        yield requests
        yield durations
