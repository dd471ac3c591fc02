"""The ratings that are held at present 暂存: what a reviewer picks from."""

from dataclasses import dataclass

from shared.kernel.errors import InvalidValueError

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """One held rating. Nothing in it tells who gave it.

    Attributes:
        sequence: place of its FeedbackQuarantined in FEEDBACK; pages go by it.
        cluster: what screening held it with; None where a person decided.
        decided_by: role or credential that held it.
        occurred_at: when it happened, RFC 3339; the others the same.
    """

    sequence: int
    event_id: str
    unit_id: str
    city: str
    county: str
    grade: int
    channel: str
    verification: str
    reason: str
    cluster: str | None
    decided_by: str | None
    occurred_at: str
    received_at: str
    held_at: str


@dataclass(frozen=True, slots=True)
class HeldCluster:
    """Ratings of one unit that are held for one reason, with one another."""

    cluster: str | None
    unit_id: str
    reason: str
    ratings: int
    first_held_at: str
    last_held_at: str


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which held ratings; None means any."""

    unit_id: str | None = None
    city: str | None = None
    county: str | None = None
    reason: str | None = None
    cluster: str | None = None


def read_cursor(cursor: str | None) -> int:
    """The sequence after which a page starts.

    Raises:
        InvalidValueError: it is none of ours.
    """
    if cursor is None:
        return 0
    digits = cursor.removeprefix("q")
    if not cursor.startswith("q") or not digits.isascii() or not digits.isdigit() or len(digits) > 18:  # noqa: PLR2004 - of 64 bits
        raise InvalidValueError(
            cursor, "the `next` of a page", "leave it out to start from the first rating", field="cursor"
        )
    return int(digits)


def write_cursor(sequence: int) -> str:
    """The cursor of the page after `sequence`."""
    return f"q{sequence}"
