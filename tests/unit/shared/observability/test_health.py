import asyncio

import pytest

from shared.kernel.errors import InvalidValueError
from shared.observability.health import Health


class Dependency:
    """A dependency that can be broken, and counts how often it is asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.delay_s = 0.0
        self.asked = 0

    async def check(self) -> str | None:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return "2.15.1"


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_with_everything_well_it_is_ready_and_names_each_dependency() -> None:
    health = Health()
    health.register("nats", Dependency().check)
    health.register("mongodb", Dependency().check)
    report = await health.readiness()
    assert report.ready
    assert [(c.name, c.status, c.detail) for c in report.checks] == [
        ("nats", "ok", "2.15.1"),
        ("mongodb", "ok", "2.15.1"),
    ]
    assert report.as_json()["status"] == "ok"


async def test_a_failing_required_dependency_makes_it_unready_and_says_why() -> None:
    health, broken = Health(), Dependency()
    broken.error = ConnectionRefusedError("refused " + "x" * 1000)
    health.register("mongodb", Dependency().check)
    health.register("nats", broken.check)
    report = await health.readiness()
    assert not report.ready
    assert [check.status for check in report.checks] == ["ok", "failed"]
    detail = report.checks[1].detail
    assert detail is not None
    assert detail.startswith("ConnectionRefusedError: 'refused")
    assert len(detail) < 200


async def test_a_failing_optional_dependency_only_degrades() -> None:
    health, broken = Health(), Dependency()
    broken.error = OSError("down")
    health.register("smtp", broken.check, required=False)
    report = await health.readiness()
    assert report.ready
    assert (report.status, report.checks[0].status) == ("degraded", "degraded")


async def test_a_check_that_hangs_has_failed_after_its_timeout() -> None:
    health, slow = Health(), Dependency()
    slow.delay_s = 30
    health.register("nats", slow.check, timeout_s=0.02)
    report = await asyncio.wait_for(health.readiness(), 5)
    assert report.checks[0].detail == "no answer within 0.02 s"
    assert not report.ready


async def test_results_are_reused_until_they_are_old() -> None:
    ticks, dependency = Ticks(), Dependency()
    health = Health(ticks)
    health.register("nats", dependency.check, cache_s=1.0)
    await health.readiness()
    ticks.now = 0.9
    await health.readiness()
    assert dependency.asked == 1
    ticks.now = 1.1
    await health.readiness()
    assert dependency.asked == 2


async def test_recovery_shows_long_before_a_good_result_would_be_old() -> None:
    ticks, dependency = Ticks(), Dependency()
    health = Health(ticks)
    health.register("nats", dependency.check, cache_s=1.0)
    dependency.error = OSError("down")
    assert not (await health.readiness()).ready
    dependency.error = None
    ticks.now = 0.15
    assert (await health.readiness()).ready


async def test_a_failure_is_reused_for_a_moment_too() -> None:
    ticks, dependency = Ticks(), Dependency()
    health = Health(ticks)
    health.register("nats", dependency.check, cache_s=1.0)
    dependency.error = OSError("down")
    await health.readiness()
    ticks.now = 0.05
    await health.readiness()
    assert dependency.asked == 1


async def test_simultaneous_probes_share_one_run() -> None:
    health, dependency = Health(), Dependency()
    dependency.delay_s = 0.01
    health.register("nats", dependency.check)
    await asyncio.gather(*(health.readiness() for _ in range(20)))
    assert dependency.asked == 1


async def test_draining_and_fatal_processes_are_unready_and_say_why() -> None:
    health = Health()
    health.draining()
    report = await health.readiness()
    assert (report.ready, report.as_json()["reason"]) == (False, "shutting down")
    health.fatal("first")
    health.fatal("second")
    assert health.fatal_reason == "first"
    assert (await health.readiness()).reason == "first"


def test_a_process_that_is_to_be_started_anew_is_not_broken_unless_it_was_before() -> None:
    health = Health()
    health.renew("another registry")
    assert (health.renewing, health.fatal_reason) == (True, "another registry")
    broken = Health()
    broken.fatal("a task died")
    broken.renew("another registry")
    assert (broken.renewing, broken.fatal_reason) == (False, "a task died")


def test_a_name_is_registered_once() -> None:
    health = Health()
    health.register("nats", Dependency().check)
    with pytest.raises(InvalidValueError, match="register each dependency once"):
        health.register("nats", Dependency().check)
