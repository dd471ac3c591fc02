"""Streams as they were: every archived message of one stream by its sequence, for whoever folds it anew.

A stream on the broker forgets its oldest messages; the log does not. A service whose state is a fold of the
stream reads here what the broker no longer has (ADR 0024). Sequences are the broker's, data its exact bytes:
also behind a fork that an operator accepted, where the log counts higher (ADR 0022).
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from services.archive.application.forks import Forks
from services.archive.application.reading import Numbered, Reads
from services.archive.domain import reads as told
from services.archive.entrypoints import answers
from services.archive.entrypoints.readers import reader_of
from shared.auth.access import requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.kernel.errors import NotFoundError
from shared.messaging.streams import ARCHIVED
from shared.observability.problem import MEDIA_TYPE

MEDIA: Final = "application/x-ndjson"
MAX_LIMIT: Final = 1000

_encode = msgspec.json.Encoder().encode


class MessageLine(BaseModel):
    """One line of the answer: one message as the stream had it."""

    sequence: Annotated[int, Field(description="Its sequence in the stream.")]
    subject: Annotated[str, Field(description="NATS subject that it was published on.")]
    kind: Annotated[str, Field(description="event, duplicate_of or unparseable, see /v1/events.")]
    data: Annotated[
        str | None,
        Field(description="The message's exact bytes in base64; null if unparseable: they were not kept."),
    ]
    data_hash: Annotated[str, Field(description="SHA-256 of the message's bytes, hex.")]


def make_streams_router(reads: Reads, forks: Forks) -> APIRouter:
    """The routes on ``reads`` and ``forks``."""
    problem = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    router = APIRouter(
        prefix="/v1/streams",
        tags=["events"],
        responses={
            404: {"description": "No such stream is archived.", **problem},
            422: {"description": "A parameter is not valid; the answer names it.", **problem},
            503: {"description": "MongoDB is away, or the broker that keeps word of reads.", **problem},
        },
    )

    @router.get(
        "/{stream}/messages",
        response_class=Response,
        responses={
            200: {
                "description": "One JSON object on each line.",
                "content": {MEDIA: {"schema": MessageLine.model_json_schema()}},
            }
        },
    )
    async def read_messages(
        stream: Annotated[str, Path(max_length=256, description="Archived stream, such as FEEDBACK.")],
        who: Annotated[Principal, requires(Permission.RECORDS_REPLAY)],
        after: Annotated[
            int, Query(ge=0, lt=1 << 63, description="Last sequence that is known already; 0: none.")
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most lines of the answer.")] = MAX_LIMIT,
    ) -> Response:
        """Return the next archived messages of a stream behind a sequence, by rising sequence.

        Send the last line's ``sequence`` as ``after`` to go on. An answer may be shorter than ``limit``;
        an empty one says that nothing behind ``after`` is archived yet. A sequence is missing only where the
        archive lost it (``/v1/verify`` names such holes), or before the first that it ever saw. Such reads
        are archived themselves.
        """
        _require_archived(stream)
        words = {"stream": stream, "after": str(after)}
        asked = told.Request(reader_of(who), "page", "ndjson", words)
        entries = await reads.messages(asked, stream, after, limit)
        return Response(b"".join(_lines(entries)), media_type=MEDIA)

    @router.get(
        "/{stream}/fork",
        dependencies=[requires(Permission.LOG_VERIFY)],
        responses={409: {"description": "The stream is archived: there is nothing to decide.", **problem}},
    )
    async def find_fork(stream: Annotated[str, Path(description="Archived stream.")]) -> answers.ForkAnswer:
        """Tell up to where a refused stream and the log agree, and what accepting it would mean.

        Reads both up to there. `pingyi audit accept` shows it and makes the decision.
        """
        _require_archived(stream)
        return answers.fork_answer(await forks.find(stream))

    return router


def _require_archived(stream: str) -> None:
    if stream not in ARCHIVED:
        raise NotFoundError(stream, f"one of {', '.join(ARCHIVED)}", "name an archived stream")


def _lines(entries: Iterable[Numbered]) -> Iterator[bytes]:
    for sequence, entry in entries:
        leaf = entry.leaf
        yield _encode(
            {
                "sequence": sequence,
                "subject": leaf.subject,
                "kind": leaf.kind.value,
                "data": entry.envelope,
                "data_hash": leaf.data_hash.hex(),
            }
        )
        yield b"\n"
