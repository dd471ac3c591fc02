"""The fold of FEEDBACK that counts: where surges and the like are seen, from the baseline's first day on.

Only the few fields that are counted, or that say whether a rule may fire, are taken out of a message, once. A
rating that nothing is bad about leaves by the shortest way.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from services.notify.application.judging import Glance
from services.notify.domain.watch import Rating, Watch, hour_of
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import TransientError, describe
from shared.kernel.units import UnitRegistry
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK, RANKING

log = structlog.get_logger(__name__)
SUBMITTED: Final = "feedback.v1.submitted."
FACT: Final = 2
PUBLIC: Final = "public"
HELD: Final = "quarantined"
OUT: Final = frozenset({HELD, "excluded", "withdrawn"})
BACK: Final = frozenset({"released", "reinstated"})
REVISED: Final = "ranking.v1.revised.>"


class RankingUnreadableError(TransientError):
    """Nobody can tell how far the newest ranking reaches."""


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


def _all_quiet(_grade: int, _received_at: datetime) -> bool:
    return True


class WatchFold:
    """Keeps a `Watch` up to date, and says at a glance which ratings need to be judged."""

    def __init__(
        self, watch: Watch, units: UnitRegistry, quiet: Callable[[int, datetime], bool] = _all_quiet
    ) -> None:
        """Fold into `watch`; kinds of windows come from `units`.

        `quiet` says of a grade and the time of receipt that no rule can fire on such a rating.
        """
        self._watch = watch
        self._units = units
        self._quiet = quiet

    def fold(self, message: StoredMessage) -> Glance:
        """Count one message; one that can't be read is left out: whoever judges it dead-letters it."""
        try:
            if message.subject.startswith(SUBMITTED):
                event = _decode_submitted(message.data)
                self._submitted(event, message.sequence)
                return self._glance(event)
            revision = _decode(message.data)
        except UNREADABLE as error:
            log.warning("watch_skips", sequence=message.sequence, reason=str(error))
            return Glance.CONCERN if message.subject.startswith(SUBMITTED) else Glance.OTHER
        if revision.data.target is not None:
            self._revised(message.subject.split(".")[FACT], revision, revision.data.target)
        return Glance.OTHER

    def glance(self, message: StoredMessage) -> Glance:
        """Say the same of a message without counting it."""
        if not message.subject.startswith(SUBMITTED):
            return Glance.OTHER
        try:
            return self._glance(_decode_submitted(message.data))
        except UNREADABLE:
            return Glance.CONCERN

    def _glance(self, event: _Submitted) -> Glance:
        return Glance.QUIET if self._quiet(event.data.grade, event.receivedat) else Glance.CONCERN

    def _submitted(self, event: _Submitted, sequence: int) -> None:
        data, watch = event.data, self._watch
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
    """Return the last sequence of FEEDBACK that the newest announcement of a ranking contains.

    Raises:
        RankingUnreadableError: it says nothing of the kind.
        BrokerUnavailableError: no answer.
    """
    try:
        message = await client.jetstream(timeout=5).get_last_msg(RANKING, REVISED)
    except NotFoundError:
        return None
    except (NatsError, TimeoutError, OSError) as error:
        raise BrokerUnavailableError(
            describe(f"no answer about {RANKING} ({error!r})", "its newest ranking", "it is asked again")
        ) from error
    try:
        return _decode_revised(message.data or b"").data.positions.get(FEEDBACK)
    except UNREADABLE as error:
        raise RankingUnreadableError(
            describe(
                f"sequence {message.seq} of {RANKING}",
                f"a RankingRevised with its positions ({error})",
                "the next one is looked at",
            )
        ) from error
