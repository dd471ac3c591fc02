"""Verifies the whole log, and the log against the broker's streams, in constant memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import perf_counter
from typing import Final, Literal

from services.archive.application.announced_check import AnnouncedCheck
from services.archive.application.envelopes import read_attributes
from services.archive.application.notary import Keys
from services.archive.application.ports import EntryLog, StreamBounds, StreamSource, TreeStore
from services.archive.application.tree_check import TreeCheck
from services.archive.domain.entries import Kind, Stored
from services.archive.domain.verification import Books, Finding, LogVerifier, StreamTally
from services.archive.metrics import ArchiveMetrics
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError, describe
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import StoredMessage

COUNTED_TYPE: Final = "cn.pingyi.feedback.submitted.v1"
SAMPLES: Final = 20
CHUNK: Final = 500
CATCH_UP_S: Final = 10.0
POLL_S: Final = 0.2

Depth = Literal["sample", "stream"]


class VerificationBusyError(TransientError):
    """Another verification runs; each reads the whole log."""


class VerificationTimeoutError(TransientError):
    """The log was not read within the time allowed."""


@dataclass(slots=True)
class StreamReport:
    """One stream in the log and in the broker.

    Attributes:
        first: lowest archived sequence, 0 if there is none; what had expired before is no finding.
        in_broker: what the broker holds, None if it could not be asked.
        compared: messages whose bytes were compared with the log.
    """

    entries: int = 0
    first: int = 0
    last: int = 0
    missing: int = 0
    in_broker: StreamBounds | None = None
    compared: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome; ``ok`` iff there is no finding.

    Attributes:
        checkpoints: how many signed heads were compared with the entries.
    """

    ok: bool
    entries: int
    checkpoints: int
    streams: dict[str, StreamReport]
    books: Books
    findings: list[Finding]
    findings_total: int
    seconds: float


@dataclass(slots=True)
class Verification:
    """Runs one verification at a time.

    Attributes:
        timeout_s: longest run.
        catch_up_s: how long messages published just before may take to be archived.
    """

    entry_log: EntryLog
    tree: TreeStore
    keys: Keys
    source: StreamSource
    metrics: ArchiveMetrics
    clock: Clock
    streams: Sequence[str]
    timeout_s: float
    catch_up_s: float = CATCH_UP_S
    _running: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, against: Depth = "sample") -> Report:
        """Check every entry, and the streams: all sequences, bytes of a sample or of everything.

        Raises:
            VerificationBusyError: one runs already.
            VerificationTimeoutError: it took longer than ``timeout_s``.
            LogUnavailableError: the store does not answer.
        """
        if self._running.locked():
            raise VerificationBusyError(
                describe("a second verification", "one at a time", "wait for the one that runs"), 5
            )
        async with self._running:
            try:
                async with asyncio.timeout(self.timeout_s):
                    report = await self._run(against)
            except TimeoutError as error:
                raise VerificationTimeoutError(
                    describe(
                        "a verification that is not finished",
                        f"an end within {self.timeout_s:g} s",
                        "raise VERIFY_TIMEOUT_S",
                    )
                ) from error
        self.metrics.findings.set(report.findings_total)
        self.metrics.verify_seconds.set(report.seconds)
        self.metrics.verified_at.set(self.clock.now().timestamp())
        return report

    async def _run(self, against: Depth) -> Report:
        started = perf_counter()
        verifier = LogVerifier(read_attributes, COUNTED_TYPE)
        due = await self._bounds(verifier)
        await self._wait_until_archived(due)
        size = await self.entry_log.size()
        tree = TreeCheck(self.tree, self.keys, verifier.report)
        announced = AnnouncedCheck(self.tree, verifier.report)
        async for part in self.entry_log.scan(size - 1):
            for stored in part:
                verifier.feed(stored)
            await tree.feed(part)
            await announced.feed(part)
            await self._check_duplicates(part, verifier)
        await tree.finish(self.entry_log.size)
        if verifier.next_index != size:
            verifier.report("head", f"{verifier.next_index} entries up to the end of the log", f"{size}")
        await self._check_event_ids(size, verifier)
        reports = {
            stream: await self._check_stream(stream, due.get(stream), against, verifier)
            for stream in self.streams
        }
        return Report(
            verifier.total == 0,
            verifier.entries,
            tree.checkpoints,
            reports,
            verifier.books,
            verifier.findings,
            verifier.total,
            perf_counter() - started,
        )

    async def _bounds(self, verifier: LogVerifier) -> dict[str, StreamBounds]:
        bounds: dict[str, StreamBounds] = {}
        for stream in self.streams:
            try:
                bounds[stream] = await self.source.bounds(stream)
            except BrokerUnavailableError as error:
                verifier.report(f"stream {stream}", str(error), "the stream, to compare the log with it")
        return bounds

    async def _wait_until_archived(self, due: dict[str, StreamBounds]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.catch_up_s
        while loop.time() < deadline:
            positions = await self.entry_log.positions(due)
            if all(positions[stream] >= bounds.last for stream, bounds in due.items()):
                return
            await asyncio.sleep(POLL_S)

    async def _check_duplicates(self, part: Sequence[Stored], verifier: LogVerifier) -> None:
        claims = {
            stored.index: (attributes.event_id, stored.entry.leaf.duplicate_of)
            for stored in part
            if stored.entry is not None
            and stored.entry.leaf.kind is Kind.DUPLICATE
            and (attributes := stored.entry.leaf.attributes) is not None
        }
        if not claims:
            return
        originals = await self.entry_log.indexes_of({event_id for event_id, _ in claims.values()})
        for index, (event_id, original) in claims.items():
            if originals.get(event_id) != original:
                verifier.report(
                    f"index {index}", f"duplicate of {original}", f"duplicate of {originals.get(event_id)}"
                )

    async def _check_event_ids(self, size: int, verifier: LogVerifier) -> None:
        distinct = await self.entry_log.distinct_event_ids(size - 1)
        if distinct != verifier.books.events:
            verifier.report(
                "event ids", f"{verifier.books.events} entries of kind event", f"{distinct}, one for each id"
            )

    async def _check_stream(
        self, stream: str, due: StreamBounds | None, against: Depth, verifier: LogVerifier
    ) -> StreamReport:
        tally = verifier.streams.get(stream, StreamTally())
        report = StreamReport(tally.entries, tally.first, tally.last, tally.missing, due)
        if due is None:
            return report
        where = f"stream {stream}"
        if tally.last < due.last:
            first = max(due.first, tally.last + 1)
            verifier.report(where, f"sequences {first} to {due.last} not archived", "an entry for each")
        now = await self.source.bounds(stream)
        if now.last < tally.last:
            verifier.report(
                where, f"the stream ends at {now.last}", f"{tally.last} or later, which is archived"
            )
        first, last = max(now.first, tally.first, 1), min(now.last, tally.last)
        if tally.entries and first <= last:
            if against == "stream":
                report.compared = await self._compare_all(stream, first, last, verifier)
            else:
                report.compared = await self._compare_some(stream, first, last, verifier)
        return report

    async def _compare_all(self, stream: str, first: int, last: int, verifier: LogVerifier) -> int:
        compared = 0
        while first <= last:
            found = await self.source.fetch(stream, first, last)
            until = found[-1].sequence if found else min(last, first + CHUNK - 1)
            await self._compare(stream, first, until, found, verifier)
            compared += len(found)
            first = until + 1
        return compared

    async def _compare_some(self, stream: str, first: int, last: int, verifier: LogVerifier) -> int:
        step = max(1, (last - first) // (SAMPLES - 1))
        compared = 0
        for sequence in sorted({*range(first, last + 1, step), last}):
            found = await self.source.fetch(stream, sequence, sequence)
            await self._compare(stream, sequence, sequence, found, verifier)
            compared += len(found)
        return compared

    async def _compare(
        self, stream: str, first: int, last: int, found: Sequence[StoredMessage], verifier: LogVerifier
    ) -> None:
        archived = await self.entry_log.data_hashes(stream, first, last)
        for message in found:
            digest = sha256(message.data).digest()
            stored = archived.pop(message.sequence, None)
            if stored != digest:
                verifier.report(
                    f"stream {stream}, sequence {message.sequence}",
                    "nothing archived" if stored is None else f"SHA-256 {stored.hex()} archived",
                    f"{digest.hex()}, as in the stream",
                )
        for sequence in archived:
            if self.source.in_stream(stream, sequence) is None:
                continue  # an operator accepted another history: the archive alone has it
            verifier.report(
                f"stream {stream}, sequence {sequence}", "archived, but gone from the stream", "the message"
            )
