"""Finds where a refused stream and the log part, for the operator who has to decide about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.archive.application.ports import EntryLog, StreamSource
from shared.kernel.errors import ConflictError, describe

CHUNK: Final = 500


class NotRefusedError(ConflictError):
    """The stream continues what is archived: nothing is to be decided about it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A refused stream beside the log.

    Attributes:
        reason: why it is refused.
        fork: last sequence, in the stream's own numbers, up to which both have the same bodies.
        stream_last: last sequence of the stream, in its own numbers.
        archived_last: last archived sequence.
        offset: what accepting would add to the stream's sequences behind the fork.
    """

    stream: str
    reason: str
    fork: int
    stream_last: int
    archived_last: int

    @property
    def offset(self) -> int:
        """The next message of the stream is archived right behind the last archived one."""
        return self.archived_last - self.fork


class Forks:
    """Compares a refused stream with the log from its start."""

    def __init__(
        self, entry_log: EntryLog, source: StreamSource, refused: Callable[[], Mapping[str, str]]
    ) -> None:
        """``refused`` tells which streams are not archived, and why."""
        self._log = entry_log
        self._source = source
        self._refused = refused

    async def find(self, stream: str) -> Fork:
        """Where ``stream`` and the log part.

        Raises:
            NotRefusedError: the stream is archived.
            TransientError: broker or database does not answer.
        """
        reason = self._refused().get(stream)
        if reason is None:
            raise NotRefusedError(
                describe(
                    f"{stream}, which is archived", "a stream that is refused", "nothing is to be decided"
                )
            )
        archived_last = (await self._log.positions([stream]))[stream]
        bounds = await self._source.bounds(stream)
        last = min(bounds.last, archived_last)
        agreed = await self._agreed(stream, max(bounds.first, 1), last)
        return Fork(stream, reason, self._own(stream, agreed), self._own(stream, bounds.last), archived_last)

    def _own(self, stream: str, sequence: int) -> int:
        """The stream's own number; one that the archive alone has counts as the last before it."""
        while sequence > 0 and (own := self._source.in_stream(stream, sequence)) is None:
            sequence -= 1
        return own if sequence > 0 and own is not None else 0

    async def _agreed(self, stream: str, first: int, last: int) -> int:
        """The last sequence up to which every message of the stream is archived with its body."""
        agreed = first - 1
        while first <= last:
            until = min(last, first + CHUNK - 1)
            archived = await self._log.data_hashes(stream, first, until)
            messages = await self._source.fetch(stream, first, until)
            for message in messages:
                if archived.get(message.sequence) != sha256(message.data).digest():
                    return agreed
                agreed = message.sequence
            first = messages[-1].sequence + 1 if messages else until + 1
        return agreed
