"""Rebuilds a stream from the archive: the same messages at the same sequences (ADR 0021).

What the archive has no bytes of (messages that could not be parsed, sequences that were lost before they
were archived) becomes a hole, if that was asked for: a placeholder is published there and deleted, before the
stream forbids deleting. What the old stream has and the archive lacks is appended: nothing is lost.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError
from pymongo import ASCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from deploy.local.backup.access import maintenance
from deploy.local.backup.restoring import OccupiedError, aside
from deploy.local.backup.stream_files import save_stream
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from services.archive.adapters import schema
from services.archive.application.envelopes import read_attributes
from services.archive.domain.epochs import Accepted, Numbering
from shared.events import Envelope, StreamHistoryAccepted, parse_envelope, spec_for_data
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.provisioner import LOCAL_STORAGE_BYTES, provision, stream_config
from shared.messaging.reading import FoldReader
from shared.messaging.streams import ARCHIVED, CONSUMERS, STREAMS, StreamSpec

BATCH: Final = 1000
MAKE_ATTEMPTS: Final = 20
MAKE_PAUSE_S: Final = 0.25
QUIET_S: Final = 1.0
SHOWN: Final = 5

Document = dict[str, Any]
Say = Callable[[str], None]


class RebuildError(LocalError):
    """The stream can't be what it was."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of a stream.

    Attributes:
        first: lowest sequence.
        last: highest sequence that came from the archive.
        holes: sequences between them that stay empty.
        appended: messages of the old stream behind ``last`` that the archive does not have.
    """

    stream: str
    first: int
    last: int
    holes: tuple[int, ...]
    appended: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the archive has of a stream, in the stream's own numbers; ``archived`` counts documents."""

    first: int
    last: int
    holes: tuple[int, ...]


async def rebuild_stream(
    layout: Layout, stream: str, *, replace_old: bool, leave_holes: bool, say: Say
) -> Rebuilt:
    """Make ``stream`` of a stopped platform from the archive, with its consumers.

    Messages get new times, so they expire later than the old ones would have.

    Raises:
        PlatformRunningError: the platform runs.
        OccupiedError: the stream has messages, and ``replace_old`` was not asked for.
        RebuildError: the archive lacks messages in between, and ``leave_holes`` was not asked for; or a
            message did not get its sequence.
    """
    spec = _archived_spec(stream)
    async with maintenance(layout) as access:
        with MongoClient[Document](access.append_url, tz_aware=True) as mongo:
            entries = mongo[access.database].get_collection(
                schema.ENTRIES, read_concern=ReadConcern("majority")
            )
            numbering = await asyncio.to_thread(_numbering, entries, stream)
            plan = await asyncio.to_thread(_plan, entries, stream, numbering)
            if plan.holes and not leave_holes:
                raise RebuildError(_holes_message(stream, plan.holes))
            jetstream = access.client.jetstream(timeout=30)
            old = await _old_config(jetstream, stream)
            left: list[Outgoing] = []
            if old is not None:
                left = [each async for each in _unarchived(access.client, entries, stream, numbering)]
                await _put_aside(layout, access.client, jetstream, stream, replace_old=replace_old, say=say)
            await _make(jetstream, old or stream_config(spec, 1, LOCAL_STORAGE_BYTES), plan.first)
            commit = GroupCommit(access.client, stream=stream, inflight=1, timeout_s=60.0)
            await commit.start()
            try:
                await _publish_archived(commit, entries, spec, numbering, plan)
                for start in range(0, len(left), BATCH):
                    await commit.publish(left[start : start + BATCH])
            finally:
                await commit.stop()
            for hole in plan.holes:
                await jetstream.delete_msg(stream, hole)
            await _seal(access.client, jetstream, spec, old)
    return Rebuilt(stream, plan.first, plan.last, plan.holes, len(left))


def _archived_spec(stream: str) -> StreamSpec:
    for spec in STREAMS:
        if spec.name == stream and spec.archived:
            return spec
    raise LocalError(describe(stream, f"one of {', '.join(ARCHIVED)}", "name a stream that is archived"))


def _holes_message(stream: str, holes: Sequence[int]) -> str:
    named = ", ".join(map(str, holes[:SHOWN])) + (" …" if len(holes) > SHOWN else "")
    return describe(
        f"{len(holes)} sequences of {stream} without a message in the archive ({named})",
        "every message, for the same sequences",
        "add --leave-holes to rebuild it without these",
    )


def _numbering(entries: Collection[Document], stream: str) -> Numbering:
    """How the archive numbers ``stream``, from the decisions in the log."""
    wanted = {"type": spec_for_data(StreamHistoryAccepted).event_type}
    found = entries.find(wanted, {"envelope": 1}, sort=[("_id", ASCENDING)], hint=schema.TYPE)
    made = [parse_envelope(Envelope[StreamHistoryAccepted], each["envelope"]).data for each in found]
    return Numbering.after(
        Accepted(data.fork, data.offset)
        for data in sorted(made, key=lambda data: data.archived_last)
        if data.stream == stream
    )


def _archived(
    entries: Collection[Document], stream: str, numbering: Numbering, fields: Document
) -> Iterator[tuple[int, Document]]:
    """Each entry that the stream had, by the stream's own sequence."""
    cursor = entries.find(
        {"stream": stream},
        {"_id": 0, "sequence": 1, "kind": 1, **fields},
        sort=[("sequence", ASCENDING)],
        hint=schema.STREAM_SEQUENCE,
        batch_size=BATCH,
    )
    with cursor:
        for document in cursor:
            own = numbering.in_stream(document["sequence"])
            if own is not None:
                yield own, document


def _plan(entries: Collection[Document], stream: str, numbering: Numbering) -> _Plan:
    first = last = 0
    holes: list[int] = []
    for sequence, document in _archived(entries, stream, numbering, {}):
        if first == 0:
            first, last = sequence, sequence - 1
        holes += range(last + 1, sequence)
        if document["kind"] == "unparseable":
            holes.append(sequence)
        last = sequence
    if first == 0:
        raise RebuildError(
            describe(f"nothing of {stream} in the archive", "its messages", "see `pingyi audit verify`")
        )
    return _Plan(first, last, tuple(holes))


async def _old_config(jetstream: JetStreamContext, stream: str) -> StreamConfig | None:
    try:
        config: StreamConfig = (await jetstream.stream_info(stream)).config
    except NotFoundError:
        return None
    return config


async def _unarchived(
    client: Client, entries: Collection[Document], stream: str, numbering: Numbering
) -> AsyncIterator[Outgoing]:
    """The messages of the stream as it is that the archive does not have, in order."""
    if (await client.jetstream(timeout=30).stream_info(stream)).state.messages == 0:
        return
    reader = FoldReader(client, stream)
    try:
        while True:
            messages = await reader.take(wait_s=QUIET_S)
            attributes = [read_attributes(each.data) for each in messages]
            ids = [each.event_id for each in attributes if each is not None]
            bodies = await asyncio.to_thread(_bodies_of, entries, ids)
            for message, known in zip(messages, attributes, strict=True):
                archived = numbering.archived_as(message.sequence)
                if known is not None and known.event_id in bodies:
                    continue
                if known is None and await asyncio.to_thread(_has, entries, stream, archived):
                    continue
                message_id = known.event_id if known else derived_id("kept", stream, str(message.sequence))
                yield Outgoing(message.subject, message_id, message.data)
            if reader.caught_up:
                return
    finally:
        await reader.close()


def _bodies_of(entries: Collection[Document], ids: list[str]) -> set[str]:
    found = entries.find({"event_id": {"$in": ids}}, {"_id": 0, "event_id": 1}, hint=schema.EVENT)
    return {each["event_id"] for each in found}


def _has(entries: Collection[Document], stream: str, sequence: int) -> bool:
    return entries.find_one({"stream": stream, "sequence": sequence}, {"_id": 1}) is not None


async def _put_aside(
    layout: Layout,
    client: Client,
    jetstream: JetStreamContext,
    stream: str,
    *,
    replace_old: bool,
    say: Say,
) -> None:
    """Save the stream as it is and delete it."""
    state = (await jetstream.stream_info(stream)).state
    if state.messages:
        if not replace_old:
            raise OccupiedError(
                describe(
                    f"{stream} with {state.messages} messages, {state.first_seq} to {state.last_seq}",
                    "an empty stream, or none",
                    "add --replace, which saves it first and keeps what the archive lacks",
                )
            )
        directory = aside(layout)
        record = await save_stream(client, stream, directory / f"{stream}.snapshot")
        text = json.dumps({"config": record.config, "state": record.state}, indent=1)
        (directory / f"{stream}.json").write_text(text, encoding="utf-8")
        say(f"Saved {stream} as it was to {directory}.")
    await jetstream.delete_stream(stream)


async def _make(jetstream: JetStreamContext, config: StreamConfig, first: int) -> None:
    """Make the stream, still without the bans on deleting; the broker may be busy removing the old one."""
    wanted = replace(config, first_seq=first, deny_delete=False, deny_purge=False)
    for attempt in range(MAKE_ATTEMPTS):
        try:
            await jetstream.add_stream(wanted)
        except APIError:
            if attempt == MAKE_ATTEMPTS - 1:
                raise
            await asyncio.sleep(MAKE_PAUSE_S)
        else:
            return


async def _publish_archived(
    commit: GroupCommit, entries: Collection[Document], spec: StreamSpec, numbering: Numbering, plan: _Plan
) -> None:
    fields = {"subject": 1, "event_id": 1, "envelope": 1}
    archived = _archived(entries, spec.name, numbering, fields)
    messages = _with_placeholders(archived, spec)
    expected = plan.first
    while batch := await asyncio.to_thread(lambda: list(islice(messages, BATCH))):
        for stored in await commit.publish(batch):
            if stored.sequence != expected or stored.duplicate:
                raise RebuildError(
                    describe(
                        f"sequence {stored.sequence} of {spec.name}",
                        f"{expected}, where the archive has the message",
                        "somebody else publishes, or the broker knows the id: keep services off, begin again",
                    )
                )
            expected += 1


def _with_placeholders(archived: Iterator[tuple[int, Document]], spec: StreamSpec) -> Iterator[Outgoing]:
    """The messages, and something to delete afterwards wherever the archive has no bytes."""
    previous = 0
    for sequence, document in archived:
        for hole in range(previous + 1, sequence) if previous else ():
            yield _placeholder(spec, hole)
        previous = sequence
        if document["kind"] == "unparseable":
            yield _placeholder(spec, sequence)
        elif document["kind"] == "event":
            yield Outgoing(document["subject"], document["event_id"], document["envelope"])
        else:  # the same id as an earlier message, which the broker would refuse to store again
            message_id = derived_id("repeat", spec.name, str(sequence))
            yield Outgoing(document["subject"], message_id, document["envelope"])


def _placeholder(spec: StreamSpec, sequence: int) -> Outgoing:
    subject = spec.subjects[0].replace(">", "hole.all.all")
    return Outgoing(subject, derived_id("hole", spec.name, str(sequence)), b"")


async def _seal(
    client: Client, jetstream: JetStreamContext, spec: StreamSpec, old: StreamConfig | None
) -> None:
    """Bring the bans back, and the durable consumers, which went with the old stream."""
    if old is not None:
        await jetstream.update_stream(replace(old, first_seq=None))
    consumers = tuple(each for each in CONSUMERS if each.stream == spec.name)
    replicas = (old.num_replicas if old is not None else None) or 1
    await provision(client, replicas=replicas, streams=() if old else (spec,), consumers=consumers)
