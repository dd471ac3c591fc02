"""What a delivery can end in, for whoever decides what comes next."""

from shared.kernel.errors import PermanentError, TransientError


class ReceiverGoneError(PermanentError):
    """The receiver answered 410: it wants no more of this, and its endpoint is disabled."""


class EndpointDisabledError(PermanentError):
    """The endpoint is disabled; correct its address, or enable it, and replay the dead letter."""


class EndpointUnknownError(PermanentError):
    """The alert names an endpoint that no longer exists."""


class EndpointDownError(TransientError):
    """The endpoint has failed for as long as alerts are tried."""
