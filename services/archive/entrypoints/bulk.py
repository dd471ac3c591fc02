"""What an export of the log consists of, and what witnesses send: the routes beside those of the tree."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from services.archive.application.cosigning import Cosigning
from services.archive.application.proofs import Proofs
from services.archive.application.reading import Reads
from services.archive.domain import reads as told
from services.archive.domain.entries import Stored
from services.archive.domain.leaves import leaf_bytes
from services.archive.entrypoints.http import PROBLEMS
from services.archive.entrypoints.log import LARGEST, MISSING, InclusionAnswer, TreeSize, inclusion_answer
from services.archive.entrypoints.readers import reader_of
from shared.auth.access import PUBLIC, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.kernel.errors import InvalidValueError

MOST_ENTRIES: Final = 10_000
NDJSON: Final = "application/x-ndjson"

_encode = msgspec.json.Encoder().encode


class CosignatureRequest(BaseModel):
    """A witness's signature of a checkpoint."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[int, Field(ge=1, le=LARGEST, description="Size of the checkpoint.")]
    line: Annotated[
        str, Field(max_length=1024, description="The signature line, '— <witness> <base64>', cosignature/v1.")
    ]


def make_bulk_router(reads: Reads, proofs: Proofs, cosigning: Cosigning) -> APIRouter:
    """The routes on ``reads``, ``proofs`` and ``cosigning``."""
    router = APIRouter(prefix="/v1/log", tags=["log"], responses={**PROBLEMS, **MISSING})

    @router.get("/entries", response_class=StreamingResponse)
    async def read_entries(
        first: Annotated[int, Query(ge=0, le=LARGEST, description="Index of the first entry.")],
        end: Annotated[
            int,
            Query(ge=0, le=LARGEST, description=f"Index behind the last one, at most {MOST_ENTRIES} more."),
        ],
        who: Annotated[Principal, requires(Permission.LOG_EXPORT)],
    ) -> StreamingResponse:
        """Return entries under the last checkpoint as JSON lines: index, canonical leaf, envelope in base64.

        As they are stored: what somebody deleted is not among them, and what can't be read as an entry is a
        line with the ``problem`` instead. `verify_export.py` checks them. This read is archived itself.
        """
        signed = (await proofs.newest()).size
        if not first < end <= min(signed, first + MOST_ENTRIES):
            raise InvalidValueError(
                f"{first} to {end}",
                f"at most {MOST_ENTRIES} entries below {signed}, which the last checkpoint covers",
                "ask for a part of them",
                field="end",
            )
        words = {"first": str(first), "end": str(end)}
        parts = await reads.signed_entries(
            told.Request(reader_of(who), "export", "ndjson", words), first, end, signed
        )
        head = await anext(parts, ())  # the store's refusal is still an answer, not a torn stream
        return StreamingResponse(_lines(head, parts), media_type=NDJSON)

    @router.get("/entries/{index}/inclusion")
    async def prove_entry(
        index: Annotated[int, Path(ge=0, le=LARGEST, description="Index of the entry.")],
        who: Annotated[Principal, requires(Permission.LOG_EXPORT)],
        size: TreeSize = None,
    ) -> InclusionAnswer:
        """Prove that the entry of an index, whatever it is, is in the tree of a checkpoint.

        This read is archived itself: from leaf to leaf, it is the whole log. By the id of an event
        `/v1/log/inclusion` proves the same to everybody.
        """
        found = await proofs.inclusion(index, size)
        asked = told.Request(reader_of(who), "event", "json", {"index": str(index)})
        await reads.leaf(asked, found.size)
        return inclusion_answer(found)

    # A witness proves itself by its signature, under a key that the archive's operator has entered.
    @router.post("/cosignatures", response_class=PlainTextResponse, dependencies=[PUBLIC])
    async def add_cosignature(request: CosignatureRequest) -> PlainTextResponse:
        """Take a known witness's signature, and return the checkpoint with the lines of all its witnesses."""
        await cosigning.add(request.size, request.line)
        return PlainTextResponse(await proofs.checkpoint(request.size))

    return router


async def _lines(head: Sequence[Stored], parts: AsyncIterator[Sequence[Stored]]) -> AsyncIterator[bytes]:
    yield b"".join(map(_line, head))
    async for part in parts:
        yield b"".join(map(_line, part))


def _line(stored: Stored) -> bytes:
    entry = stored.entry
    if entry is None:
        return _encode({"index": stored.index, "problem": stored.problem}) + b"\n"
    line: dict[str, object] = {"index": entry.index, "leaf": leaf_bytes(entry.leaf).decode()}
    if entry.envelope is not None:
        line["envelope"] = b64encode(entry.envelope).decode()
    return _encode(line) + b"\n"
