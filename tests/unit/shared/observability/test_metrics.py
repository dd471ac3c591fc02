import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from shared.kernel.errors import InvalidValueError
from shared.observability.metrics import FORBIDDEN_LABELS, UNITS, ServiceMetrics, watch_loop_lag


def exposed(metrics: ServiceMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_names_follow_the_rule() -> None:
    metrics = ServiceMetrics("intake")
    metrics.counter("feedback_accepted", "Accepted.", ("channel",)).labels("web").inc()
    metrics.gauge("queue_length", "messages", "Waiting.").set(3)
    metrics.histogram("publish_duration", "seconds", "Publishing.").observe(0.002)
    text = exposed(metrics)
    assert 'pingyi_intake_feedback_accepted_total{channel="web"} 1.0' in text
    assert "pingyi_intake_queue_length_messages 3.0" in text
    assert 'pingyi_intake_publish_duration_seconds_bucket{le="0.0025"} 1.0' in text


def test_a_flag_has_no_unit() -> None:
    metrics = ServiceMetrics("scoring")
    metrics.flag("leader", "1 if this replica leads.").set(1)
    assert "pingyi_scoring_leader 1.0" in exposed(metrics)
    with pytest.raises(InvalidValueError, match="lower-case words"):
        metrics.flag("Leader", "x")


def test_process_and_platform_metrics_are_there() -> None:
    text = exposed(ServiceMetrics("intake"))
    assert "process_resident_memory_bytes" in text
    assert "python_info" in text


def test_two_services_in_one_process_do_not_collide() -> None:
    for _ in range(2):
        ServiceMetrics("intake").counter("feedback_accepted", "Accepted.")


@pytest.mark.parametrize("noun", ["", "Upper", "has-dash", "_x", "x_", "a__b", "1a"])
def test_malformed_nouns_are_rejected(noun: str) -> None:
    with pytest.raises(InvalidValueError, match="lower-case words"):
        ServiceMetrics("intake").counter(noun, "x")


@given(st.text(max_size=20).filter(lambda unit: unit not in UNITS and unit != "total"))
def test_unknown_units_are_rejected(unit: str) -> None:
    with pytest.raises(InvalidValueError, match="choose one or add it"):
        ServiceMetrics("intake").name("x", unit)


@pytest.mark.parametrize("label", sorted(FORBIDDEN_LABELS))
def test_labels_without_a_bound_are_rejected(label: str) -> None:
    with pytest.raises(InvalidValueError, match="log it instead"):
        ServiceMetrics("intake").counter("x", "x", (label,))


def test_a_malformed_service_name_is_rejected() -> None:
    with pytest.raises(InvalidValueError, match="rename the service"):
        ServiceMetrics("In-Take")


async def test_a_blocked_event_loop_shows_as_lag() -> None:
    metrics = ServiceMetrics("intake")
    gauge = metrics.gauge("event_loop_lag", "seconds", "Lag.")
    watcher = asyncio.create_task(watch_loop_lag(gauge, interval_s=0.01))
    await asyncio.sleep(0.03)
    time.sleep(0.2)  # noqa: ASYNC251 - blocking the loop is what is measured
    await asyncio.sleep(0.03)
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
    lag = metrics.registry.get_sample_value("pingyi_intake_event_loop_lag_seconds")
    assert lag is not None
    assert lag >= 0.1
