"""Snapshots in JetStream's object store, behind a fenced pointer (ADR 0014).

The blob goes first, in the object store's own format, so that `nats object get` reads it too. Then one key of
a key-value bucket names the snapshots that count; it states the sequence that it replaces, so that a writer
that was overtaken is refused. A crash in between leaves a blob that nothing names: a later save deletes it.

Not nats-py's object store: it reads with a consumer (which our user may not make) and joins the chunks one by
one; 150 MB took it 46 s, and this module 0.2 s.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, Self
from uuid import uuid4

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError
from pydantic import TypeAdapter, ValidationError

from services.scoring.application.ports import SnapshotDamagedError, StoreConflictError
from services.scoring.application.snapshots import message_hash, with_blob
from services.scoring.domain.snapshots import Snapshot, StreamState
from shared.kernel.clock import rfc3339
from shared.kernel.errors import TransientError, describe
from shared.messaging.direct import direct_reads
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.streams import SNAPSHOTS_BUCKET

log = structlog.get_logger(__name__)

OBJECTS: Final = f"OBJ_{SNAPSHOTS_BUCKET}"
CHUNKS: Final = f"$O.{SNAPSHOTS_BUCKET}.C."
METAS: Final = f"$O.{SNAPSHOTS_BUCKET}.M."
POINTERS: Final = f"KV_{SNAPSHOTS_BUCKET}"
OWNER: Final = "scoring"
POINTER: Final = f"$KV.{SNAPSHOTS_BUCKET}.{OWNER}"
KEPT: Final = 3
CHUNK_BYTES: Final = 512 * 1024
WINDOW: Final = 16
"""Chunks on their way at once, both ways: 8 MiB."""
TIMEOUT_S: Final = 10.0
_SNAPSHOT: Final = TypeAdapter(Snapshot)


class SnapshotStoreUnavailableError(TransientError):
    """The object store did not answer, or has no room."""


def _unavailable(what: str, error: BaseException | str) -> SnapshotStoreUnavailableError:
    return SnapshotStoreUnavailableError(
        describe(what, f"an answer from {OBJECTS} and {POINTERS}", f"it is tried again: {error!r}")
    )


class JetStreamSnapshotStore:
    """See `SnapshotStore`. Remembers the pointer's sequence, which the next save states."""

    def __init__(self, client: Client) -> None:
        """Use the buckets through ``client``; they must have been provisioned."""
        self._client = client
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)
        self._sequence = 0
        self._counting: tuple[Snapshot, ...] = ()

    async def catalogue(self) -> Sequence[Snapshot]:
        """See :meth:`SnapshotStore.catalogue`.

        Raises:
            SnapshotStoreUnavailableError: the broker is away, or the bucket was not provisioned.
        """
        try:
            found = await self._jetstream.get_last_msg(POINTERS, POINTER, direct=True)
        except NotFoundError:
            self._sequence, self._counting = 0, ()
            return ()
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable("the pointer", error) from error
        self._sequence, self._counting = int(found.seq or 0), parse_pointer(found.data or b"")
        return self._counting

    async def read(self, snapshot: Snapshot) -> bytes:
        """See :meth:`SnapshotStore.read`.

        Raises:
            SnapshotDamagedError: bytes are missing or others.
            SnapshotStoreUnavailableError: the broker is away.
        """
        blob, digest = io.BytesIO(), hashlib.sha256()
        try:
            async with contextlib.aclosing(self._chunks(snapshot.blob)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    blob.write(chunk)
                    if blob.tell() > snapshot.size:
                        break
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(f"blob {snapshot.blob}", error) from error
        if blob.tell() != snapshot.size:
            raise SnapshotDamagedError(
                describe(
                    f"blob {snapshot.blob} of {blob.tell()} bytes",
                    f"{snapshot.size} bytes",
                    "an older snapshot or the stream is used",
                )
            )
        if digest.hexdigest() != snapshot.sha256:
            raise SnapshotDamagedError(
                describe(
                    f"blob {snapshot.blob} of SHA-256 {digest.hexdigest()[:16]}…",
                    f"{snapshot.sha256[:16]}…",
                    "an older snapshot or the stream is used",
                )
            )
        return blob.getvalue()

    async def _chunks(self, blob: str) -> AsyncGenerator[bytes, None]:
        """The chunks as they are stored, by batched direct reads: no consumer, no copy of the whole."""
        start = 1
        async with direct_reads(self._client) as reads:
            while part := await reads.batch(
                OBJECTS, start, WINDOW, subjects=CHUNKS + blob, timeout_s=TIMEOUT_S
            ):
                start = part[-1].sequence + 1
                while part:  # who has a chunk need not keep the others of its window
                    yield part.pop(0).data

    async def save(self, snapshot: Snapshot, blob: bytes) -> Snapshot:
        """See :meth:`SnapshotStore.save`.

        Raises:
            StoreConflictError: somebody else saved since the catalogue was read.
            SnapshotStoreUnavailableError: no answer, or no room; it may count.
        """
        if not self._client.is_connected:
            # A pointer would be sent after the reconnect, when nobody waits for it any more.
            raise _unavailable("a snapshot", "there is no connection")
        # The sequence in the name says which pointers can still come to name it: see _clean_up.
        stored = with_blob(snapshot, f"{OWNER}-{self._sequence}-{uuid4().hex}")
        try:
            await self._upload(stored, blob)
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            await self._delete(stored.blob)
            raise _unavailable(f"blob {stored.blob} of {stored.size} bytes", error) from error
        except TransientError:
            await self._delete(stored.blob)
            raise
        await self._point(stored)
        await self._clean_up()
        return stored

    async def _upload(self, snapshot: Snapshot, blob: bytes) -> None:
        starts = range(0, len(blob), CHUNK_BYTES)
        async with _Upload(self._client, CHUNKS + snapshot.blob) as upload:
            for start in starts:
                await upload.send(blob[start : start + CHUNK_BYTES])
            await upload.finish()
        meta = {
            "name": snapshot.blob,
            "bucket": SNAPSHOTS_BUCKET,
            "nuid": snapshot.blob,
            "size": snapshot.size,
            "mtime": rfc3339(snapshot.made_at),
            "chunks": len(starts),
            "digest": f"SHA-256={base64.urlsafe_b64encode(bytes.fromhex(snapshot.sha256)).decode()}",
            "options": {"max_chunk_size": CHUNK_BYTES},
        }
        await self._jetstream.publish(
            _meta_subject(snapshot.blob), json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"}
        )

    async def _point(self, newest: Snapshot) -> None:
        # Of a past that has been given up, nothing is kept: it would be refused at the next start.
        same_past = [
            each
            for each in self._counting
            if each.stream_created == newest.stream_created and each.position <= newest.position
        ]
        counting = (newest, *same_past)[:KEPT]
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._sequence)}
        try:
            answer = await self._jetstream.publish(POINTER, encode_pointer(counting), headers=headers)
        except APIError as error:
            await self._delete(newest.blob)
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise StoreConflictError(
                    describe(
                        "a pointer that somebody else moved",
                        f"it at sequence {self._sequence}",
                        "read the catalogue again",
                    )
                ) from error
            raise _unavailable("the pointer", error) from error
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable("the pointer", error) from error
        self._sequence, self._counting = answer.seq, counting

    async def _clean_up(self) -> None:
        """Delete every blob that nothing names and nothing can come to name.

        A blob under way carries the sequence that its pointer will replace. Once that pointer has been
        replaced by another, its writer is bound to be refused; before, the blob may still become the newest.
        """
        named = {each.blob for each in self._counting}
        try:
            info = await self._jetstream.stream_info(OBJECTS, subjects_filter=f"$O.{SNAPSHOTS_BUCKET}.>")
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            log.warning("snapshots_not_cleaned_up", reason=repr(error))
            return
        for blob in sorted({_blob_of(subject) for subject in info.state.subjects or {}} - named):
            owner, _, rest = blob.partition("-")
            replaces = rest.partition("-")[0]
            if owner == OWNER and replaces.isdecimal() and int(replaces) < self._sequence:
                await self._delete(blob)

    async def _delete(self, blob: str) -> None:
        """Delete a blob, description first, so that no tool shows it without its chunks."""
        try:
            for subject in (_meta_subject(blob), CHUNKS + blob):
                await self._jetstream.purge_stream(OBJECTS, subject=subject)
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            log.warning("snapshot_not_deleted", blob=blob, reason=repr(error), remedy="the next save does it")


class _Upload:
    """Publishes chunks in order, at most `WINDOW` unacknowledged, each acknowledged at the end."""

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._subject = subject
        self._inbox = client.new_inbox()
        self._room = asyncio.Semaphore(WINDOW)
        self._refused: str | None = None

    async def __aenter__(self) -> Self:
        self._answers = await self._client.subscribe(self._inbox, cb=self._on_answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(NatsError):
            await self._answers.unsubscribe()

    async def _on_answer(self, message: Msg) -> None:
        answer: dict[str, Any] = json.loads(message.data) if message.data else {"error": "no such stream"}
        if "error" in answer:
            self._refused = str(answer["error"])
        self._room.release()

    async def send(self, chunk: bytes) -> None:
        """Publish the next chunk as soon as there is room."""
        await self._acquire()
        await self._client.publish(self._subject, chunk, reply=self._inbox)

    async def finish(self) -> None:
        """Wait for the last acknowledgement."""
        for _ in range(WINDOW):
            await self._acquire()

    async def _acquire(self) -> None:
        await asyncio.wait_for(self._room.acquire(), TIMEOUT_S)
        if self._refused is not None:
            raise _unavailable(self._subject, self._refused)


class JetStreamHistory:
    """See `StreamHistory`."""

    def __init__(self, client: Client, stream: str) -> None:
        """Look at ``stream``."""
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)
        self._stream = stream

    async def look(self, position: int) -> StreamState:
        """See :meth:`StreamHistory.look`.

        Raises:
            SnapshotStoreUnavailableError: the broker is away.
        """
        try:
            info = await self._jetstream.stream_info(self._stream)
            found = await self._message_hash(position)
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(self._stream, error) from error
        return StreamState(str(info.created), info.state.first_seq, info.state.last_seq, found)

    async def _message_hash(self, position: int) -> str | None:
        if position == 0:
            return None
        try:
            message = await self._jetstream.get_msg(self._stream, position)
        except NotFoundError:
            return None
        return message_hash(message.subject or "", message.data or b"")


def encode_pointer(counting: Sequence[Snapshot]) -> bytes:
    """The pointer's value: the snapshots that count, newest first."""
    return json.dumps({"snapshots": [_SNAPSHOT.dump_python(each, mode="json") for each in counting]}).encode()


def parse_pointer(raw: bytes) -> tuple[Snapshot, ...]:
    """Read :func:`encode_pointer` back; what can't be read is left out and told."""
    try:
        entries = list(json.loads(raw)["snapshots"])
    except (ValueError, KeyError, TypeError) as error:
        log.warning("snapshot_pointer_unreadable", reason=repr(error), remedy="the next save writes it anew")
        return ()
    found: list[Snapshot] = []
    for entry in entries:
        try:
            found.append(_SNAPSHOT.validate_python(entry))
        except ValidationError as error:
            log.warning("snapshot_entry_unreadable", reason=repr(error), remedy="an older snapshot is used")
    return tuple(found)


def _meta_subject(blob: str) -> str:
    return METAS + base64.urlsafe_b64encode(blob.encode()).decode()


def _blob_of(subject: str) -> str:
    if subject.startswith(METAS):
        return base64.urlsafe_b64decode(subject.removeprefix(METAS)).decode(errors="replace")
    return subject.removeprefix(CHUNKS)
