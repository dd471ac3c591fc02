"""Binds a child's life to its parent's, then becomes the child's program.

Run as a script: ``python -I -S launch.py <parent pid> <nice> <program> [argument…]``. Linux only. The kernel
is asked to send SIGKILL to this process when the *thread* that created it ends; that survives ``exec``.
A separate program does this, and no ``preexec_fn``, because Python code between fork and exec of a process
with threads can deadlock (and warns from Python 3.12 on).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Option number of prctl(2), from <linux/prctl.h>."""

EXIT_ORPHANED = 125
EXIT_NOT_EXECUTABLE = 127


def main(argv: list[str]) -> int:
    """Become ``argv[3:]``, doomed to die with the parent ``argv[1]``; returns only on failure."""
    parent_pid, nice, command = int(argv[1]), int(argv[2]), argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.stderr.write(f"launch: prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}\n")
        return EXIT_NOT_EXECUTABLE
    if os.getppid() != parent_pid:  # the parent died before the kernel knew that we depend on it
        sys.stderr.write(f"launch: parent {parent_pid} is gone, {command[0]} not started\n")
        return EXIT_ORPHANED
    if nice:
        _yield_to_others(nice)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point: the arguments are passed verbatim
    except OSError as error:
        sys.stderr.write(f"launch: cannot execute {command[0]}: {error.strerror}\n")
    return EXIT_NOT_EXECUTABLE


def _yield_to_others(nice: int) -> None:
    """Lower our priority, and our session's: where the kernel groups by session, ``nice`` alone is moot."""
    os.nice(nice)
    try:
        # Not pathlib, whose import would cost every child's start.
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:  # noqa: PTH123 - see above
            group.write(str(nice))
    except OSError:
        return  # a kernel without autogroups: nice is enough there


if __name__ == "__main__":
    sys.exit(main(sys.argv))
