"""The rankings in a NATS key-value bucket: readable by anybody who may watch it, written by one at a time.

All keys of one commit go in one atomic batch, so that no watcher sees half of it, and the heads carry the
sequence that they replace: a second writer, or a zombie that wakes up, is refused as a whole (ADR 0011). A
publication that is too large for one is several, and the books come last (ADR 0035).
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.scoring.application.ports import MOST_KEYS, StoreConflictError
from services.scoring.application.published import (
    ANNOUNCED_PREFIX,
    BOOKS_KEY,
    PublishedBooks,
    PublishedList,
    StoredRankings,
    parse_announced,
)
from services.scoring.domain.announcements import Announced
from shared.kernel.errors import (
    InvalidValueError,
    TransientError,
    describe,
)
from shared.kernel.errors import (
    NotFoundError as NoSuchThingError,
)
from shared.messaging.direct import Read, read_after
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.streams import MAX_MESSAGE_BYTES, RANKINGS_BUCKET

log = structlog.get_logger(__name__)

STREAM: Final = f"KV_{RANKINGS_BUCKET}"
PREFIX: Final = f"$KV.{RANKINGS_BUCKET}."
TIMEOUT_S: Final = 10.0
PARALLEL_READS: Final = 32
READ_ATTEMPTS: Final = 20
REREAD_S: Final = 0.05
HEADER_BYTES: Final = 1024
_HEAD_DOTS: Final = 2


class StoreUnavailableError(TransientError):
    """The bucket did not answer: what it holds, or whether it took a batch, is not known."""


def _unavailable(what: str, error: BaseException | str) -> StoreUnavailableError:
    return StoreUnavailableError(
        describe(what, f"an answer from {STREAM}", f"retry; if it lasts, provision the streams: {error!r}")
    )


class NatsRankingStore:
    """See `RankingStore`. Remembers the sequence of every key, which the next commit states."""

    def __init__(self, client: Client) -> None:
        """Use the bucket through ``client``; it must have been provisioned."""
        self._client = client
        self._sequences: dict[str, int] = {}

    async def load(self) -> StoredRankings:
        """See :meth:`RankingStore.load`.

        Raises:
            StoreUnavailableError: the broker is away, or the bucket was not provisioned.
        """
        for attempt in range(1, READ_ATTEMPTS + 1):
            found = await _read_keys(self._client, ">")
            values = {key: message.data or b"" for key, message in found.items()}
            last = attempt == READ_ATTEMPTS
            try:
                if not last:
                    _check_one_moment(found)
                stored = await asyncio.to_thread(assemble, values, leave_out_unreadable=last)
            except TornReadError as torn:
                # Somebody else published while we read.
                log.info("rankings_read_again", reason=str(torn))
                await asyncio.sleep(REREAD_S)
                continue
            self._sequences = {key: int(message.seq or 0) for key, message in found.items()}
            return stored
        raise _unavailable("the bucket", "no attempt to read it was made")  # pragma: no cover

    async def refresh(self, known: StoredRankings) -> StoredRankings:
        """See :meth:`RankingStore.refresh`; ``known`` itself if nothing was written.

        Raises:
            StoreUnavailableError: the broker is away, or the bucket was not provisioned.
        """
        after = max(self._sequences.values(), default=0)
        found = await _read_changes(self._client, after)
        if not found:
            return known
        values = {key: message.data for key, message in found.items()}
        try:
            stored = await asyncio.to_thread(merge, known, values)
        except TornReadError as torn:
            # Written to again while we read, or content that is not ours: the long way knows what to do.
            log.info("rankings_read_again", reason=str(torn))
            return await self.load()
        self._sequences.update({key: message.sequence for key, message in found.items()})
        return stored

    async def commit(self, fenced: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
        """See :meth:`RankingStore.commit`.

        Raises:
            InvalidValueError: nothing is fenced, or the batch or an entry is too large.
            StoreConflictError: another writer was faster.
            StoreUnavailableError: no answer; it may have been written.
        """
        check_commit(fenced, others)
        entries = [*others.items(), *fenced.items()]
        _check_sizes(entries)
        batch = uuid4().hex
        answer: dict[str, Any] = {}
        try:
            for number, (key, value) in enumerate(entries, 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                if not value:
                    headers["KV-Operation"] = "DEL"
                if key in fenced:
                    headers["Nats-Expected-Last-Subject-Sequence"] = str(self._sequences.get(key, 0))
                if number < len(entries):
                    await self._client.publish(PREFIX + key, value, headers=headers)
                    continue
                headers["Nats-Batch-Commit"] = "1"
                reply = await self._client.request(PREFIX + key, value, TIMEOUT_S, headers=headers)
                answer = json.loads(reply.data)
        except (NatsError, TimeoutError, ValueError, OSError) as error:
            raise _unavailable(f"a batch of {len(entries)} keys", error) from error
        self._conclude(entries, answer)

    def _conclude(self, entries: list[tuple[str, bytes]], answer: Mapping[str, Any]) -> None:
        error = answer.get("error")
        if error is not None:
            if error.get("err_code") in WRONG_LAST_SEQUENCE:
                raise StoreConflictError(
                    describe(
                        error.get("description"),
                        "to be the only writer",
                        "this instance reads again and waits",
                    )
                )
            raise _unavailable(f"a refused batch of {len(entries)} keys", str(error))
        first = int(answer["seq"]) - len(entries) + 1
        for number, (key, _) in enumerate(entries):
            self._sequences[key] = first + number


def check_commit(fenced: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
    """Refuse a commit without a fence, or of more than a batch; every `RankingStore` asks first.

    Raises:
        InvalidValueError: ``fenced`` is empty, or there are too many keys.
    """
    if not fenced:
        raise InvalidValueError(0, "at least one fenced key in a commit", "fence the books")
    keys = len(fenced) + len(others)
    if keys > MOST_KEYS:
        raise InvalidValueError(keys, f"at most {MOST_KEYS} keys in one commit", "divide it into portions")


def _check_sizes(entries: list[tuple[str, bytes]]) -> None:
    for key, value in entries:
        if len(value) + HEADER_BYTES > MAX_MESSAGE_BYTES:
            # The server would close the whole connection over it.
            raise InvalidValueError(
                f"{len(value)} bytes for {key}",
                f"at most {MAX_MESSAGE_BYTES - HEADER_BYTES}",
                "split the page",
            )


async def read_list(client: Client, key: str) -> PublishedList:
    """Read one published list, e.g. ``window.marriage.30``; whole, never half old and half new.

    Raises:
        shared.kernel.errors.NotFoundError: nothing is published under this key, or not any more.
        StoreUnavailableError: the broker is away.
    """
    for _ in range(READ_ATTEMPTS):
        head = await _read(client, key)
        if head is None or not head.data:
            raise NoSuchThingError(
                key, "the key of a published list", "write it like window.marriage.30 or county.all.30"
            )
        number = json.loads(head.data or b"{}").get("pages", 0)
        pages = await asyncio.gather(*(_read(client, f"{key}.{page}") for page in range(number)))
        bodies = tuple(page.data or b"" for page in pages if page is not None)
        try:
            return _check(head.data or b"", bodies)
        except TornReadError:
            await asyncio.sleep(REREAD_S)
    raise _unavailable(f"{key}, which changes all the time", "read again later")


async def read_all_lists(client: Client) -> dict[str, PublishedList]:
    """Read every published list, each whole, by key; empty before the first publication.

    Raises:
        StoreUnavailableError: the broker is away, or the bucket was not provisioned.
    """
    heads = await _read_keys(client, "*.*.*")
    found: dict[str, PublishedList] = {}
    for key in sorted(key for key, head in heads.items() if head.data):
        with contextlib.suppress(NoSuchThingError):  # withdrawn meanwhile
            found[key] = await read_list(client, key)
    return found


async def read_books(client: Client) -> PublishedBooks | None:
    """Read the published books; None before the first publication.

    Raises:
        StoreUnavailableError: the broker is away, or the bucket was not provisioned.
    """
    found = await _read(client, BOOKS_KEY)
    return None if found is None else PublishedBooks.parse(found.data or b"")


class TornReadError(Exception):
    """Head and pages do not belong together."""


def _check(head: bytes, pages: tuple[bytes, ...]) -> PublishedList:
    try:
        found = PublishedList.parse(head, pages)
    except (ValueError, KeyError, TypeError) as error:
        raise TornReadError(repr(error)) from error
    if len(pages) != found.head["pages"] or found.computed_hash() != found.hash:
        raise TornReadError(found.key)
    return found


def _check_one_moment(found: Mapping[str, RawStreamMsg]) -> None:
    """The books are the last key of whatever is written: what is newer than they are is of another moment.

    Raises:
        TornReadError: something was written between two of these reads.
    """
    books = found.get(BOOKS_KEY)
    if books is not None and max(int(each.seq or 0) for each in found.values()) > int(books.seq or 0):
        raise TornReadError("lists that are newer than the books")


def assemble(values: Mapping[str, bytes], *, leave_out_unreadable: bool = False) -> StoredRankings:
    """Read all values of the bucket, by key, as one.

    Args:
        values: everything in the bucket.
        leave_out_unreadable: treat what can't be read as absent, so that it is published anew; for content
            that no later read will mend.

    Raises:
        TornReadError: some values belong to a publication that the others are not from, or are not ours.
    """
    lists: dict[str, PublishedList] = {}
    announced: dict[str, Announced] = {}
    books: PublishedBooks | None = None
    withdrawn: set[str] = set()
    for key, value in values.items():
        try:
            if not value and key.count(".") == _HEAD_DOTS:
                withdrawn.add(key)
            elif key.startswith(ANNOUNCED_PREFIX):
                _keep_newest(announced, parse_announced(value))
            elif key == BOOKS_KEY:
                books = PublishedBooks.parse(value)
            elif key.count(".") == _HEAD_DOTS:
                pages = json.loads(value).get("pages", 0)
                bodies = tuple(values.get(f"{key}.{number}", b"") for number in range(pages))
                lists[key] = _check(value, bodies)
        except (TornReadError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not leave_out_unreadable:
                raise TornReadError(key) from error
            log.warning("ranking_unreadable", key=key, reason=repr(error), remedy="it is published anew")
    return StoredRankings(lists, books, announced, frozenset(withdrawn))


def _keep_newest(announced: dict[str, Announced], page: Mapping[str, Announced]) -> None:
    """Take in a page: a unit that moved to another city may still be on the page of the one that it left."""
    for unit_id, last in page.items():
        known = announced.get(unit_id)
        if known is None or known.at_ms < last.at_ms:
            announced[unit_id] = last


def merge(known: StoredRankings, values: Mapping[str, bytes]) -> StoredRankings:
    """What is known with the keys in ``values`` written anew; lists that did not change are reused.

    Raises:
        TornReadError: some values belong to a publication that the others are not from, or are not ours.
    """
    lists, announced, books = dict(known.lists), dict(known.announced), known.books
    gone = {key for key, value in values.items() if not value and key.count(".") == _HEAD_DOTS}
    touched = {".".join(key.split(".")[: _HEAD_DOTS + 1]) for key in values if key.count(".") >= _HEAD_DOTS}
    if touched - values.keys():
        raise TornReadError("pages without their heads")
    try:
        for key, value in values.items():
            if key.startswith(ANNOUNCED_PREFIX):
                announced.update(parse_announced(value))
            elif key == BOOKS_KEY:
                books = PublishedBooks.parse(value)
            elif key in gone:
                lists.pop(key, None)
            elif key in touched:
                old = known.lists[key].pages if key in known.lists else ()
                bodies = (
                    values.get(f"{key}.{number}", old[number] if number < len(old) else b"")
                    for number in range(json.loads(value).get("pages", 0))
                )
                lists[key] = _check(value, tuple(bodies))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TornReadError(repr(error)) from error
    return StoredRankings(lists, books, announced, (known.withdrawn | gone) - lists.keys())


async def _read_changes(client: Client, after: int) -> dict[str, Read]:
    """The values of all keys that were written after the sequence ``after``."""
    try:
        found = await read_after(client, STREAM, PREFIX + ">", after)
    except (NatsError, JetStreamError, TimeoutError, OSError, KeyError) as error:
        raise _unavailable("what changed in the bucket", error) from error
    return {each.subject.removeprefix(PREFIX): each for each in found}


async def _read(client: Client, key: str) -> RawStreamMsg | None:
    try:
        return await client.jetstream(timeout=TIMEOUT_S).get_last_msg(STREAM, PREFIX + key, direct=True)
    except NotFoundError:
        return None
    except (NatsError, JetStreamError, TimeoutError, OSError) as error:
        raise _unavailable(key, error) from error


async def _read_keys(client: Client, pattern: str) -> dict[str, RawStreamMsg]:
    """The newest value of every key that matches."""
    try:
        info = await client.jetstream(timeout=TIMEOUT_S).stream_info(STREAM, subjects_filter=PREFIX + pattern)
    except (NatsError, JetStreamError, TimeoutError, OSError) as error:
        raise _unavailable("the bucket", error) from error
    keys = sorted(subject.removeprefix(PREFIX) for subject in info.state.subjects or {})
    gate = asyncio.Semaphore(PARALLEL_READS)

    async def read(key: str) -> RawStreamMsg | None:
        async with gate:
            return await _read(client, key)

    found = await asyncio.gather(*(read(key) for key in keys))
    return {key: message for key, message in zip(keys, found, strict=True) if message is not None}
