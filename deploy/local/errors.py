"""Errors of the one-machine runner.

They end a command with a message for a person; no message handler ever sees them. That is why they are
neither permanent nor transient errors, a distinction that steers redelivery.
"""

from typing import Any

from shared.kernel.errors import PingyiError


class LocalError(PingyiError):
    """The one-machine runner cannot do what was asked; the text says what was found and what to do."""


class ServerMissingError(LocalError):
    """No usable executable of an embedded server was found."""


class ServerStartError(LocalError):
    """A server process ended, or did not become ready, while it was being started."""


class PortTakenError(LocalError):
    """A TCP port that the platform needs is held by another process."""


class PlatformRunningError(LocalError):
    """Another process runs a platform on the same data directory."""


class NoPlatformError(LocalError):
    """No running platform was found where one is needed."""


class GaveUpError(LocalError):
    """A child failed so often, or was not ready for so long, that trying on would hide a fault."""


class StopRequestedError(LocalError):
    """The operator stopped the platform while something was still under way."""


class ServiceRefusedError(LocalError):
    """A service answered with a problem detail: ``problem`` is its JSON."""

    def __init__(self, problem: dict[str, Any], retry_after_s: float = 1.0) -> None:
        """Keep ``problem``, in one readable message too, and the pause after which to ask again."""
        super().__init__(_sentence(problem))
        self.problem = problem
        self.retry_after_s = retry_after_s


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def _sentence(problem: dict[str, Any]) -> str:
    lines = [f"{problem.get('status')} {problem.get('title')}: {problem.get('detail', '')}".rstrip(": ")]
    lines += [
        "  {field}: {value}; expected {expected}; {remedy}".format_map(_Blank(issue))
        for issue in problem.get("errors") or ()
        if isinstance(issue, dict)
    ]
    return "\n".join(lines)
