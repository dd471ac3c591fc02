"""The archived streams in the archive's own numbering: what the broker says, after operators' decisions."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, Protocol

import msgspec
import structlog

from services.archive.application.ports import EntryLog, StreamBounds, StreamSource, StreamState
from services.archive.domain.epochs import Accepted, Numbering
from shared.events import Envelope, InvalidEventError, StreamHistoryAccepted, parse_envelope, spec_for_data
from shared.kernel.errors import TransientError, describe
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ARCHIVED

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
RETRY_S: Final = 0.5
MOST_DECISIONS: Final = 500
_SPEC: Final = spec_for_data(StreamHistoryAccepted)


class HistoriesUnreadError(TransientError):
    """It is not known yet how the streams are numbered; it is read from the log at the start."""


class Decisions(Protocol):
    """Role: the decisions that lie in the AUDIT stream, archived or not."""

    async def accepted(self) -> list[bytes]:
        """Bodies of the messages on the decisions' subject, oldest first.

        Raises:
            TransientError: the broker is away.
        """
        ...


class Archiving(Protocol):
    """Role: what goes on by the numbering; the sequencer."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Streams that are not archived, with the reason."""
        ...

    def renumbering(self, streams: Iterable[str]) -> AbstractAsyncContextManager[None]:
        """Change the numbering of ``streams`` inside; nothing goes on by the old one afterwards."""
        ...


class Histories:
    """Reads the decisions from log and stream, and gives each stream its numbering.

    From the log, because AUDIT expires; from the stream too, because a decision about AUDIT itself can't be
    archived before it is in force.
    """

    def __init__(self, entry_log: EntryLog, decisions: Decisions) -> None:
        """Read decisions from ``entry_log`` and ``decisions``."""
        self._log = entry_log
        self._decisions = decisions
        self._found: dict[str, StreamHistoryAccepted] = {}
        self._numberings: dict[str, Numbering] = {}
        self._loaded = asyncio.Event()

    async def run(self, archiving: Archiving, leads: Callable[[], bool]) -> None:
        """Read at the start, then whenever ``archiving`` refuses a stream, until cancelled.

        A replica that does not lead reads all the time: it must know the numbering when it takes over.
        """
        while not self._loaded.is_set():
            try:
                await self._take(await self._archived(), archiving)
            except TransientError as error:
                log.debug("histories_wait", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            await self._look_into_the_stream(archiving)
            self._loaded.set()
        while True:
            await asyncio.sleep(LOOK_S)
            if archiving.refused or not leads():
                await self._look_into_the_stream(archiving)

    async def _archived(self) -> list[bytes]:
        made = await self._log.of_type(_SPEC.event_type, MOST_DECISIONS)
        return [entry.envelope for entry in made if entry.envelope is not None]

    async def _look_into_the_stream(self, archiving: Archiving) -> None:
        try:
            await self._take(await self._decisions.accepted(), archiving)
        except TransientError as error:
            # Only a stream that is refused can need what is not archived yet; then it is asked for again.
            log.warning("decisions_not_read", reason=str(error))

    async def _take(self, bodies: Sequence[bytes], archiving: Archiving) -> None:
        before = len(self._found)
        for body in bodies:
            try:
                event = parse_envelope(Envelope[StreamHistoryAccepted], body)
            except InvalidEventError as error:
                log.error("decision_ignored", reason=str(error))  # noqa: TRY400 - the reason is the message
                continue
            if event.data.stream in ARCHIVED and event.id not in self._found:
                self._found[event.id] = event.data
                log.info(
                    "history_accepted", stream=event.data.stream, fork=event.data.fork, event_id=event.id
                )
        if len(self._found) == before:
            return
        streams = {data.stream for data in self._found.values()}
        if not self._loaded.is_set():
            self._number(streams)
            return
        async with archiving.renumbering(streams):
            self._number(streams)

    def _number(self, streams: Iterable[str]) -> None:
        for stream in streams:
            made = sorted(
                (data for data in self._found.values() if data.stream == stream),
                key=lambda data: data.archived_last,
            )
            self._numberings[stream] = Numbering.after(Accepted(data.fork, data.offset) for data in made)

    async def loaded(self) -> None:
        """Return as soon as the numberings are known; nothing may be archived before."""
        await self._loaded.wait()

    def numbering(self, stream: str) -> Numbering:
        """How ``stream`` is numbered.

        Raises:
            HistoriesUnreadError: that is not known yet.
        """
        if not self._loaded.is_set():
            raise HistoriesUnreadError(
                describe(
                    "no answer of the database yet", "the accepted histories", "it is tried again by itself"
                )
            )
        return self._numberings.get(stream, _PLAIN)


_PLAIN: Final = Numbering()


class NumberedSource:
    """The :class:`~services.archive.application.ports.StreamSource` behind it, in the archive's numbering."""

    def __init__(self, source: StreamSource, histories: Histories) -> None:
        """Translate what ``source`` says by ``histories``."""
        self._source = source
        self._histories = histories

    async def take(self, stream: str, most: int, wait_s: float) -> list[StoredMessage]:
        """See :meth:`StreamSource.take`."""
        self._histories.numbering(stream)  # raises while it is not known
        messages = await self._source.take(stream, most, wait_s)
        numbering = self._histories.numbering(stream)  # it may have changed meanwhile
        return messages if numbering.plain else [_numbered(each, numbering) for each in messages]

    def interruptions(self, stream: str) -> int:
        """See :meth:`StreamSource.interruptions`."""
        return self._source.interruptions(stream)

    async def acknowledge(self, message: StoredMessage) -> None:
        """See :meth:`StreamSource.acknowledge`; the answer's address has no numbering."""
        await self._source.acknowledge(message)

    async def bounds(self, stream: str) -> StreamBounds:
        """See :meth:`StreamSource.bounds`."""
        numbering = self._histories.numbering(stream)
        found = await self._source.bounds(stream)
        return StreamBounds(numbering.archived_as(found.first), _end(numbering, found.last))

    async def state(self, stream: str) -> StreamState:
        """See :meth:`StreamSource.state`."""
        numbering = self._histories.numbering(stream)
        found = await self._source.state(stream)
        return replace(
            found,
            first=numbering.archived_as(found.first),
            last=_end(numbering, found.last),
            deleted=tuple(numbering.archived_as(sequence) for sequence in found.deleted),
        )

    async def fetch(self, stream: str, first: int, last: int) -> list[StoredMessage]:
        """See :meth:`StreamSource.fetch`; what is in the archive only is not in the stream."""
        numbering = self._histories.numbering(stream)
        for part in numbering.parts(first, last):
            found = await self._source.fetch(stream, part.first - part.offset, part.last - part.offset)
            if found:
                return found if numbering.plain else [_numbered(each, numbering) for each in found]
        return []

    def in_stream(self, stream: str, sequence: int) -> int | None:
        """See :meth:`StreamSource.in_stream`."""
        return self._histories.numbering(stream).in_stream(sequence)


def _numbered(message: StoredMessage, numbering: Numbering) -> StoredMessage:
    return msgspec.structs.replace(message, sequence=numbering.archived_as(message.sequence))


def _end(numbering: Numbering, last: int) -> int:
    """One before the number of the message to come: one that ends at its fork continues the archive."""
    return numbering.archived_as(last + 1) - 1
