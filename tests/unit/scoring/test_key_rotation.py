"""Intake changes the key of its pseudonyms: what counts stays what the oracle counts, who knows everybody."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.rules import RulePacks
from services.intake.application.envelopes import submitted_message
from services.intake.application.prepared import Preparer
from services.intake.domain.event_ids import EventIds
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Contact, Submission
from services.intake.domain.tokens import TokenMint
from services.scoring.application.parsing import RatingParser
from services.scoring.domain.aliases import Aliases
from services.scoring.domain.days import DAY_MS
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.ratings import Rating, Revision, State
from shared.events import Provenance
from shared.kernel.clock import SystemClock
from shared.kernel.grades import Channel, Source
from shared.kernel.units import load_units
from tests.support.properties import retried
from tests.unit.scoring import full_oracle
from tests.unit.scoring.feedback import fingerprint, rating
from tests.unit.scoring.full_oracle import Event
from tests.unit.scoring.test_ledger_decisions import (
    NOON_MS,
    RULES,
    assert_equal,
    folded,
    histories,
    revived,
)

OVERLAP_DAYS = 35
"""How long the earlier key stays live: longer than a rating may replace another, or be late."""


def live_keys(received_ms: int, changes_ms: Sequence[int]) -> list[int]:
    """Numbers of the keys that are live at a moment, the newest first; key n + 1 begins at change n."""
    newest = sum(received_ms >= each for each in changes_ms)
    overlapping = [
        n for n, each in enumerate(changes_ms) if each <= received_ms < each + OVERLAP_DAYS * DAY_MS
    ]
    return [newest, *(each for each in reversed(overlapping) if each != newest)]


def keyed(value: bytes, key: int, length: int) -> bytes:
    return hashlib.sha256(value + bytes([key])).digest()[:length]


def as_published(known: Rating, changes_ms: Sequence[int]) -> Rating:
    """The rating as intake names its people under the keys that were live when it came."""
    keys = live_keys(known.received_ms, changes_ms)
    pair = known.repeat_key
    return known._replace(
        repeat_key=None if pair is None else b"".join(keyed(pair, key, 16) for key in keys),
        fingerprints=tuple(keyed(each, key, 8) for key in keys for each in known.fingerprints),
    )


def published(events: Sequence[Event], changes_ms: Sequence[int]) -> list[Event]:
    return [
        as_published(event, changes_ms)
        if isinstance(event, Rating)
        else event._replace(
            submitted=as_published(event.submitted, changes_ms),
            standing=as_published(event.standing, changes_ms),
        )
        for event in events
    ]


@retried(1000)
@given(histories(), st.integers(0, 4 * 24), st.integers(1, 2))
def test_a_change_of_keys_in_the_middle_changes_nothing_in_any_order(
    events: list[Event], hours_ago: int, changes_made: int
) -> None:
    change_ms = NOON_MS - hours_ago * 3_600_000
    changes = [change_ms, change_ms + 6 * 3_600_000][:changes_made]
    expected = full_oracle.judge(events, RULES.lateness_days, RULES.replacement_days)
    ledger = folded(published(events, changes))
    assert_equal(ledger, expected)
    assert_equal(revived(ledger), expected)


@st.composite
def long_runs(draw: st.DrawFn) -> list[Event]:
    """Four months of a few citizens who rate again and again, in the order of receipt."""
    events: list[Event] = []
    received_ms = NOON_MS - 120 * DAY_MS
    for number in range(draw(st.integers(1, 16))):
        received_ms += draw(st.sampled_from([1, 3, 9, 15, 29, 30])) * DAY_MS // 3
        if received_ms > NOON_MS:
            break
        behind_ms = draw(st.sampled_from([0, 0, DAY_MS, 29 * DAY_MS, 31 * DAY_MS]))
        one = rating(
            number,
            grade=draw(st.integers(1, 5)),
            occurred_ms=received_ms - behind_ms,
            received_ms=received_ms,
            repeat_key=draw(st.sampled_from([b"a" * 16, b"a" * 16, b"b" * 16, None])),
            fingerprints=(fingerprint(draw(st.integers(1, 2))),),
        )
        events.append(one)
        if draw(st.sampled_from([False, False, True])):
            events.append(Revision(1, draw(st.sampled_from(list(State))), one, one))
    return events


@retried(1000)
@given(long_runs(), st.integers(-118, -5), st.integers(36, 60))
def test_keys_come_and_go_for_months_and_every_replacement_is_found(
    events: list[Event], first_day: int, apart_days: int
) -> None:
    changes = [NOON_MS + first_day * DAY_MS + n * apart_days * DAY_MS for n in range(3)]
    expected = full_oracle.judge(events, RULES.lateness_days, RULES.replacement_days)
    assert_equal(folded(published(events, changes)), expected)


def test_without_aliases_a_change_of_keys_would_be_noticed() -> None:
    """The tests above can fail: names under the newest key alone lose a replacement."""
    pair = b"a" * 16
    events: list[Event] = [
        rating(1, occurred_ms=NOON_MS - DAY_MS, repeat_key=pair),
        rating(2, occurred_ms=NOON_MS, repeat_key=pair),
    ]
    change_ms = NOON_MS - DAY_MS // 2
    bare: list[Event] = []
    for event in published(events, [change_ms]):
        assert isinstance(event, Rating)
        bare.append(event._replace(repeat_key=(event.repeat_key or b"")[:16]))
    assert folded(published(events, [change_ms])).books().replaced == 1
    assert folded(bare).books().replaced == 0


def test_aliases_are_forgotten_with_the_pairs_that_they_name() -> None:
    aliases = Aliases()
    one, two, three = b"1" * 16, b"2" * 16, b"3" * 16
    assert aliases.join(two + one, 10) == (two, (one,))
    assert aliases.join(three + two, 12) == (three, (two,))
    assert aliases.join(one, 12) == (three, ())
    aliases.forget(20, {three})
    assert aliases.join(one, 20)[0] == three
    aliases.forget(21, set())
    assert not aliases


UNITS_BY_ID = load_units()
OLD = Pseudonyms("k1", bytes(32))
BOTH = Pseudonyms("k2", b"x" * 32, earlier=[OLD], references=OLD.references)
NEW = Pseudonyms("k2", b"x" * 32, references=OLD.references)
PACKS = RulePacks(None)


def parsed(pseudonyms: Pseudonyms, ref: str, *, kiosk: str | None = None) -> Rating:
    """A citizen's rating of one transaction, or an anonymous one at a kiosk, as scoring reads it."""
    clock = SystemClock()
    preparer = Preparer(
        UNITS_BY_ID, pseudonyms, PACKS, clock, bytes, ids=EventIds(bytes(32)), mint=TokenMint(bytes(32))
    )
    submission = Submission(
        "U000200",
        5,
        Source.PUBLIC,
        Channel.QR,
        client_ref=ref,
        text="窗口很好",
        contact=Contact(phone="13812345678") if kiosk is None else None,
        transaction_id="办-1" if kiosk is None else None,
        device_id=kiosk,
    )
    rated = preparer.one(submission, preparer.facts(Provenance("c"), address="192.0.2.7"))
    message = submitted_message(rated, submission.text, None, pseudonyms)
    places = {str(unit.unit_id): place for place, unit in enumerate(UNITS_BY_ID)}
    return RatingParser(places, PACKS.at(clock.now())).parse(message.payload)


@pytest.mark.parametrize(("times", "replaced"), [("before during after", 2), ("before after", 0)])
def test_what_intake_publishes_before_during_and_after_a_change_is_one_citizen(
    times: str, replaced: int
) -> None:
    keys = {"before": OLD, "during": BOTH, "after": NEW}
    ratings = [parsed(keys[time], time) for time in times.split()]
    ledger = Ledger(len(UNITS_BY_ID), RULES, ratings[0].received_ms // DAY_MS)
    for each in ratings:
        ledger.fold(each)
    assert ledger.books().replaced == replaced


def test_a_fingerprint_is_known_again_under_either_key() -> None:
    before, during, after = (
        set(parsed(keys, "r", kiosk="kiosk-7").fingerprints) for keys in (OLD, BOTH, NEW)
    )
    assert len(before) == 3
    assert before < during
    assert after < during
    assert not before & after
