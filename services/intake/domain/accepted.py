"""What intake remembers of an accepted rating: enough to answer a repeat and a receipt."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Accepted(NamedTuple):
    """One rating in the stream.

    Attributes:
        event_id: id of its FeedbackSubmitted.
        receipt: 80 bits, see `receipts`.
        digest: keyed digest of the client's own fields.
        sequence: place in FEEDBACK; of two events with one id the first one counts.
        received_at: when intake received it, whole milliseconds.
        occurred_at: when it happened, whole milliseconds.
        others: receipts of the other ids that it goes by: it is found under them, too.
    """

    event_id: str
    receipt: bytes
    digest: str
    sequence: int
    received_at: datetime
    occurred_at: datetime
    unit_id: str
    grade: int
    others: tuple[bytes, ...] = ()


class Verdict(StrEnum):
    """How a submission was answered."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Outcome(NamedTuple):
    """The answer to one submission: what happened, and the rating that stands."""

    verdict: Verdict
    accepted: Accepted


def judge_repeat(digest: str, earlier: Accepted) -> Outcome:
    """Compare a submission's digest with the one that came first under the same id."""
    return Outcome(Verdict.DUPLICATE if digest == earlier.digest else Verdict.CONFLICT, earlier)
