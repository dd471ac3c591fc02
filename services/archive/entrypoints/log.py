"""The HTTP API of the tree: checkpoints, tiles and proofs, for whoever trusts nobody here."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field

from services.archive.application.cosigning import Cosigning
from services.archive.application.proofs import Consistency, Inclusion, Proofs
from services.archive.domain.tiles import WIDTH
from services.archive.entrypoints.http import PROBLEMS
from shared.auth.access import PUBLIC
from shared.observability.problem import MEDIA_TYPE

MOST_CHECKPOINTS: Final = 1000
DEFAULT_CHECKPOINTS: Final = 100
MAX_LEVEL: Final = 7
LARGEST: Final = (1 << 63) - 1
MISSING: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "It does not exist yet; the answer says what does.", "content": {MEDIA_TYPE: {}}}
}
FOR_GOOD: Final = {"Cache-Control": "public, max-age=31536000, immutable"}

Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Query(ge=0, le=LARGEST)]
TreeSize = Annotated[
    int | None, Query(ge=1, le=LARGEST, description="Size of the tree; the last checkpoint's if left out.")
]


class CheckpointItem(BaseModel):
    """One signed head."""

    size: Annotated[int, Field(description="Entries that it covers.")]
    root: Annotated[Hex, Field(description="Root of the tree over them, hex.")]
    signed_at: Annotated[datetime, Field(description="When it was signed, by the archive's clock.")]
    note: Annotated[str, Field(description="The signed note, with the lines of witnesses.")]


class CheckpointsAnswer(BaseModel):
    """Checkpoints by size; send the last size as ``after`` to go on."""

    items: list[CheckpointItem]


class InclusionAnswer(BaseModel):
    """A leaf and its audit path (RFC 6962, 2.1.1)."""

    index: int
    leaf: Annotated[str, Field(description="The canonical leaf; its hash is SHA-256(0x00 || leaf).")]
    leaf_hash: Hex
    size: Annotated[int, Field(description="Number of leaves of the tree that the path leads to.")]
    root: Annotated[Hex, Field(description="Root of that tree.")]
    path: Annotated[list[Hex], Field(description="Sibling hashes from the leaf to the root.")]
    checkpoint: Annotated[
        str | None, Field(description="The signed note of that size; null if none was signed at it.")
    ]


class ConsistencyAnswer(BaseModel):
    """The proof that the second tree begins with the first (RFC 6962, 2.1.2)."""

    first: int
    first_root: Hex
    second: int
    second_root: Hex
    path: list[Hex]


def inclusion_answer(found: Inclusion) -> InclusionAnswer:
    """The answer that shows ``found``."""
    return InclusionAnswer(
        index=found.index,
        leaf=found.leaf,
        leaf_hash=found.leaf_hash.hex(),
        size=found.size,
        root=found.root.hex(),
        path=[each.hex() for each in found.path],
        checkpoint=found.note,
    )


def _consistency(found: Consistency) -> ConsistencyAnswer:
    return ConsistencyAnswer(
        first=found.first,
        first_root=found.first_root.hex(),
        second=found.second,
        second_root=found.second_root.hex(),
        path=[each.hex() for each in found.path],
    )


def make_log_router(proofs: Proofs, cosigning: Cosigning) -> APIRouter:
    """The routes on ``proofs``, and the keys of those in ``cosigning``."""
    router = APIRouter(
        prefix="/v1/log", tags=["log"], responses={**PROBLEMS, **MISSING}, dependencies=[PUBLIC]
    )

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint(
        size: Annotated[
            int | None, Query(ge=1, le=LARGEST, description="Size of a checkpoint; the last one if left out.")
        ] = None,
    ) -> PlainTextResponse:
        """Return a signed checkpoint (C2SP tlog-checkpoint) with the lines of its witnesses. Keep it."""
        return PlainTextResponse(await proofs.checkpoint(size))

    @router.get("/checkpoints")
    async def list_checkpoints(
        after: Annotated[Size, Query(description="Only larger ones than this.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_CHECKPOINTS)] = DEFAULT_CHECKPOINTS,
    ) -> CheckpointsAnswer:
        """List signed checkpoints, the smallest first."""
        heads = await proofs.checkpoints(after, limit)
        return CheckpointsAnswer(
            items=[
                CheckpointItem(size=each.size, root=each.root.hex(), signed_at=each.signed_at, note=each.note)
                for each in heads
            ]
        )

    @router.get("/tile/{level}/{index}", response_class=Response)
    async def read_tile(
        level: Annotated[int, Path(ge=0, le=MAX_LEVEL)], index: Annotated[int, Path(ge=0, le=LARGEST)]
    ) -> Response:
        """Return a full tile of the tree: 256 hashes of 32 bytes (C2SP tlog-tiles). It never changes."""
        return _tile(await proofs.tile(level, index))

    @router.get("/tile/{level}/{index}.p/{width}", response_class=Response)
    async def read_partial_tile(
        level: Annotated[int, Path(ge=0, le=MAX_LEVEL)],
        index: Annotated[int, Path(ge=0, le=LARGEST)],
        width: Annotated[int, Path(ge=1, lt=WIDTH)],
    ) -> Response:
        """Return the first hashes of a tile, as far as they are under the last checkpoint."""
        return _tile(await proofs.tile(level, index, width))

    @router.get("/inclusion")
    async def prove_inclusion(
        event_id: Annotated[str, Query(min_length=1, max_length=256, description="Id of the event.")],
        size: TreeSize = None,
    ) -> InclusionAnswer:
        """Prove that the entry of an event is in the tree of a checkpoint.

        Whoever knows the id has the event, or was told of it. Leaves by their number would be the whole log,
        one after the other: `/v1/log/entries/{index}/inclusion` asks who wants one.
        """
        return inclusion_answer(await proofs.inclusion(await proofs.index_of(event_id), size))

    @router.get("/consistency")
    async def prove_consistency(
        first: Annotated[Size, Query(description="Size of the older tree.")],
        second: Annotated[
            int | None,
            Query(ge=0, le=LARGEST, description="Size of the newer tree; the last checkpoint's if left out."),
        ] = None,
    ) -> ConsistencyAnswer:
        """Prove that the log only grew from one size to the other."""
        return _consistency(await proofs.consistency(first, second))

    @router.get("/keys", response_class=PlainTextResponse)
    async def read_keys() -> PlainTextResponse:
        """Return the verifier keys of the log, the present one first, and its witnesses'. Compare them."""
        return PlainTextResponse("".join(f"{key}\n" for key in (*proofs.keys, *cosigning.keys)))

    return router


def _tile(hashes: bytes) -> Response:
    return Response(hashes, media_type="application/octet-stream", headers=FOR_GOOD)
