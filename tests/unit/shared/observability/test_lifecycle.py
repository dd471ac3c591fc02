import asyncio

import pytest

from shared.kernel.errors import InvalidValueError
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor


async def forever() -> None:
    await asyncio.Event().wait()


def task_named(name: str) -> asyncio.Task[None]:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


async def fail() -> None:
    raise RuntimeError("lost")


async def finish() -> None:
    await asyncio.sleep(0)


async def test_a_task_that_raises_makes_the_process_fatal() -> None:
    health = Health()
    async with TaskSupervisor(health) as tasks:
        tasks.start("fold", fail())
        await asyncio.sleep(0.01)
        assert health.fatal_reason == "background task fold died: RuntimeError"


async def test_a_task_that_returns_unasked_is_fatal_too() -> None:
    health = Health()
    async with TaskSupervisor(health) as tasks:
        tasks.start("fold", finish())
        await asyncio.sleep(0.01)
        assert health.fatal_reason == "background task fold died: returned"


async def test_a_task_cancelled_by_somebody_else_is_fatal_too() -> None:
    health = Health()
    async with TaskSupervisor(health) as tasks:
        tasks.start("fold", forever())
        task_named("fold").cancel()
        await asyncio.sleep(0.01)
        assert health.fatal_reason == "background task fold died: was cancelled"


async def test_one_off_work_may_finish_but_not_fail() -> None:
    health = Health()
    async with TaskSupervisor(health) as tasks:
        tasks.start("warm-up", finish(), may_finish=True)
        await asyncio.sleep(0.01)
        assert health.fatal_reason is None
        tasks.start("warm-up", fail(), may_finish=True)
        await asyncio.sleep(0.01)
        assert health.fatal_reason is not None


async def test_stopping_cancels_everything_and_is_not_fatal() -> None:
    health = Health()
    tasks = TaskSupervisor(health)
    tasks.start("a", forever())
    tasks.start("b", forever())
    assert list(tasks.running) == ["a", "b"]
    assert await tasks.stop() == ()
    assert await tasks.stop() == ()
    assert list(tasks.running) == []
    assert health.fatal_reason is None


async def test_stopping_takes_no_longer_than_its_bound() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks = TaskSupervisor(Health(), stop_timeout_s=0.05)
    tasks.start("stubborn", stubborn())
    task = task_named("stubborn")
    await asyncio.sleep(0)
    async with asyncio.timeout(20):  # without a bound it would wait for ever
        assert await tasks.stop() == ("stubborn",)
    release.set()
    await task


async def test_a_task_that_a_library_kept_from_its_cancellation_is_told_again() -> None:
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        try:
            await forever()
        except asyncio.CancelledError:
            forgotten += 1
        await forever()

    tasks = TaskSupervisor(Health(), stop_timeout_s=0.05)
    tasks.start("forgetful", forgetful())
    await asyncio.sleep(0)
    assert await tasks.stop() == ()
    assert forgotten == 1


async def test_a_failure_while_stopping_does_not_hide_the_stop() -> None:
    async def clumsy() -> None:
        try:
            await forever()
        finally:
            raise OSError("late")

    health = Health()
    async with TaskSupervisor(health) as tasks:
        tasks.start("clumsy", clumsy())
        await asyncio.sleep(0)
    assert health.fatal_reason is None


async def test_a_name_runs_once_and_nothing_starts_after_the_stop() -> None:
    tasks = TaskSupervisor(Health())
    tasks.start("a", forever())
    with pytest.raises(InvalidValueError, match="'a'"):
        tasks.start("a", forever())
    await tasks.stop()
    with pytest.raises(InvalidValueError, match=r"before stop\(\)"):
        tasks.start("b", forever())
