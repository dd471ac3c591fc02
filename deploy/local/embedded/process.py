"""One child process that cannot outlive this one, with its output in a bounded log file."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from deploy.local.embedded import launch
from deploy.local.embedded.logs import open_log

STOP_TIMEOUT_S = 5.0
"""How long a child may take to end after SIGTERM before it is killed."""

_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
"""The one thread that creates children; it begins with the first of them.

The kernel's parent-death signal fires when the creating *thread* ends, not the process. A child created from
a short-lived worker thread (``asyncio.to_thread``) would be killed in the middle of its work; this thread
lives as long as the process. Made here and not on demand: two threads that start their first child at the
same moment would make one each, and the child of the one that is dropped would die with it.
"""


class ChildProcess:
    """A program started as a child: output appended to ``log``, killed by the kernel when this process dies.

    The child gets its own session, so that a Ctrl-C in the terminal reaches only us and we decide the order
    in which children stop. On systems other than Linux nothing ties the child to us; there only ``stop`` ends
    it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        nice: int = 0,
    ) -> None:
        """Remember what to run; nothing is started yet.

        ``env`` is the whole environment (None: ours); ``nice`` (0-19) lowers the priority, on Linux.
        """
        self._nice = nice
        self.command = tuple(command)
        self.log = log
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the last start, or None before the first one."""
        return self._popen.pid if self._popen else None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last run (negative: the signal that ended it), None while it runs or never ran."""
        return self._popen.poll() if self._popen else None

    def is_alive(self) -> bool:
        """Whether the process runs (a stopped one, SIGSTOP, counts as running)."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the program.

        Raises:
            RuntimeError: it runs already.
            OSError: the program cannot be executed (other systems than Linux; there it ends with code 127).
        """
        if self.is_alive():
            raise RuntimeError(f"{self.command[0]} runs as pid {self.pid}: stop it before starting it again")
        self._popen = _SPAWNER.submit(self._spawn).result()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the process ended, at most ``timeout_s`` seconds; tells whether it has ended."""
        if self._popen is None:
            return True
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the process to end (SIGTERM), kill it after ``timeout_s``; no-op if it does not run."""
        self.send(signal.SIGTERM)
        if not self.wait(timeout_s):
            self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL) and wait until it is gone; no-op if it does not run."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal; no-op if the process does not run."""
        if self._popen is not None:
            self._popen.send_signal(signum)

    def yield_to_others(self, nice: int) -> None:
        """Lower the priority of a process that runs already; no-op if it has ended, or not on Linux."""
        if nice and sys.platform == "linux" and self._popen is not None:
            # Of its group and not of itself: the kernel would lower one thread only.
            with suppress(OSError):
                os.setpriority(os.PRIO_PGRP, self._popen.pid, nice)
                # Where the kernel groups by session, that alone is moot.
                Path(f"/proc/{self._popen.pid}/autogroup").write_text(str(nice), encoding="ascii")

    def _spawn(self) -> subprocess.Popen[bytes]:
        with open_log(self.log) as log:
            return subprocess.Popen(
                [*_life_binding(self._nice), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )


def _life_binding(nice: int) -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(nice)]
