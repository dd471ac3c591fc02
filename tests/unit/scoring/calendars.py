"""A platform whose days pass, so that periods close; and ratings of one month with decisions about them."""

from datetime import date, datetime

from services.scoring.application.fold import Fold
from services.scoring.application.published import PublishedList
from shared.events import (
    Envelope,
    EventData,
    FeedbackExcluded,
    FeedbackReinstated,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.clock import SHANGHAI
from shared.messaging.group_commit import Outgoing
from shared.testing import builders
from tests.unit.scoring.feedback import event_id, feedback
from tests.unit.scoring.publishing import RULES, UNITS, WINDOWS, Platform

OCTOBER = "2026-10"
KEY = f"window.{WINDOWS[0].kind}.{OCTOBER}"
LAST_OPEN = date(2026, 11, 30)


def noon(day: date) -> datetime:
    """Noon of a day."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=SHANGHAI)


def october(count: int, grade: int = 5, first: int = 0, received: datetime | None = None) -> list[Outgoing]:
    """Ratings of the first window, in the middle of the month."""
    return [
        feedback(
            WINDOWS[0], number=first + number, grade=grade, occurred_at=noon(date(2026, 10, 15)),
            received_at=received,
        )
        for number in range(count)
    ]  # fmt: skip


def exclusion(number: int) -> Outgoing:
    """Somebody excludes the rating ``number`` of `october`."""
    return _decided(FeedbackExcluded, builders.feedback_excluded(**_target(number)))


def reinstatement(number: int) -> Outgoing:
    """Somebody takes the exclusion back."""
    return _decided(FeedbackReinstated, builders.feedback_reinstated(**_target(number), target_revision=2))


def _target(number: int) -> dict[str, object]:
    moment = noon(date(2026, 10, 15))
    return {
        "target_id": event_id(number),
        "target": {
            "unit_id": WINDOWS[0].unit_id, "grade": 5, "source": "public", "channel": "terminal",
            "verification": "transaction", "occurred_at": moment, "received_at": moment,
        },
    }  # fmt: skip


def _decided(kind: type[EventData], data: EventData) -> Outgoing:
    envelope = builders.envelope_of(data)
    return Outgoing(spec_for_data(kind).subject_for(), envelope.id, envelope.to_json())


class Calendar(Platform):
    """A platform whose days can pass."""

    def __init__(self, today: date) -> None:
        self.today = today
        super().__init__()
        self.fold = Fold(UNITS, RULES, today)

    async def on(self, day: date) -> bool:
        """Publish on ``day``."""
        self.clock.time = noon(day)
        self.fold.advance(day)
        self.today = day
        return await self.publish()

    async def restarted(self) -> None:
        """Fold everything anew in a new life."""
        self.restart()
        self.fold = Fold(UNITS, RULES, self.today)
        self.take(self.stream)

    def said(self, kind: type[EventData]) -> list[Envelope[EventData]]:
        spec = spec_for_data(kind)
        return [
            parse_envelope(spec.envelope, each.payload)
            for each in self.events.sent
            if f".{spec.fact}." in each.subject
        ]

    async def stands(self) -> PublishedList:
        return (await self.live())[KEY]
