"""What goes wrong with a case, worded so that its reader can go on."""

from typing import ClassVar

from services.rectify.domain.case import Status
from shared.kernel.errors import ConflictError, NotFoundError, describe


class IllegalMoveError(ConflictError):
    """The case does not allow that move now (HTTP 409).

    Attributes:
        missing: what stands in the way, each with what to do.
        open_moves: names of the moves that are possible now.
    """

    title: ClassVar[str] = "The case does not allow that now"

    def __init__(
        self, move: str, status: Status, missing: tuple[str, ...], open_moves: tuple[str, ...]
    ) -> None:
        """Say what stands in the way of `move`."""
        moves = ", ".join(open_moves) or "none"
        super().__init__(
            describe(
                f"{move} while {status.value}",
                f"a case that is ready for it ({'; '.join(missing)})",
                f"moves that are open now: {moves}",
            )
        )
        self.missing = missing
        self.open_moves = open_moves


class ChangedSinceError(ConflictError):
    """It is not what a decision was made for: it has changed since somebody looked, or while we decided."""

    def __init__(self, version: int, status: str, expected: str) -> None:
        """`expected` says what was wanted."""
        super().__init__(
            describe(f"version {version} ({status})", expected, "look at the newer state, then decide again")
        )


class CaseNotFoundError(NotFoundError):
    """No case has that id, or no open case that receipt."""
