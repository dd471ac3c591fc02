"""Errors of intake's use cases."""

from typing import ClassVar

from services.intake.domain.acceptance import Issue
from services.intake.domain.measures import Size
from services.intake.domain.revisions import History, Move
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
        """`event_id` names the event that stands, `field` what held the key."""
        super().__init__(
            Size("other content under a key that was used before"),
            f"the content of event {event_id}, which stands",
            "send what is new under a new key; repeat what is old unchanged",
            field=field,
        )
        self.event_id = event_id


class TokenUsedError(ConflictError, InvalidValueError):
    """The one-time token was used before, for another rating."""

    title: ClassVar[str] = "The token was used"

    def __init__(self) -> None:
        """Say nothing of the rating that it was used for: the token is no key to it."""
        super().__init__(
            Size("a token that was used before"),
            "a token that nobody has used",
            "ask the window for a new one; to change a rating, use its receipt",
            field="token",
        )


class MoveNotOpenError(ConflictError, InvalidValueError):
    """The rating's state does not allow the move."""

    title: ClassVar[str] = "The rating's state does not allow this"

    def __init__(self, history: History, move: Move) -> None:
        """Name the state of `history` and the moves that are open."""
        super().__init__(
            Size(f"{move.value} for a rating that is {history.state.value}"),
            *_way_out(history),
            field="state",
        )


class HeldBeforeError(ConflictError, InvalidValueError):
    """The rating was held by hand before: to keep it from counting any longer takes two people."""

    title: ClassVar[str] = "The rating was held by hand before"

    def __init__(self, event_id: str) -> None:
        """Name the remedy for the rating `event_id`."""
        super().__init__(
            Size("a second hold by hand"),
            "a rating that nobody has held by hand yet",
            f"ask for its exclusion, which another person approves: POST /v1/feedback/{event_id}/exclusion",
            field="state",
        )


class LostRaceError(ConflictError, InvalidValueError):
    """Somebody else's revision of the rating came first."""

    title: ClassVar[str] = "Another revision came first"

    def __init__(self, history: History) -> None:
        """`history` holds what came first."""
        super().__init__(
            Size(f"a decision about a rating that meanwhile is {history.state.value}"),
            *_way_out(history),
            field="state",
        )


class SamePersonError(InvalidValueError):
    """Somebody decides alone, or about what they decided themselves; another person may."""

    http_status: ClassVar[int] = 403
    title: ClassVar[str] = "Another person has to decide this"


class NotPendingError(ConflictError, InvalidValueError):
    """Nothing is left to decide: somebody has, or the time is over."""

    title: ClassVar[str] = "The request is not pending"


def _way_out(history: History) -> tuple[str, str]:
    """What is expected of a rating's next move, and the remedy."""
    moves = ", ".join(history.moves)
    expected = f"one of the open moves: {moves}" if moves else "no move at all: that state is final"
    return expected, f"look at GET /v1/feedback/{history.accepted.event_id}/state and decide again"


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


class ScreenerGoneError(TransientError):
    """The process that screened for this one has ended."""
