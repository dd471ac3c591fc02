"""One assessor has one vote on a unit at a time, whatever else the ballots say."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType

import pytest

from services.intake.application.envelopes import submitted_message
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Contact
from services.scoring.application.fold import Fold
from shared.events import Envelope, FeedbackSubmitted, parse_envelope
from shared.kernel.grades import Channel, Source
from shared.messaging.stored import StoredMessage
from shared.rules import load_pack
from tests.unit.intake.port_suites import PSEUDONYMS, UNITS, prepared

DAY = date(2026, 7, 1)


def ballot(
    number: int = 1, said: Mapping[str, str] = MappingProxyType({}), under: Pseudonyms = PSEUDONYMS
) -> bytes:
    """A ballot's event: of the assessor with the card A-002 on U000200, if not ``said`` otherwise."""
    contact = Contact(account=said.get("card", "A-002"), phone=said.get("phone"))
    rating = prepared(f"ballot-{number}", unit_id=said.get("unit_id", "U000200"), grade=1 + number % 5)
    submission = rating.submission._replace(
        channel=Channel.ASSESSOR,
        source=Source.SOCIAL,
        contact=contact,
        transaction_id=said.get("transaction_id"),
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
    )
    return submitted_message(rating._replace(submission=submission), None, None, under).payload


def vote(body: bytes) -> tuple[str | None, str | None]:
    data = parse_envelope(Envelope[FeedbackSubmitted], body).data
    assert data.citizen_hmac is not None
    assert data.transaction_hmac is not None
    return data.citizen_hmac, data.transaction_hmac


@pytest.mark.parametrize(
    "said",
    [
        {"card": " a-002 "},
        {"card": "Ａ－００２"},
        {"phone": "13812345678"},
        {"transaction_id": "T-1"},
        {"transaction_id": "T-2", "phone": "13900000000"},
    ],
    ids=str,
)
def test_it_is_the_same_vote(said: dict[str, str]) -> None:
    assert vote(ballot(2, said)) == vote(ballot())


@pytest.mark.parametrize("said", [{"card": "A-003"}, {"unit_id": "U000201"}], ids=str)
def test_it_is_another_vote(said: dict[str, str]) -> None:
    assert vote(ballot(2, said)) != vote(ballot())


def test_it_is_the_same_vote_while_keys_change() -> None:
    newer = Pseudonyms("k2", b"2" * 32, earlier=(PSEUDONYMS,))
    aliases = parse_envelope(
        Envelope[FeedbackSubmitted], ballot(2, {"transaction_id": "T-9"}, newer)
    ).data.aliases
    assert aliases is not None
    assert [(each.citizen_hmac, each.transaction_hmac) for each in aliases] == [vote(ballot())]


def test_of_sixty_ballots_of_one_assessor_the_last_one_counts() -> None:
    fold = Fold(UNITS, load_pack(None, DAY), DAY)
    bodies = [ballot(number, {"transaction_id": f"T-{number}"}) for number in range(60)]
    fold.take(
        [
            StoredMessage("feedback.v1.submitted.3601.360102", body, "FEEDBACK", at, at, 1, 0, 0, "")
            for at, body in enumerate(bodies, 1)
        ],
        lambda _message, error: pytest.fail(str(error)),
    )
    books = fold.books()
    assert (books.accepted, books.replaced) == (60, 59)
