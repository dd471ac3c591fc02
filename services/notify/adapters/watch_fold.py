"""The fold of FEEDBACK that counts: where surges and the like are seen. From the baseline's first day on.

Only the few fields that are counted are taken out of a message, and one that nothing is bad about leaves by
the shortest way. What is read behind the history is judged by the rules for single ratings at once, by
`EarlyRaising`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.notify.application.early import EarlyRaising
from services.notify.domain.watch import Rating, Watch, hour_of
from services.notify.metrics import NotifyMetrics
from shared.kernel.errors import TransientError
from shared.kernel.units import UnitRegistry
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK, RANKING

log = structlog.get_logger(__name__)
SUBMITTED: Final = "feedback.v1.submitted."
FACT: Final = 2
PUBLIC: Final = "public"
HELD: Final = "quarantined"
OUT: Final = frozenset({HELD, "excluded", "withdrawn"})
BACK: Final = frozenset({"released", "reinstated"})
PAUSE_S: Final = 1.0
"""How long to wait between looks."""
PACE_S: Final = 0.1
"""How often ratings are fetched while they keep coming, to be counted and judged a hundred at a time."""
RANKING_EVERY_S: Final = 30.0
REVISED: Final = "ranking.v1.revised.>"


class _Counted(msgspec.Struct):
    unit_id: str
    grade: int
    source: str
    occurred_at: datetime
    received_at: datetime
    synthetic: bool = False
    dimensions: dict[str, int | None] | None = None


class _Rated(msgspec.Struct):
    city: str
    county: str
    unit_id: str
    grade: Annotated[int, msgspec.Meta(ge=1, le=5)]
    source: str
    kind: str | None = None
    dimensions: dict[str, int | None] | None = None


class _Submitted(msgspec.Struct):
    id: str
    time: datetime
    receivedat: Annotated[datetime, msgspec.Meta(tz=True)]
    data: _Rated
    synthetic: bool = False


class _Data(msgspec.Struct):
    city: str
    county: str
    target_id: str = ""
    target: _Counted | None = None
    corrected: _Counted | None = None


class _Event(msgspec.Struct):
    id: str
    time: datetime
    receivedat: datetime
    data: _Data
    synthetic: bool = False


class _Positions(msgspec.Struct):
    positions: dict[str, int] = {}


class _Revised(msgspec.Struct):
    data: _Positions


_decode_submitted = msgspec.json.Decoder(_Submitted).decode
_decode = msgspec.json.Decoder(_Event).decode
_decode_revised = msgspec.json.Decoder(_Revised).decode


class WatchFold:
    """Keeps a `Watch` up to date, and has it looked at."""

    def __init__(
        self, watch: Watch, units: UnitRegistry, metrics: NotifyMetrics, early: EarlyRaising | None = None
    ) -> None:
        """Fold into `watch`; kinds of windows come from `units`. `early` is shown each rating, too."""
        self._watch = watch
        self._early = early
        self._units = units
        self._metrics = metrics

    async def run(
        self,
        client: Client,
        since: datetime,
        look: Callable[[], Awaitable[object]],
        look_at_rankings: Callable[[], Awaitable[object]],
    ) -> None:
        """Follow the stream from `since` on until cancelled; look whenever its end is reached.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        first = await first_since(client, FEEDBACK, since)
        reader = FoldReader(client, FEEDBACK, after=first - 1, pace_s=PACE_S)
        now = asyncio.get_running_loop().time
        look_due, ranking_due = now(), now() + RANKING_EVERY_S
        history = True
        try:
            while True:
                messages = await reader.take(wait_s=PAUSE_S)
                for message in messages:
                    self.fold(message)
                self._metrics.watched.inc(len(messages))
                if reader.caught_up and history:
                    history = False
                    if self._early is not None:
                        self._early.begin(reader.position)
                if reader.caught_up and now() >= look_due:
                    try:
                        await look()
                        if now() >= ranking_due:
                            ranking_due = now() + RANKING_EVERY_S
                            await look_at_rankings()
                    except TransientError as error:
                        log.warning("watch_waits", reason=str(error))
                    look_due = now() + PAUSE_S
        finally:
            await reader.close()

    def fold(self, message: StoredMessage) -> None:
        """Take one message in; one that can't be read is left out: its consumer dead-letters it."""
        try:
            if message.subject.startswith(SUBMITTED):
                self._submitted(message)
                return
            event = _decode(message.data)
        except msgspec.DecodeError as error:
            log.warning("watch_skips", sequence=message.sequence, reason=str(error))
            return
        if event.data.target is not None:
            self._revised(message.subject.split(".")[FACT], event, event.data.target)

    def _submitted(self, message: StoredMessage) -> None:
        try:
            event = _decode_submitted(message.data)
        except msgspec.DecodeError:
            if self._early is not None:
                self._early.leave(message)
            raise
        data, watch, sequence = event.data, self._watch, message.sequence
        if self._early is not None:
            self._early.look(message, data.grade, event.receivedat)
        if event.synthetic or data.source != PUBLIC:
            return
        issues = () if data.dimensions is None else watch.issues_of(data.dimensions)
        if data.grade > watch.worst_grade and not issues:
            place = (data.city, data.county)
            watch.seen(data.unit_id, place, hour_of(event.time), event.receivedat, sequence)
            return
        rating = Rating(
            event.id,
            data.unit_id,
            data.city,
            data.county,
            self._kind(data.unit_id, data.kind),
            data.grade,
            event.time,
            event.receivedat,
            issues=issues,
        )
        watch.rated(rating, sequence)

    def _revised(self, fact: str, event: _Event, target: _Counted) -> None:
        rating = self._rating(event, target)
        if fact in OUT:
            self._watch.taken_out(rating, event_id=event.id, held=fact == HELD)
        elif fact in BACK:
            self._watch.put_back(rating)
        elif fact == "corrected" and event.data.corrected is not None:
            self._watch.corrected(rating, self._rating(event, event.data.corrected))

    def _rating(self, event: _Event, fields: _Counted) -> Rating:
        return Rating(
            event.data.target_id,
            fields.unit_id,
            event.data.city,
            event.data.county,
            self._kind(fields.unit_id, None),
            fields.grade,
            fields.occurred_at,
            event.receivedat,
            counted=not fields.synthetic and fields.source == PUBLIC,
            issues=self._watch.issues_of(fields.dimensions),
        )

    def _kind(self, unit_id: str, kind: str | None) -> str:
        if kind is not None:
            return kind
        return self._units.get(unit_id).kind if unit_id in self._units else ""


async def first_since(client: Client, stream: str, since: datetime) -> int:
    """Return the first sequence of a stream that was stored at `since` or later; else the next one."""
    jetstream = client.jetstream(timeout=5)
    state = (await jetstream.stream_info(stream)).state
    low, high = max(1, state.first_seq), state.last_seq + 1
    while low < high:
        middle = (low + high) // 2
        try:
            message = await jetstream.get_msg(stream, middle)
        except NotFoundError:
            low = middle + 1  # deleted, or expired meanwhile
            continue
        if message.time is not None and message.time < since:
            low = middle + 1
        else:
            high = middle
    return low


async def ranked_position(client: Client) -> int | None:
    """Return the last sequence of FEEDBACK that the newest announcement of a ranking contains."""
    try:
        message = await client.jetstream(timeout=5).get_last_msg(RANKING, REVISED)
    except NotFoundError:
        return None
    return _decode_revised(message.data or b"").data.positions.get(FEEDBACK)
