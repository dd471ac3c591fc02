"""Background tasks that can't die unnoticed."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

from shared.kernel.errors import InvalidValueError
from shared.observability.health import Health
from shared.observability.logging import get_logger

DEFAULT_STOP_S: Final = 5.0
REMINDED_S: Final = 0.5

_log = get_logger(component="lifecycle")


class TaskSupervisor:
    """Runs named tasks; one that ends by itself makes the process fatally unhealthy.

    A process whose consumer has silently died looks well and does nothing. So the death is logged,
    ``/livez`` turns 503 and `server.run_service` ends the process; whoever supervises it starts it again: a
    fresh fold beats a repair.
    Use it as an async context manager inside the app's lifespan.
    """

    def __init__(self, health: Health, *, stop_timeout_s: float = DEFAULT_STOP_S) -> None:
        """`stop_timeout_s` bounds `stop`."""
        self._health = health
        self._stop_timeout_s = stop_timeout_s
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._stopping = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the tasks that run."""
        return tuple(name for name, task in self._tasks.items() if not task.done())

    def start(self, name: str, work: Coroutine[Any, Any, Any], *, may_finish: bool = False) -> None:
        """Run `work` in the background.

        Args:
            name: for logs and ``/livez``.
            work: a coroutine that runs until cancelled.
            may_finish: it may also return (one-off work); raising is fatal all the same.

        Raises:
            InvalidValueError: a task of this name runs, or `stop` was called.
        """
        if self._stopping or name in self.running:
            work.close()
            raise InvalidValueError(
                name, "a free task name before stop()", "start each task once", field="name"
            )
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done, may_finish=may_finish))

    def _ended(self, name: str, task: asyncio.Task[Any], *, may_finish: bool) -> None:
        error = None if task.cancelled() else task.exception()
        if self._stopping:
            if error is not None:
                _log.error("task failed while stopping", task=name, exc_info=error)
            return
        if error is None and may_finish and not task.cancelled():
            return
        cause = "was cancelled" if task.cancelled() else "returned" if error is None else type(error).__name__
        _log.critical("task died", task=name, cause=cause, exc_info=error)
        self._health.fatal(f"background task {name} died: {cause}")

    async def stop(self) -> tuple[str, ...]:
        """Cancel all tasks and wait for them, at most `stop_timeout_s`; may be called again.

        Who has not ended by then is told once more, and gets a moment to obey: a library may have forgotten
        the first cancellation.

        Returns:
            The names of those that did not end in time.
        """
        self._stopping = True
        pending = {task for task in self._tasks.values() if not task.done()}
        for limit_s in (self._stop_timeout_s, REMINDED_S):
            for task in pending:
                task.cancel()
            if pending:
                _, pending = await asyncio.wait(pending, timeout=limit_s)
        late = tuple(task.get_name() for task in pending)
        if late:
            _log.error("tasks did not stop in time", tasks=late, timeout_s=self._stop_timeout_s)
        return late
