import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.observability.metrics import LATENCY_BUCKETS_S, ServiceMetrics
from shared.observability.request_metrics import RequestMetrics

SEEN = [
    ("GET", "/v1/units", 200, 0.0),
    ("GET", "/v1/units", 200, 0.001),
    ("GET", "/v1/units", 404, 0.001953125),
    ("POST", "/v1/feedback", 202, 0.0234375),
    ("POST", "/v1/feedback", 503, 60.0),
    ("POST", "/v1/feedback", 202, 10.0),
]


def exposed(registry: CollectorRegistry) -> list[str]:
    """The text of a scrape without what says when counting began."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_scrape_reads_as_if_prometheus_own_objects_had_counted() -> None:
    registry, its_own = CollectorRegistry(), CollectorRegistry()
    ours = RequestMetrics(ServiceMetrics("intake", registry))
    requests = Counter(
        "pingyi_intake_http_requests_total",
        "HTTP requests answered.",
        ("method", "route", "status"),
        registry=its_own,
    )
    durations = Histogram(
        "pingyi_intake_http_request_duration_seconds",
        "Time from request to complete answer.",
        ("method", "route"),
        registry=its_own,
        buckets=LATENCY_BUCKETS_S,
    )
    assert "pingyi_intake_http_requests_total" in "".join(exposed(registry)), "named before the first request"
    for method, route, status, seconds in SEEN:
        ours.observe(method, route, status, seconds)
        requests.labels(method, route, str(status)).inc()
        durations.labels(method, route).observe(seconds)
    assert exposed(registry) == exposed(its_own)


def test_another_metric_of_the_name_is_refused() -> None:
    metrics = ServiceMetrics("intake", CollectorRegistry())
    RequestMetrics(metrics)
    with pytest.raises(ValueError, match="http_requests"):
        metrics.counter("http_requests", "Another one.")
