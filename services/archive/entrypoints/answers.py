"""What the HTTP API answers: models for the documentation, and fast encoders of the same shape.

Pages are encoded with the archived bytes of each envelope as they are: nothing is parsed and written again.
"""

from typing import Annotated, Any

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field

from services.archive.application.forks import Fork
from services.archive.application.handlers import LogState
from services.archive.application.reading import Page
from services.archive.application.verifying import Report
from services.archive.domain.entries import Entry

_encode = msgspec.json.Encoder().encode


class EntryAnswer(BaseModel):
    """One entry of the log."""

    index: Annotated[int, Field(description="Index in the log, contiguous from 0.")]
    stream: Annotated[str, Field(description="Stream that it came from.")]
    sequence: Annotated[int, Field(description="Its sequence there.")]
    subject: Annotated[str, Field(description="NATS subject that it was published on.")]
    kind: Annotated[str, Field(description="event, duplicate_of or unparseable.")]
    duplicate_of: Annotated[
        int | None, Field(description="Index of the entry with the same event id, for that kind.")
    ] = None
    event: Annotated[
        dict[str, Any] | None, Field(description="The CloudEvents envelope; null for an unparseable message.")
    ]
    data_hash: Annotated[str, Field(description="SHA-256 of the message's bytes, hex.")]
    leaf_hash: Annotated[str, Field(description="SHA-256 of 0x00 and the canonical leaf, hex.")]


class PageAnswer(BaseModel):
    """A page; send ``next`` as ``cursor`` to go on."""

    items: list[EntryAnswer]
    size: Annotated[
        int,
        Field(
            description="Entries in the log that all pages are of; send it as `since` to get what came later."
        ),
    ]
    next: Annotated[str | None, Field(description="Cursor of the next page; null at the end.")]


class EventAnswer(EntryAnswer):
    """An event with the duplicates that came after it."""

    duplicates: list[EntryAnswer]


class StateAnswer(BaseModel):
    """The end of the log and of each stream in it."""

    index: Annotated[int, Field(description="Index of the last entry; -1 in an empty log.")]

    entries: Annotated[int, Field(description="Number of entries.")]
    streams: Annotated[dict[str, int], Field(description="Last archived sequence of each stream.")]


class BoundsAnswer(BaseModel):
    """First and last sequence that the broker holds."""

    first: int
    last: int


class StreamAnswer(BaseModel):
    """One stream in the log and in the broker."""

    entries: int
    first: Annotated[int, Field(description="Lowest archived sequence; 0 if there is none.")]
    last: Annotated[int, Field(description="Highest archived sequence.")]
    missing: Annotated[int, Field(description="Sequences missing in between.")]
    in_broker: Annotated[BoundsAnswer | None, Field(description="null if the broker did not answer.")]
    compared: Annotated[int, Field(description="Messages whose bytes were compared with the log.")]


class BooksAnswer(BaseModel):
    """Counts for the balance of the books."""

    archived: Annotated[int, Field(description="Distinct submitted ratings, without probes and drills.")]
    synthetic: Annotated[int, Field(description="Submitted ratings that are probes or drills.")]
    events: Annotated[int, Field(description="Entries of kind event, of all types.")]
    duplicates: Annotated[int, Field(description="Entries of kind duplicate_of.")]
    unparseable: Annotated[int, Field(description="Entries of kind unparseable.")]


class FindingAnswer(BaseModel):
    """One thing that is not as it should be."""

    where: str
    what: str
    expected: str


class VerifyAnswer(BaseModel):
    """Outcome of a verification."""

    ok: Annotated[bool, Field(description="True iff there is no finding.")]
    entries: int
    checkpoints: Annotated[int, Field(description="Signed heads that were compared with the entries.")]
    streams: dict[str, StreamAnswer]
    books: BooksAnswer
    findings: Annotated[list[FindingAnswer], Field(description="The first 100.")]
    findings_total: int
    seconds: float


def _entry(entry: Entry) -> dict[str, object]:
    leaf = entry.leaf
    answer: dict[str, object] = {
        "index": entry.index,
        "stream": leaf.stream,
        "sequence": leaf.sequence,
        "subject": leaf.subject,
        "kind": leaf.kind.value,
        "event": None if entry.envelope is None else msgspec.Raw(entry.envelope),
        "data_hash": leaf.data_hash.hex(),
        "leaf_hash": entry.leaf_hash.hex(),
    }
    if leaf.duplicate_of is not None:
        answer["duplicate_of"] = leaf.duplicate_of
    return answer


def _json(body: object) -> Response:
    return Response(_encode(body), media_type="application/json")


def page_response(page: Page, cursor: str | None) -> Response:
    """A :class:`PageAnswer`."""
    items = [_entry(entry) for entry in page.entries]
    return _json({"items": items, "size": page.snapshot.size, "next": cursor})


def encode_item(entry: Entry) -> bytes:
    """An :class:`EntryAnswer` as JSON."""
    return _encode(_entry(entry))


def event_response(entries: list[Entry]) -> Response:
    """An :class:`EventAnswer` of an event and its duplicates."""
    return _json(_entry(entries[0]) | {"duplicates": [_entry(entry) for entry in entries[1:]]})


def state_answer(state: LogState) -> StateAnswer:
    """See :class:`StateAnswer`."""
    return StateAnswer(
        index=state.size - 1,
        entries=state.size,
        streams=state.positions,
    )


def verify_answer(report: Report) -> VerifyAnswer:
    """See :class:`VerifyAnswer`."""
    books = report.books
    return VerifyAnswer(
        ok=report.ok,
        entries=report.entries,
        checkpoints=report.checkpoints,
        streams={
            name: StreamAnswer(
                entries=stream.entries,
                first=stream.first,
                last=stream.last,
                missing=stream.missing,
                in_broker=None
                if stream.in_broker is None
                else BoundsAnswer(first=stream.in_broker.first, last=stream.in_broker.last),
                compared=stream.compared,
            )
            for name, stream in report.streams.items()
        },
        books=BooksAnswer(
            archived=books.archived,
            synthetic=books.synthetic,
            events=books.events,
            duplicates=books.duplicates,
            unparseable=books.unparseable,
        ),
        findings=[
            FindingAnswer(where=one.where, what=one.what, expected=one.expected) for one in report.findings
        ],
        findings_total=report.findings_total,
        seconds=round(report.seconds, 3),
    )


class ForkAnswer(BaseModel):
    """Where a refused stream and the log part, and what accepting the stream's history would mean."""

    stream: Annotated[str, Field(description="Archived stream.")]
    reason: Annotated[str, Field(description="Why it is not archived.")]
    fork: Annotated[int, Field(description="Last sequence of the stream up to which both agree.")]
    stream_last: Annotated[int, Field(description="Last sequence of the stream.")]
    archived_last: Annotated[int, Field(description="Last archived sequence.")]
    offset: Annotated[int, Field(description="Added to the stream's sequences behind the fork, if accepted.")]


def fork_answer(fork: Fork) -> ForkAnswer:
    """See :class:`ForkAnswer`."""
    return ForkAnswer(
        stream=fork.stream,
        reason=fork.reason,
        fork=fork.fork,
        stream_last=fork.stream_last,
        archived_last=fork.archived_last,
        offset=fork.offset,
    )
