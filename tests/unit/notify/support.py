"""Facts, events and fakes for the unit tests of notify."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.notify.application.translation import acknowledgement_of, alert_of, delivery_of
from services.notify.domain.alert import Alert, AlertStatus
from services.notify.domain.book import AlertBook, AlertFilter
from services.notify.domain.channels import Disabled, Endpoint
from services.notify.domain.facts import Band, Cause, Review, ScoreMove
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    Envelope,
    FeedbackSubmitted,
    Provenance,
    UnitScoreChanged,
    spec_for_data,
)
from shared.kernel.grades import Grade
from shared.kernel.ids import derived_id
from shared.rules import RulePack, Severity, load_pack

NOW = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
PACK = load_pack(None, date(2026, 11, 20))
CAUSE = Cause("cause-1", NOW, "U000112", "东湖区婚姻登记处", "3601", "360102")


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime = NOW) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class OnePack:
    """Plays `RulePacks` with the same pack on every day."""

    def on(self, day: date) -> RulePack:
        del day
        return PACK


class Stream:
    """Plays `Publisher` and `AlertStates`: a stream in memory, folded at once; ``fault`` may refuse."""

    def __init__(self) -> None:
        self.events: list[Envelope[Any]] = []
        self.book = AlertBook()
        self.fault: Callable[[Envelope[Any]], None] = lambda _event: None

    def of(self, data: type[Any]) -> list[Envelope[Any]]:
        return [event for event in self.events if isinstance(event.data, data)]

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        del city, county
        self.fault(envelope)
        ids = [event.id for event in self.events]
        if envelope.id in ids:
            return ids.index(envelope.id) + 1
        self.events.append(envelope)
        sequence = len(self.events)
        if isinstance(envelope.data, AlertRaised):
            self.book.raised(
                alert_of(envelope), sequence=sequence, channels=envelope.data.channels, raised_at=NOW
            )
        elif isinstance(envelope.data, AlertDelivered | AlertDeliveryFailed):
            self.book.settled(envelope.data.alert_id, delivery_of(envelope))
        elif isinstance(envelope.data, AlertAcknowledged):
            self.book.acknowledged(envelope.data.alert_id, acknowledgement_of(envelope))
        return sequence

    def known(self, alert_id: str) -> bool:
        return alert_id in self.book

    def delivered(self, alert_id: str, channel: str) -> bool:
        return self.book.delivered(alert_id, channel)

    def disabled(self, endpoint: Endpoint) -> Disabled | None:
        del endpoint
        return None

    def get(self, alert_id: str) -> AlertStatus | None:
        return self.book.get(alert_id)

    def page(self, wanted: AlertFilter, *, limit: int, before: int | None = None) -> tuple[AlertStatus, ...]:
        return self.book.page(wanted, limit=limit, before=before)

    async def reach(self, sequence: int) -> None:
        assert sequence <= len(self.events)


def review(grade: int) -> Review:
    return Review(CAUSE, Grade(grade))


def move(
    *,
    rank: int | None = None,
    previous_rank: int | None = None,
    band: Band | None = None,
    previous_band: Band | None = None,
    window_days: int = 30,
    day: date = date(2026, 11, 20),
    day_start_rank: int | None = None,
) -> ScoreMove:
    return ScoreMove(
        cause=CAUSE,
        ranking="window.marriage.30",
        window_days=window_days,
        rank=rank,
        previous_rank=previous_rank,
        day=day,
        day_start_rank=day_start_rank,
        score=81.5,
        band=band,
        previous_band=previous_band,
        ratings=40,
    )


def alert(number: int = 1, **changes: Any) -> Alert:  # noqa: ANN401 - fields of Alert
    fields: dict[str, Any] = {
        "alert_id": derived_id("test-alert", str(number)),
        "rule": "bad_review",
        "severity": Severity.WARNING,
        "known_at": NOW,
        "unit_id": f"U{number % 5:06d}",
        "unit_name": "东湖区婚姻登记处",
        "city": "3601",
        "county": "360102",
        "title": "东湖区婚姻登记处收到差评",
        "body": "请责任人尽快核实。",
        "evidence": (f"event-{number}",),
        "figures": {"grade": "1", "threshold": "1,2"},
    }
    return Alert(**fields | changes)


def feedback(
    grade: int = 1,
    *,
    number: int = 1,
    unit_id: str = "U000112",
    received_at: datetime = NOW,
    occurred_before: timedelta = timedelta(0),
    synthetic: bool = False,
) -> Envelope[FeedbackSubmitted]:
    data = FeedbackSubmitted.model_validate(
        {
            "unit_id": unit_id,
            "level": "window",
            "kind": "marriage",
            "city": "3601",
            "county": "360102",
            "grade": grade,
            "source": "public",
            "channel": "hotline",
            "verification": "onsite",
            "citizen_hmac": "k1." + "cd" * 16,
            "digest": "k1." + "ab" * 16,
        }
    )
    return spec_for_data(FeedbackSubmitted).wrap(
        data,
        event_id=f"feedback-{number}",
        source="intake",
        subject=unit_id,
        time=received_at - occurred_before,
        received_at=received_at,
        provenance=Provenance("request-1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
        synthetic=synthetic,
    )


def score_changed(*, rank: int, previous_rank: int, synthetic: bool = False) -> Envelope[UnitScoreChanged]:
    data = UnitScoreChanged.model_validate(
        {
            "unit_id": "U000112",
            "name": "东湖区婚姻登记处",
            "level": "window",
            "kind": "marriage",
            "list": "window.marriage.30",
            "window_days": 30,
            "as_of": "2026-11-20",
            "reasons": ["rank"],
            "rank": rank,
            "previous_rank": previous_rank,
            "score": 81.5,
            "ratings": 40,
        }
    )
    return spec_for_data(UnitScoreChanged).wrap(
        data,
        event_id=f"score-changed-{rank}",
        source="scoring",
        subject="U000112",
        time=NOW,
        received_at=NOW,
        provenance=Provenance("request-1"),
        synthetic=synthetic,
    )
