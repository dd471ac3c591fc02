"""Errors of the one-machine runner.

They end a command with a message for a person; no message handler ever sees them. That is why they are not
part of the permanent/transient families of ``shared.kernel.errors``, which steer redelivery.
"""


class LocalError(RuntimeError):
    """The one-machine runner cannot do what was asked; the text says what was found and what to do."""


class ServerMissingError(LocalError):
    """No usable executable of an embedded server was found."""


class ServerStartError(LocalError):
    """A server process ended, or did not become ready, while it was being started."""


class PortTakenError(LocalError):
    """A TCP port that the platform needs is held by another process."""
