"""Errors of intake's use cases."""

from typing import ClassVar

from services.intake.domain.acceptance import Issue
from services.intake.domain.measures import Size
from shared.kernel.errors import ConflictError, InvalidValueError, PermanentError, TransientError, describe


class RejectedError(PermanentError):
    """A rating can't be accepted; `issues` say why, all at once."""

    title: ClassVar[str] = "The rating can't be accepted"

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        """Word the message after the first issue."""
        first = issues[0]
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        super().__init__(f"{first.field}: got {first.value}, expected {first.expected}: {first.remedy}{more}")
        self.issues = issues


class KeyReusedError(ConflictError, InvalidValueError):
    """The client's key came before, with other content."""

    title: ClassVar[str] = "The idempotency key was used for other content"

    def __init__(self, event_id: str, field: str) -> None:
        """`event_id` names the rating that stands, `field` what held the key."""
        super().__init__(
            Size("other content under a key that was used before"),
            f"the content of event {event_id}, which stands",
            "send a new rating under a new key; repeat an old one unchanged",
            field=field,
        )
        self.event_id = event_id


class IndexNotReadyError(TransientError):
    """What was accepted earlier isn't known yet, so a repeat could not be told from a new rating."""

    def __init__(self, position: int | None = None) -> None:
        """Word the message, with the position if it is for the operator; a long stream takes long."""
        where = "an index" if position is None else f"an index at {position}"
        super().__init__(
            describe(
                f"{where} that is still reading the feedback stream",
                "one that has caught up",
                "retry; /readyz says when it has",
            )
        )
