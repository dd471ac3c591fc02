"""Compares the streams with the log again and again, and reports what differs as an event.

Each round looks at every stream: its bounds, its holes, everything that was archived since the last round
once, and a further part of what is older, so that all of it comes round in time. Its cost is bounded; how far
it is behind shows in a metric. What is known to differ is looked at again in every round, and its end is
reported too. A full comparison on demand is :mod:`services.archive.application.verifying`.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from time import monotonic
from typing import Final, Protocol

import structlog

from services.archive.application.ports import EntryLog, StreamSource, StreamState
from services.archive.domain.divergences import Divergence, Extent, runs
from services.archive.metrics import ArchiveMetrics
from shared.events import Envelope, InvalidEventError, StreamDiverged, parse_envelope, spec_for_data
from shared.events.envelope import Provenance
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError, describe
from shared.kernel.ids import derived_id

log = structlog.get_logger(__name__)

CHUNK: Final = 500
NEW_PER_ROUND: Final = 60_000
"""Newly archived messages of one stream that a round compares; at 60 s apart that follows 1,000 a second."""
ROTATING_PER_ROUND: Final = 2_000
"""Older ones beside them: a million come round in eight hours."""
REST: Final = 3.0
"""How long it rests after a chunk, in times of what the chunk took: nobody waits for this, and in one go it
would keep a processor from archiving for seconds."""
EXPIRY_SLACK: Final = timedelta(minutes=10)
"""The broker counts age from when it stored a message, the log from when the platform received it."""
REMEMBERED: Final = 500

LOST: Final = "lost_in_stream"
MISSING: Final = "missing_in_archive"
OTHER: Final = "other_bytes"
FRONT: Final = "front_lost"
BACK: Final = "went_back"
KINDS: Final = (LOST, MISSING, OTHER, FRONT, BACK)
_SPEC: Final = spec_for_data(StreamDiverged)


class DivergedError(TransientError):
    """Stream and archive hold different things."""


class Reports(Protocol):
    """Role: makes an event of the archive durable."""

    async def publish(self, envelope: Envelope[StreamDiverged]) -> object:
        """Store it under its id; a repeat is harmless.

        Raises:
            TransientError: not known to be stored.
        """
        ...


@dataclass(slots=True)
class _Found:
    """What one comparison of a range gave, by kind."""

    compared: int = 0
    kinds: dict[str, set[int]] = field(
        default_factory=lambda: {kind: set() for kind in (LOST, MISSING, OTHER)}
    )


@dataclass(slots=True)
class _Watch:
    """What is remembered of one stream between rounds.

    Attributes:
        compared: newest sequence that was compared after it had been archived; None before the first round.
        turn: where the rotation goes on.
        first: where the stream began in the round before, in the log's numbering.
    """

    compared: int | None = None
    turn: int = 0
    first: int = 0
    kinds: dict[str, Divergence] = field(default_factory=lambda: {kind: Divergence() for kind in KINDS})


class Reconciliation:
    """The loop. Nothing of it is stored but its events; a start goes on from those."""

    def __init__(  # noqa: PLR0913 - the composition root passes every dependency by name
        self,
        *,
        entry_log: EntryLog,
        source: StreamSource,
        reports: Reports,
        refused: Callable[[], Mapping[str, str]],
        leads: Callable[[], bool],
        metrics: ArchiveMetrics,
        clock: Clock,
        streams: Sequence[str],
        interval_s: float,
    ) -> None:
        """Compare ``streams`` every ``interval_s`` seconds while ``leads`` says that this replica archives.

        ``refused`` names the streams that are not archived.
        """
        self._log = entry_log
        self._source = source
        self._reports = reports
        self._refused = refused
        self._leads = leads
        self._metrics = metrics
        self._clock = clock
        self._interval_s = interval_s
        self._watches = {stream: _Watch() for stream in streams}
        self._states: dict[str, StreamState] = {}
        self._remembered = False

    async def run(self) -> None:
        """Reconcile until cancelled; what does not answer is asked again in the next round."""
        while True:
            await asyncio.sleep(self._interval_s)
            if self._leads():
                await self.round()
            else:
                self._remembered = False  # what another one reports meanwhile is read when this one leads

    async def round(self) -> None:
        """Look at every stream once."""
        try:
            if not self._remembered:
                await self._remember()
            positions = await self._log.positions(self._watches.keys())
        except TransientError as error:
            log.warning("reconciliation_waits", reason=str(error))
            return
        complete = True
        for stream, watch in self._watches.items():
            try:
                await self._reconcile(stream, watch, positions[stream])
                await self._report(stream, watch, positions[stream])
            except TransientError as error:
                complete = False
                log.warning("stream_not_reconciled", stream=stream, reason=str(error))
        if complete:
            self._metrics.reconciled_at.set(self._clock.now().timestamp())

    async def check(self) -> str:
        """The health check.

        Raises:
            DivergedError: something differs; the message names streams, kinds and sequences.
        """
        standing = [
            f"{stream} {kind} {extent.first} to {extent.last}"
            for stream, watch in self._watches.items()
            for kind, divergence in watch.kinds.items()
            if (extent := divergence.extent) is not None
        ]
        if standing:
            raise DivergedError(
                describe("; ".join(standing), "stream and archive to agree", "see docs/operations.md")
            )
        return "streams and archive agree"

    async def _remember(self) -> None:
        """What the log says was reported and stands: its end must be reported by whoever comes after."""
        reported = await self._log.of_type(_SPEC.event_type, REMEMBERED, newest_first=True)
        for entry in reversed(reported):
            try:
                event = parse_envelope(Envelope[StreamDiverged], entry.envelope or b"")
            except InvalidEventError as error:
                log.error("report_ignored", index=entry.index, reason=str(error))  # noqa: TRY400 - see above
                continue
            data = event.data
            watch = self._watches.get(data.stream)
            if watch is None:
                continue
            divergence = watch.kinds[data.kind]
            divergence.told(event.id, Extent(data.first, data.last, data.sequences) if data.raised else None)
            divergence.kept.clear()
            if data.raised:
                divergence.add(range(data.first, min(data.last, data.first + CHUNK) + 1))
                divergence.add([data.last])
        self._remembered = True

    async def _reconcile(self, stream: str, watch: _Watch, position: int) -> None:
        state = self._states[stream] = await self._source.state(stream)
        back = watch.kinds[BACK]
        back.kept.clear()
        if stream in self._refused() or state.last < position:
            back.add({min(state.last + 1, position), position})
            return
        lowest = await self._log.first_sequence(stream)
        if lowest == 0:
            return
        await self._check_front(stream, watch, state, lowest)
        await self._check_holes(stream, watch, state, lowest, position)
        await self._check_known(stream, watch, state)
        first, last = max(state.first, 1), min(state.last, position)
        if watch.compared is None:
            watch.compared = max(first - 1, last - NEW_PER_ROUND)
        until = min(last, watch.compared + NEW_PER_ROUND)
        await self._compare(stream, watch, watch.compared + 1, until)
        watch.compared = max(watch.compared, until)
        self._metrics.unreconciled.labels(stream).set(max(0, position - watch.compared))
        if not first <= watch.turn <= last:
            watch.turn = first
        until = min(watch.compared, watch.turn + ROTATING_PER_ROUND - 1)
        await self._compare(stream, watch, watch.turn, until)
        watch.turn = until + 1

    async def _check_front(self, stream: str, watch: _Watch, state: StreamState, lowest: int) -> None:
        """What is gone before the stream's first message must be old enough, or have made room for new ones.

        Held against the clock and not against the last round: what was taken away while nobody looked counts.
        """
        front = watch.kinds[FRONT]
        front.kept.clear()
        before, watch.first = watch.first, state.first
        if state.first <= lowest or state.makes_room:
            return
        gone = state.first - 1
        if self._source.in_stream(stream, gone) is None:
            return  # not lost: an operator accepted another history from there on
        received = await self._log.received_until(stream, gone)
        oldest = self._clock.now() - timedelta(seconds=state.max_age_s) + EXPIRY_SLACK
        if received is not None and (state.max_age_s == 0 or received > oldest):
            front.add({min(max(before, lowest), gone), gone})

    async def _check_holes(
        self, stream: str, watch: _Watch, state: StreamState, lowest: int, position: int
    ) -> None:
        """Holes that the broker names: what of them is archived was lost by the stream.

        What can't be parsed is left out: the log has its hash alone, so a rebuilt stream has holes there.
        """
        for first, last in runs((each for each in state.deleted if lowest <= each <= position), CHUNK):
            archived = await self._log.data_hashes(stream, first, last, events_only=True)
            watch.kinds[LOST].add(archived)

    async def _check_known(self, stream: str, watch: _Watch, state: StreamState) -> None:
        """Look again at what differed: both may agree now, or the stream's front may have passed it."""
        known = {kind: set(watch.kinds[kind].kept) for kind in (LOST, MISSING, OTHER)}
        sequences = set().union(*known.values())
        found = _Found()
        for first, last in runs((each for each in sequences if each >= state.first), CHUNK):
            await self._compare_range(stream, first, last, found)
        for kind, before in known.items():
            watch.kinds[kind].replace(before, found.kinds[kind])

    async def _compare(self, stream: str, watch: _Watch, first: int, last: int) -> None:
        while first <= last:
            started = monotonic()
            found = _Found()
            until = min(last, first + CHUNK - 1)
            await self._compare_range(stream, first, until, found)
            self._metrics.reconciled.labels(stream).inc(found.compared)
            for kind, sequences in found.kinds.items():
                watch.kinds[kind].add(sequences)
            first = until + 1
            await asyncio.sleep(REST * (monotonic() - started))

    async def _compare_range(self, stream: str, first: int, last: int, found: _Found) -> None:
        """Compare at most :data:`CHUNK` sequences, all of which have had the time to be archived."""
        archived = await self._log.data_hashes(stream, first, last)
        streamed = await self._hashes_in_stream(stream, first, last)
        found.compared += len(streamed)
        for sequence, digest in streamed.items():
            stored = archived.get(sequence)
            if stored != digest:
                found.kinds[MISSING if stored is None else OTHER].add(sequence)
        gone = archived.keys() - streamed.keys()
        if gone:
            found.kinds[LOST].update(await self._lost(stream, gone))

    async def _hashes_in_stream(self, stream: str, first: int, last: int) -> dict[int, bytes]:
        hashes: dict[int, bytes] = {}
        while first <= last:
            messages = await self._source.fetch(stream, first, last)
            if not messages:
                break
            hashes |= {each.sequence: sha256(each.data).digest() for each in messages}
            first = messages[-1].sequence + 1
        return hashes

    async def _lost(self, stream: str, gone: Collection[int]) -> Iterable[int]:
        """Those of ``gone`` that the stream should have: not what has just expired, nor what was replaced."""
        front = (await self._source.bounds(stream)).first
        events = await self._log.data_hashes(stream, min(gone), max(gone), events_only=True)
        return [
            sequence
            for sequence in gone
            if sequence >= front
            and sequence in events
            and self._source.in_stream(stream, sequence) is not None
        ]

    async def _report(self, stream: str, watch: _Watch, position: int) -> None:
        state = self._states[stream]
        for kind, divergence in watch.kinds.items():
            extent = divergence.extent
            self._metrics.diverged.labels(stream, kind).set(0 if extent is None else extent.sequences)
            news = divergence.news()
            if news is None:
                continue
            raised, what = news
            event = self._event(
                stream, kind, divergence, raised=raised, what=what, state=state, position=position
            )
            await self._reports.publish(event)
            divergence.told(event.id, what if raised else None)
            say = log.error if raised else log.info
            say("stream_diverged" if raised else "stream_agrees_again", stream=stream, kind=kind,
                first=what.first, last=what.last, sequences=what.sequences)  # fmt: skip

    def _event(
        self,
        stream: str,
        kind: str,
        divergence: Divergence,
        *,
        raised: bool,
        what: Extent,
        state: StreamState,
        position: int,
    ) -> Envelope[StreamDiverged]:
        # The id follows from what is said and was said before: a second archive says it with the same one.
        event_id = derived_id(
            "stream-diverged",
            stream,
            kind,
            str(raised),
            str(what.first),
            str(what.last),
            divergence.previous_id,
        )
        now = self._clock.now()
        data = StreamDiverged.model_validate(
            {
                "stream": stream,
                "kind": kind,
                "raised": raised,
                "first": what.first,
                "last": what.last,
                "sequences": what.sequences if raised else 0,
                "stream_first": state.first,
                "stream_last": state.last,
                "archived_last": position,
            }
        )
        return _SPEC.wrap(
            data,
            event_id=event_id,
            source="archive",
            subject=stream,
            time=now,
            received_at=now,
            provenance=Provenance(event_id),
        )
