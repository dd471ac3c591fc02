"""Tasks end although a library keeps their cancellation from them."""

import asyncio

import pytest

from shared.kernel import tasks
from shared.kernel.tasks import end, heed_cancellation


async def forgetful() -> None:
    """What `asyncio.wait_for` of Python 3.11 makes of a task that asks again for ever."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def test_a_task_that_missed_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    one, other = asyncio.create_task(forgetful()), asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await end(one, other)
    assert one.cancelled()
    assert other.cancelled()


async def test_how_a_task_has_ended_does_not_concern_who_ends_it() -> None:
    async def broken() -> None:
        raise OSError("broken")

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await end(task)
    await end()
    assert isinstance(task.exception(), OSError)


async def test_a_forgotten_cancellation_is_raised_and_none_that_nobody_sent() -> None:
    async def asking() -> None:
        answer = asyncio.get_running_loop().create_future()
        heed_cancellation()
        try:
            await answer
        except asyncio.CancelledError:
            heed_cancellation()

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
