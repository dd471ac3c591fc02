"""What a rule of notify would have raised: history once more, nothing sent."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nats.aio.client import Client

from deploy.local.broker import cli_connection
from deploy.local.errors import LocalError
from deploy.local.history.archive import read_entries
from deploy.local.layout import Layout
from services.notify.adapters.watch_fold import WatchFold, first_since
from services.notify.application.case_alerts import case_fact_of
from services.notify.application.list_alerts import named_alerts, quarter_alerts
from services.notify.application.sanction_alerts import sanction_fact_of
from services.notify.application.translation import (
    divergence_of,
    flag_of,
    letter_of,
    move_of,
    off_of,
    review_of,
)
from services.notify.application.watching import watch_alerts
from services.notify.domain.alert import Alert
from services.notify.domain.case_rules import case_alerts
from services.notify.domain.catalogue import RULES
from services.notify.domain.rules import review_alerts, score_alerts, stream_diverged
from services.notify.domain.sanction_rules import sanction_alerts
from services.notify.domain.watch import Watch, start_of
from services.notify.domain.watch_rules import channel_disabled, dead_letter, too_good
from services.notify.entrypoints.case_messages import needs_a_look
from shared.events import (
    Envelope,
    EventData,
    FeedbackSubmitted,
    InvalidEventError,
    MessageDeadLettered,
    PeriodClosed,
    StreamDiverged,
    UnitFlagged,
    UnitScoreChanged,
    parse_envelope,
    parse_event,
)
from shared.events.endpoints import EndpointDisabled
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ALERTS, AUDIT, CASES, DEADLETTER, FEEDBACK, INTEGRITY, RANKING, REGISTRY
from shared.rules import RulePack

COUNTED: Final = frozenset({"surge", "quarantine_share"})
"""Rules that need every event of FEEDBACK, also those before the time asked for."""

_Judge = Callable[[Envelope[Any], RulePack, UnitRegistry], tuple[Alert, ...]]


def _flagged(event: Envelope[Any], pack: RulePack, units: UnitRegistry) -> tuple[Alert, ...]:
    found = too_good(flag_of(event, units), pack)
    return () if found is None else (found,)


def _sanction(event: Envelope[Any], pack: RulePack, units: UnitRegistry) -> tuple[Alert, ...]:
    return sanction_alerts(sanction_fact_of(event, units), pack)


SOURCES: Final[Mapping[str, tuple[str, str, type[EventData] | None, _Judge]]] = {
    "bad_review": (
        FEEDBACK, "feedback.v1.submitted.", FeedbackSubmitted,
        lambda event, pack, units: review_alerts(review_of(event, units), pack),
    ),
    **dict.fromkeys(
        ("rank_drop", "band_change"),
        (
            RANKING, "ranking.v1.score-changed.", UnitScoreChanged,
            lambda event, pack, units: score_alerts(move_of(event, units), pack),
        ),
    ),
    "too_good": (INTEGRITY, "integrity.v1.unit-flagged.", UnitFlagged, _flagged),
    "dead_letters": (
        DEADLETTER, "deadletter.v1.rejected.", MessageDeadLettered,
        lambda event, pack, _units: (dead_letter(letter_of(event), pack),),
    ),
    "stream_diverged": (
        AUDIT, "audit.v1.stream-diverged.", StreamDiverged,
        lambda event, _pack, _units: (stream_diverged(divergence_of(event)),),
    ),
    "channel_disabled": (
        ALERTS, "alerts.v1.endpoint-disabled", EndpointDisabled,
        lambda event, _pack, _units: (channel_disabled(off_of(event)),),
    ),
    **dict.fromkeys(
        (
            "case_opened", "case_assigned", "case_clock", "case_overdue", "case_reopened",
            "case_refused_again",
        ),
        (
            CASES, "cases.v1.changed.", None,
            lambda event, pack, units: case_alerts(case_fact_of(event, units), pack),
        ),
    ),
    "strike": (REGISTRY, "sanctions.v1.strike.", None, _sanction),
    **dict.fromkeys(
        ("sanction_to_decide", "sanction_step"), (REGISTRY, "sanctions.v1.sanction.", None, _sanction)
    ),
    **dict.fromkeys(
        ("nomination_step", "nomination_to_confirm"),
        (REGISTRY, "sanctions.v1.nomination.", None, named_alerts),
    ),
    "talk_candidate": (REGISTRY, "sanctions.v1.candidate.", None, named_alerts),
    "quarterly_check": (RANKING, "ranking.v1.period-closed.", PeriodClosed, quarter_alerts),
}  # fmt: skip
"""For each rule over single events: stream, start of the subject, event, how it is judged.

None: facts of many types share the subject, and each says by its type what it is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to replay: a rule, from a moment up to another, under a pack.

    Attributes:
        archive: read the archive instead of the streams.
    """

    rule: str
    start: datetime
    end: datetime
    pack: RulePack
    archive: bool = False


async def replay_rule(layout: Layout, asked: Asked, units: UnitRegistry) -> tuple[list[Alert], int]:
    """Return what would have fired, each alert once, oldest first, and how many events were looked at.

    Raises:
        LocalError: no such rule, or one that no history shows.
        PingyiError: the platform can't be read.
    """
    if asked.rule not in {*SOURCES, *COUNTED}:
        known = ", ".join(each for each in RULES if each in {*SOURCES, *COUNTED})
        raise LocalError(describe(asked.rule, f"one of {known}", "name a rule that history shows"))
    found: dict[str, Alert] = {}
    looked = 0
    watch = Watch(asked.pack.alerts.surge)
    fold = WatchFold(watch, units)
    stream = FEEDBACK if asked.rule in COUNTED else SOURCES[asked.rule][0]
    since = start_of(asked.pack.alerts.surge, asked.start) if asked.rule in COUNTED else asked.start
    async with aclosing(_messages(layout, asked, stream, since)) as messages:
        async for message in messages:
            looked += 1
            if asked.rule in COUNTED:
                fold.fold(message)
                alerts = _counted(watch, message, asked, units)
            else:
                alerts = _single(message, asked, units)
            for alert in alerts:
                if alert.rule == asked.rule and asked.start <= alert.known_at < asked.end:
                    found.setdefault(alert.alert_id, alert)
    return sorted(found.values(), key=lambda each: (each.known_at, each.alert_id)), looked


class _At:
    """A clock that stands at the moment of an event."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment


def _counted(watch: Watch, message: StoredMessage, asked: Asked, units: UnitRegistry) -> tuple[Alert, ...]:
    if not watch.touched_places and not watch.touched_units:
        return ()
    at = datetime.fromtimestamp(message.published_ns / 1e9, asked.start.tzinfo)
    if at < asked.start:
        watch.touched_places.clear()
        watch.touched_units.clear()
        return ()
    return watch_alerts(watch, asked.pack, units, _At(at))


def _single(message: StoredMessage, asked: Asked, units: UnitRegistry) -> tuple[Alert, ...]:
    stream, subject, data, judge = SOURCES[asked.rule]
    if not message.subject.startswith(subject):
        return ()
    try:
        if data is not None:
            event = parse_envelope(Envelope[data], message.data)  # type: ignore[valid-type]  # a runtime parametrisation
        elif stream != CASES or needs_a_look(message.data):
            event = parse_event(message.data)
        else:
            return ()
    except InvalidEventError:
        return ()  # a dead letter, then as now
    return () if event.synthetic else judge(event, asked.pack, units)


async def _messages(
    layout: Layout, asked: Asked, stream: str, since: datetime
) -> AsyncGenerator[StoredMessage, None]:
    if asked.archive:
        for page in read_entries(layout.service_url("archive"), stream=stream, order="asc"):
            for entry in page:
                body = bytes(entry.event)
                received = _received_ns(body)
                if received is not None and since.timestamp() * 1e9 <= received < asked.end.timestamp() * 1e9:
                    yield _stored(stream, entry.subject, body, entry.sequence, received)
        return
    async with cli_connection(layout) as client:
        async for message in _streamed(client, stream, since, asked.end):
            yield message


async def _streamed(
    client: Client, stream: str, since: datetime, end: datetime
) -> AsyncGenerator[StoredMessage, None]:
    reader = FoldReader(client, stream, after=await first_since(client, stream, since) - 1)
    try:
        while True:
            for message in await reader.take(wait_s=0.2):
                if message.published_ns >= end.timestamp() * 1e9:
                    return
                yield message
            if reader.caught_up:
                return
    finally:
        await reader.close()


def _received_ns(body: bytes) -> int | None:
    at = body.find(b'"receivedat":"')
    if at < 0:
        return None
    text = body[at + 14 : body.index(b'"', at + 14)].decode()
    return round(datetime.fromisoformat(text).timestamp() * 1e9)


def _stored(stream: str, subject: str, body: bytes, sequence: int, received_ns: int) -> StoredMessage:
    return StoredMessage(subject, body, stream, sequence, sequence, 1, 0, received_ns, "")
