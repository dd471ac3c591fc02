"""Where a recomputation reads feedback from: the stream, the archive, or a file."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deploy.local.broker import cli_connection
from deploy.local.errors import LocalError
from deploy.local.feedback import stream_batches
from deploy.local.history.archive import archived_ends, read_archived_feedback
from deploy.local.history.moments import Moment
from deploy.local.history.ndjson import read_feedback_lines
from deploy.local.layout import Layout
from services.scoring.adapters.archive_api import HttpFeedbackArchive
from services.scoring.application.fold import Message
from services.scoring.application.older import OlderMessages
from services.scoring.application.replay import Replay
from services.scoring.application.snapshots import anchor_of
from shared.kernel.errors import PingyiError, describe
from shared.messaging.streams import CASES, FEEDBACK

STREAM: Final = "stream"
ARCHIVE: Final = "archive"
STDIN: Final = "-"

_REMEDIES: Final = {
    STREAM: "name the platform that published it, or read --from archive",
    ARCHIVE: "wait until the archive has caught up (`pingyi status`), then repeat",
}


class SourceEndsError(LocalError):
    """The source has not all of the feedback that a ranking was computed from."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read from: ``stream``, ``archive``, or the name of a file (``-``: standard input)."""

    name: str

    @property
    def is_file(self) -> bool:
        """Whether it needs no platform."""
        return self.name not in {STREAM, ARCHIVE}

    @property
    def is_standard_input(self) -> bool:
        """Whether it can be read only once."""
        return self.name == STDIN

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return self.name if self.is_file else f"the {self.name}"


def batches(
    source: Source, layout: Layout | None, stream: str = FEEDBACK
) -> AsyncGenerator[Sequence[Message], None]:
    """A stream's messages in order; ``layout`` says where the platform is, and is not needed for a file.

    A file may hold several streams, one behind the other; standard input, which can be read only once, has
    FEEDBACK alone.

    Raises:
        LocalError: the source can't be read, or holds something else.
    """
    if source.is_file:
        return _threaded(_read_file(source.name, stream))
    if layout is None:
        raise LocalError(describe(source.name, "a platform to read it from", "name one with --data"))
    if source.name == ARCHIVE:
        return _threaded(read_archived_feedback(layout.service_url("archive"), stream))
    return _read_stream(layout, stream)


async def _read_stream(layout: Layout, stream: str) -> AsyncGenerator[Sequence[Message], None]:
    archive = HttpFeedbackArchive(layout.service_url(ARCHIVE), stream)
    try:
        async with (
            cli_connection(layout) as client,
            contextlib.aclosing(stream_batches(client, stream)) as found,
            contextlib.aclosing(filled(found, OlderMessages(archive, stream), stream)) as whole,
        ):
            async for batch in whole:
                yield batch
    finally:
        await archive.close()


async def filled(
    streamed: AsyncIterator[Sequence[Message]], older: OlderMessages, stream: str = FEEDBACK
) -> AsyncGenerator[Sequence[Message], None]:
    """The stream's messages from the first that it ever had: what it has dropped comes from the archive.

    Raises:
        LocalError: the archive does not answer, lacks some of it, or has another past.
    """
    position, anchor = 0, ""
    async for batch in streamed:
        following = batch[0]
        while position + 1 < following.sequence:
            try:
                if not anchor:
                    await older.check_seam(following.sequence, anchor_of(following))
                part = await older.read(position, anchor, following.sequence - 1)
            except PingyiError as error:
                gap = f"{stream} without messages {position + 1} to {following.sequence - 1}"
                expected = f"them in the archive ({error})"
                remedy = "start or mend the archive, or read a whole export --from FILE"
                raise LocalError(describe(gap, expected, remedy)) from error
            yield part
            position, anchor = part[-1].sequence, anchor_of(part[-1])
        yield batch
        position, anchor = batch[-1].sequence, anchor_of(batch[-1])


def _open(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        remedy = "write stream, archive, or the name of a file of JSON lines after --from"
        raise LocalError(describe(name, f"a readable file ({error.strerror})", remedy)) from error


def _read_file(name: str, stream: str) -> Iterator[Sequence[Message]]:
    if name == STDIN:
        if stream == FEEDBACK:
            yield from read_feedback_lines(sys.stdin.buffer, "standard input")
        return
    with _open(name) as file:
        yield from read_feedback_lines(file, name, stream)


async def _threaded(parts: Iterator[Sequence[Message]]) -> AsyncGenerator[Sequence[Message], None]:
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part


async def require_reached(moment: Moment, source: Source, layout: Layout) -> None:
    """Return unless a position is one that a stream has not come to; of the archive, where that is read.

    Raises:
        LocalError: it is, or the platform does not answer.
    """
    if moment.position is None:
        return
    if source.name == ARCHIVE:
        ends = await asyncio.to_thread(archived_ends, layout.service_url(ARCHIVE))
    else:
        async with cli_connection(layout) as client:
            jetstream = client.jetstream(timeout=5)
            ends = {each: (await jetstream.stream_info(each)).state.last_seq for each in (FEEDBACK, CASES)}
    for stream in (FEEDBACK, CASES):
        where = "the archive" if source.name == ARCHIVE else "the stream"
        moment.require_reached(stream, ends.get(stream, 0), where)


async def fold_into(
    replays: Sequence[Replay], source: Source, layout: Layout | None, *, to_end: bool = False
) -> None:
    """Hand the source's messages to every replay, until nothing more can matter, or to the end.

    Raises:
        SourceEndsError: it ends before the last stop.
        LocalError: it can't be read, or holds something else.
    """
    if source.is_file and not source.is_standard_input:
        _open(source.name).close()  # where nothing has to be read, a wrong name is wrong all the same
    cases = await _take_cases(replays, source, layout)
    todo = [replay for replay in replays if to_end or not replay.done]
    async with contextlib.aclosing(batches(source, layout)) as parts:
        while todo and (batch := await anext(parts, None)) is not None:
            for replay in todo:
                # In a thread, so that the connection goes on answering meanwhile.
                await asyncio.to_thread(replay.take, batch)
            todo = [replay for replay in todo if to_end or not replay.done]
    short = [replay for replay in todo if not replay.done]
    if short:
        raise SourceEndsError(
            describe(
                f"{source.title}, which ends at sequence {short[0].position}",
                f"feedback up to sequence {max(replay.end for replay in short)}",
                _REMEDIES.get(source.name, "export all of FEEDBACK again, to that sequence at least"),
            )
        )
    end = max((replay.cases_end for replay in replays), default=0)
    if cases < end:
        again = "export again with `pingyi audit export`, into a file"
        remedy = _REMEDIES.get(source.name, again)
        found = f"{source.title}, which has {CASES} up to sequence {cases}"
        raise SourceEndsError(describe(found, f"cases up to sequence {end}", remedy))


async def _take_cases(replays: Sequence[Replay], source: Source, layout: Layout | None) -> int:
    """Hand the messages of CASES to those replays that need them; how far they go. None is read in vain."""
    todo = [replay for replay in replays if replay.cases_end]
    if not todo:
        return 0
    end = max(replay.cases_end for replay in todo)
    position = 0
    async with contextlib.aclosing(batches(source, layout, CASES)) as parts:
        while position < end and (batch := await anext(parts, None)) is not None:
            for replay in todo:
                await asyncio.to_thread(replay.take_cases, batch)
            position = batch[-1].sequence
    return position
