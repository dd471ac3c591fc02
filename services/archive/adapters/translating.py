"""The driver's errors as the log's: what could not be done, and that it is tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from services.archive.application.ports import LogUnavailableError
from shared.kernel.errors import describe

log = structlog.get_logger(__name__)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Do `action`, in words, with MongoDB.

    Raises:
        LogUnavailableError: the driver failed.
    """
    try:
        yield
    except PyMongoError as error:
        # The driver's words hold addresses and topology: for the log, not for whoever asked over HTTP.
        log.warning("mongodb_failed", action=action, reason=f"{type(error).__name__}: {error}")
        raise LogUnavailableError(
            describe(_trouble(error), f"MongoDB to {action}", "it is tried again by itself")
        ) from error


def _trouble(error: PyMongoError) -> str:
    if isinstance(error, ConnectionFailure):
        return "no answer"
    if isinstance(error, ExecutionTimeout | WTimeoutError):
        return "no answer in time"
    return "a refusal" if isinstance(error, OperationFailure) else "a failure"
