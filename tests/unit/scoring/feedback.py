"""Makes feedback for scoring's tests: events as intake publishes them, ratings as the ledger takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from services.scoring.domain.ratings import PUBLIC, Rating
from shared.events import FeedbackSubmitted, Provenance, spec_for_data
from shared.kernel.clock import SHANGHAI
from shared.kernel.grades import Channel, Grade, Level, Source, Verification
from shared.kernel.ids import derived_id
from shared.kernel.units import Unit
from shared.messaging.group_commit import Outgoing

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=SHANGHAI)
SPEC = spec_for_data(FeedbackSubmitted)


@dataclass(frozen=True, slots=True)
class Message:
    """What the fold needs of a stored message."""

    subject: str
    data: bytes
    sequence: int


def hmac(number: int) -> str:
    """A keyed HMAC as intake writes it."""
    return f"k1.{number:032x}"


def event_id(number: int) -> str:
    return derived_id("test-feedback", str(number))


def feedback(
    unit: Unit,
    *,
    number: int,
    grade: int = 5,
    occurred_at: datetime = NOW,
    received_at: datetime | None = None,
    verification: Verification = Verification.TRANSACTION,
    citizen: int | None = None,
    transaction: int | None = None,
    synthetic: bool = False,
    channel: Channel = Channel.TERMINAL,
) -> Outgoing:
    """One valid event, ready for the broker."""
    data = FeedbackSubmitted(
        unit_id=unit.unit_id,
        level=unit.level,
        kind=unit.kind if unit.level is Level.WINDOW else None,
        city=unit.city,
        county=unit.county,
        grade=Grade(grade),
        source=Source.PUBLIC,
        channel=channel,
        verification=verification,
        citizen_hmac=None if citizen is None else hmac(citizen),
        transaction_hmac=None if transaction is None else hmac(transaction),
        digest=hmac(number),
    )
    envelope = SPEC.wrap(
        data,
        event_id=event_id(number),
        source="intake",
        subject=unit.unit_id,
        time=occurred_at,
        received_at=received_at if received_at is not None else occurred_at,
        provenance=Provenance(correlation_id=event_id(number)),
        synthetic=synthetic,
    )
    return Outgoing(SPEC.subject_for(unit.city, unit.county), envelope.id, envelope.to_json())


def messages(events: Sequence[Outgoing]) -> list[Message]:
    """The events as a stream would hand them out."""
    return [Message(event.subject, event.payload, number) for number, event in enumerate(events, 1)]


def none_is_invalid(message: object, error: Exception) -> None:
    """For folds of valid feedback only."""
    raise AssertionError(message) from error


def random_feedback(
    units: Sequence[Unit], count: int, seed: int, *, first: int = 0, now: datetime = NOW
) -> list[Outgoing]:
    """Seeded feedback of the ten days before ``now``, with repeats and replacements among it."""
    random = Random(seed)
    made: list[Outgoing] = []
    for number in range(first, first + count):
        if made and random.random() < 0.03:
            made.append(random.choice(made[-50:]))
            continue
        unit = random.choice(units)
        citizen = random.randrange(count // 4 + 1) if random.random() < 0.5 else None
        occurred_at = now - timedelta(hours=1, minutes=random.randrange(10 * 24 * 60))
        made.append(
            feedback(
                unit,
                number=number,
                grade=random.choices((1, 2, 3, 4, 5), (4, 6, 15, 30, 45))[0],
                occurred_at=occurred_at,
                received_at=occurred_at + timedelta(seconds=random.randrange(1000)),
                verification=random.choice(list(Verification)),
                citizen=citizen,
                transaction=citizen,
            )
        )
    return made


def fingerprint(number: int) -> bytes:
    """What a cluster goes by."""
    return number.to_bytes(8, "big")


def rating(
    number: int,
    *,
    unit: int = 0,
    grade: int = 5,
    weight_milli: int = 1000,
    occurred_ms: int = 0,
    received_ms: int | None = None,
    repeat_key: bytes | None = None,
    synthetic: bool = False,
    fingerprints: tuple[bytes, ...] = (),
    source: int = PUBLIC,
    place: int = 0,
    dimensions: bytes | None = None,
    proven: bool = False,
) -> Rating:
    """One rating for the ledger."""
    return Rating(
        number.to_bytes(16, "big"),
        unit,
        grade,
        weight_milli,
        occurred_ms,
        occurred_ms if received_ms is None else received_ms,
        repeat_key,
        synthetic,
        source,
        place,
        fingerprints,
        dimensions,
        proven,
    )
