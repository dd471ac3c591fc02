"""TCP ports of the loopback interface: which are free, and who holds one that is not."""

import socket
from contextlib import ExitStack

import psutil

from deploy.local.errors import PortTakenError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """``count`` different ports that were free a moment ago.

    All are held open at once while they are chosen, so that no port is named twice. Another process may still
    take one before the caller binds it; servers report that as ``PortTakenError``.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(int(each.getsockname()[1]) for each in sockets)


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after a restart counts as free, one with a listener does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> psutil.Process | None:
    """The process that listens on ``port``, or None if it is unknown (nobody, or another user's process)."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS lets only root look
        return None
    for connection in connections:
        if not connection.laddr or (connection.status, connection.laddr.port) != (psutil.CONN_LISTEN, port):
            continue
        if connection.pid is not None:
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None


def describe_holder(port: int) -> str:
    """Who listens on ``port``, for a message: ``"mongod (pid 4711)"`` or ``"an unknown process"``."""
    holder = holder_of(port)
    if holder is None:
        return "an unknown process"
    try:
        return f"{holder.name()} (pid {holder.pid})"
    except psutil.NoSuchProcess:
        return "a process that has just ended"


def require_free(port: int, purpose: str) -> None:
    """Make sure that ``purpose`` can listen on ``port``.

    Raises:
        PortTakenError: somebody listens there; the message names the holder.
    """
    if not is_free(port):
        raise PortTakenError(
            f"port {port} on {LOOPBACK}, wanted for {purpose}, is held by {describe_holder(port)}; "
            "expected it to be free: stop that process or choose another range with --port-base"
        )
