"""Feedback from a file of JSON lines: exported archive entries, or bare events in the order of the stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import msgspec

from deploy.local.errors import LocalError
from shared.events import InvalidEventError, spec_for_type
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import describe
from shared.messaging.streams import FEEDBACK, MAX_MESSAGE_BYTES

BATCH: Final = 2_000
MAX_LINE_BYTES: Final = 2 * MAX_MESSAGE_BYTES
"""A message and what the archive says about it; a longer line is neither, and is not read to its end."""
_ABSENT: Final = msgspec.Raw(b"")


class BrokenLineError(LocalError):
    """A line of the file is not what it should be."""


@dataclass(frozen=True, slots=True)
class PastMessage:
    """One message as it once was in its stream."""

    subject: str
    data: bytes
    sequence: int


class _Line(msgspec.Struct, gc=False):
    """Either an entry of the archive (``stream`` … ``event``) or an envelope (``specversion``, ``type``)."""

    stream: str | None = None
    sequence: int | None = None
    subject: str | None = None
    event: msgspec.Raw = _ABSENT
    specversion: str | None = None
    type: str | None = None
    data: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Line).decode


def read_feedback_lines(lines: BinaryIO, name: str, stream: str = FEEDBACK) -> Iterator[list[PastMessage]]:
    """Read a stream's messages in batches, in constant memory; entries of other streams are passed over.

    Args:
        lines: one JSON object a line: an item of the archive's ``GET /v1/events``, or a CloudEvents envelope.
            Blank lines are passed over.
        name: what to call the file in errors.
        stream: name of the stream.

    Yields:
        At most :data:`BATCH` messages at a time, with rising sequences: those in the file, else the numbers
        of the lines.

    Raises:
        BrokenLineError: a line is neither, is longer than two messages, or its sequence does not rise.
    """
    batch: list[PastMessage] = []
    number = last = 0
    while line := lines.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            expected = f"a line of at most {MAX_LINE_BYTES} bytes"
            raise _broken(name, number, _shown(line), expected, "put one event on a line")
        if not line.strip():
            continue
        message = _message(line, name, number, stream)
        if message is None:
            continue
        if message.sequence <= last:
            raise _broken(
                name, number, f"sequence {message.sequence}", f"one above {last}",
                "export in ascending order, each entry once; never mix lines with and without sequences",
            )  # fmt: skip
        last = message.sequence
        batch.append(message)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _message(line: bytes, name: str, number: int, stream: str) -> PastMessage | None:
    try:
        found = _decode(line)
    except UNREADABLE as error:
        raise _broken(
            name, number, _shown(line), f"one JSON object in UTF-8 on a line ({error})",
            "correct or remove the line, or export again",
        ) from error  # fmt: skip
    if found.specversion is not None and found.type is not None and bytes(found.data):
        return _envelope(line, found.type, name, number, stream)
    event = bytes(found.event)
    if found.stream is not None and found.sequence is not None and found.subject is not None and event:
        if found.stream != stream:
            return None
        # The event of an unparseable message is null: scoring left it out, but its sequence counts as seen.
        return PastMessage(found.subject, event, found.sequence)
    raise _broken(
        name, number, _shown(line),
        "an archive entry (stream, sequence, subject, event) or an envelope (specversion, type, data)",
        "export with `pingyi audit export`",
    )  # fmt: skip


def _envelope(line: bytes, event_type: str, name: str, number: int, stream: str) -> PastMessage | None:
    try:
        spec = spec_for_type(event_type)
    except InvalidEventError as error:
        raise _broken(
            name, number, event_type, "a CloudEvents type of docs/events.md", "correct or remove the line"
        ) from error
    return None if spec.stream != stream else PastMessage(spec.subject_for(), line.strip(), number)


def _broken(name: str, number: int, value: object, expected: str, remedy: str) -> BrokenLineError:
    return BrokenLineError(f"{name}, line {number}: {describe(value, expected, remedy)}")


def _shown(line: bytes) -> str:
    return line.strip()[:60].decode("utf-8", "replace")
