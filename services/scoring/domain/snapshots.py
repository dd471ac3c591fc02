"""Snapshots 快照: which stored state may stand for the beginning of the stream, and why another may not.

Pure. A snapshot is the fold at one position, so it is worth something only for the same units, the same
rules, and a stream that still says up to that position what was folded. The first two make it *foreign*:
another one, or folding everything, does as well. The last is another matter: a stream whose past has changed
must be looked at by a person before anything that rests on it is published.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple

FORMAT: Final = 1
"""Version of the description of a snapshot; the blob carries a version of its own."""

RUNBOOK: Final = "docs/operations.md, 'A stream went back'"


class Cause(StrEnum):
    """Why a snapshot is refused, for the metric."""

    FORMAT = "format"
    STREAM = "stream"
    HISTORY = "history"
    REGISTRY = "registry"
    RULES = "rules"
    DAY = "day"
    CORRUPT = "corrupt"


class Refusal(NamedTuple):
    """A snapshot that is not used.

    Attributes:
        cause: for counting.
        reason: in words: what is there, what was expected, what is done or to do.
    """

    cause: Cause
    reason: str

    @property
    def history_changed(self) -> bool:
        """Whether the stream no longer says what was folded: nobody goes on without a person's decision."""
        return self.cause in {Cause.STREAM, Cause.HISTORY}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot says about itself.

    Attributes:
        format: version of this description.
        rules: hash of the rule pack that it was folded under.
        registry: hash of the registry, because the rows of its tables are the registry's units in order.
        stream: name of the stream.
        stream_created: when the broker made that stream; a stream made anew has another time.
        position: sequence of the last message folded.
        message_hash: `message_hash` of that message; empty at position 0. Tells sequences that were given out
            twice, as after a damaged block file.
        as_of: the day that its windows end on.
        size: bytes of its blob.
        sha256: hash of its blob, hexadecimal.
        made_at: when it was taken, aware.
        blob: where the store keeps it; empty before it is stored.
        cases_created: like `stream_created`, of the stream CASES; empty if nothing was folded of it.
        cases_position: like `position`, of CASES.
        cases_hash: like `message_hash`, of CASES.
    """

    format: int
    rules: str
    registry: str
    stream: str
    stream_created: str
    position: int
    message_hash: str
    as_of: date
    size: int
    sha256: str
    made_at: datetime
    blob: str = ""
    cases_created: str = ""
    cases_position: int = 0
    cases_hash: str = ""


class Ground(NamedTuple):
    """What a start stands on.

    Attributes:
        stream: name of the stream to fold.
        registry: hash of the registry in use.
        rules: hash of today's rule pack.
        today: the business day.
    """

    stream: str
    registry: str
    rules: str
    today: date


class StreamState(NamedTuple):
    """The stream as it stands, looked at for one position.

    Attributes:
        created: when the broker made it.
        first: first sequence that it still has; one more than ``last`` if it is empty.
        last: last sequence that it ever gave out.
        message_hash: hash of the message at the position in question; None if the stream does not have it.
    """

    created: str
    first: int
    last: int
    message_hash: str | None


def refuse(snapshot: Snapshot, ground: Ground, state: StreamState) -> Refusal | None:
    """Why ``snapshot`` can't be started from; None if it can.

    A changed history comes before everything else but the format, because it must not stay unseen only
    because the rules changed on the same day.
    """
    if snapshot.format != FORMAT:
        return Refusal(
            Cause.FORMAT,
            f"snapshot of format {snapshot.format}, expected {FORMAT}: another version of scoring wrote it",
        )
    return _refuse_history(snapshot, ground, state) or _refuse_foreign(snapshot, ground)


def refuse_cases(snapshot: Snapshot, stream: str, state: StreamState) -> Refusal | None:
    """Why ``snapshot`` can't be started from because of the stream of cases; None if it can.

    Args:
        snapshot: the snapshot.
        stream: name of that stream.
        state: it as it stands, looked at for the snapshot's position in it.
    """
    if snapshot.cases_position == 0:
        return None  # nothing was folded of it
    if snapshot.cases_created != state.created:
        return Refusal(
            Cause.STREAM,
            f"snapshot of {stream} made {snapshot.cases_created}, but {stream} was made {state.created}: it "
            f"is another stream; see {RUNBOOK}",
        )
    return _refuse_past(snapshot.cases_position, snapshot.cases_hash, stream, state)


def _refuse_history(snapshot: Snapshot, ground: Ground, state: StreamState) -> Refusal | None:
    if (snapshot.stream, snapshot.stream_created) != (ground.stream, state.created):
        return Refusal(
            Cause.STREAM,
            f"snapshot of {snapshot.stream} made {snapshot.stream_created}, but {ground.stream} was made "
            f"{state.created}: it is another stream; see {RUNBOOK}",
        )
    return _refuse_past(snapshot.position, snapshot.message_hash, ground.stream, state)


def _refuse_past(position: int, message_hash: str, stream: str, state: StreamState) -> Refusal | None:
    if state.last < position:
        return Refusal(
            Cause.HISTORY,
            f"snapshot at {position}, but {stream} ends at {state.last}: it went back; see {RUNBOOK}",
        )
    if position > 0 and state.message_hash is None and state.first <= position:
        return Refusal(
            Cause.HISTORY,
            f"snapshot at {position}, but {stream} has lost the message there; see {RUNBOOK}",
        )
    if state.message_hash is not None and state.message_hash != message_hash:
        return Refusal(
            Cause.HISTORY,
            f"snapshot at {position}, but {stream} has another message there now: its sequences were "
            f"given out twice; see {RUNBOOK}",
        )
    # Messages behind it that have expired unread are no reason: they are read from the archive.
    return None


def _refuse_foreign(snapshot: Snapshot, ground: Ground) -> Refusal | None:
    if snapshot.registry != ground.registry:
        return Refusal(
            Cause.REGISTRY, f"snapshot of the registry {snapshot.registry}, in use is {ground.registry}"
        )
    if snapshot.rules != ground.rules:
        return Refusal(Cause.RULES, f"snapshot under the rules {snapshot.rules}, today's are {ground.rules}")
    if snapshot.as_of > ground.today:
        return Refusal(
            Cause.DAY,
            f"snapshot of {snapshot.as_of}, today is {ground.today}: check the clock",
        )
    return None
