import asyncio
import hmac
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.qr_codes import qr_code
from services.intake.adapters.rules import RulePacks
from services.intake.application.accepting import Acceptor
from services.intake.application.envelopes import submitted_message
from services.intake.application.errors import IndexNotReadyError, RejectedError
from services.intake.application.prepared import Prepared, Preparer
from services.intake.application.tokens import Order, TokenOffice, TokenState
from services.intake.domain.accepted import Verdict
from services.intake.domain.event_ids import EventIds
from services.intake.domain.submission import Contact, Submission
from services.intake.domain.token_checks import issues_of_token
from services.intake.domain.tokens import MAX_TEXT, Token, TokenMint
from shared.events import Envelope, FeedbackSubmitted, Provenance, parse_envelope
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Channel, Source, Verification
from shared.kernel.ids import UnitId, derived_id, framed
from shared.kernel.units import UnitRegistry
from shared.rules.intake_policy import Proof
from shared.testing.clock import FixedClock
from tests.unit.intake.fakes import CountingTally, EverySeat, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, UNITS

NOW = datetime(2026, 7, 1, 4, tzinfo=UTC)
MINT = TokenMint(bytes(32))
UNIT = "U000200"

tokens = st.builds(
    Token,
    unit_id=st.text(min_size=1, max_size=16).filter(lambda text: text.isprintable()),
    nonce=st.binary(min_size=16, max_size=16),
    expires_at=st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    transaction=st.none() | st.just(PSEUDONYMS.transaction("360102-1")),
)


@given(tokens)
def test_a_token_says_what_it_was_issued_with(token: Token) -> None:
    text = MINT.issue(token)
    assert MINT.read(text) == token
    assert len(text) <= MAX_TEXT


@given(tokens, st.data())
def test_whatever_is_changed_in_a_token_makes_it_none(token: Token, data: st.DataObject) -> None:
    text = MINT.issue(token)
    place = data.draw(st.integers(0, len(text) - 2))  # the last character has bits that are not used
    other = data.draw(st.sampled_from("AZaz09-_").filter(lambda character: character != text[place]))
    assert MINT.read(text[:place] + other + text[place + 1 :]) is None
    assert MINT.read(text[:place]) is None


@given(st.text(max_size=300) | st.text("abcXYZ019-_=+/ ", max_size=300))
def test_no_text_that_was_not_issued_is_a_token(text: str) -> None:
    assert MINT.read(text) is None


def test_tokens_of_former_keys_are_read_and_those_of_other_keys_are_not() -> None:
    token = Token(UNIT, os.urandom(16), NOW)
    old = TokenMint(b"o" * 32)
    assert TokenMint(b"n" * 32, [b"o" * 32]).read(old.issue(token)) == token
    assert TokenMint(b"n" * 32).read(old.issue(token)) is None


def test_ids_are_keyed_and_stay_the_same_over_releases() -> None:
    ids = EventIds(bytes(range(32)))
    assert ids.of("client_ref", "qr", "办件号-1") == "634d54a9-716a-827c-91a4-dd37effd7708"
    mac = hmac.digest(bytes(range(32)), framed(("client_ref", "qr", "办件号-1")), "sha256").hex()
    assert mac.startswith("634d54a9716a")
    assert ids.of("ab", "c") != ids.of("a", "bc")
    assert ids.of("client_ref", "qr", "1") != derived_id("client_ref", "qr", "1")
    assert EventIds(bytes(32)).of("a") != ids.of("a")
    assert ids.formerly("a") == ()


class Window:
    """A desk on fakes whose keys can be rotated."""

    def __init__(self, ids: EventIds | None = None) -> None:
        self.clock = FixedClock(NOW)
        self.index, self.tally, self.log = MemoryIndex(), CountingTally(), MemoryFeedbackLog(PSEUDONYMS)
        self.rotate(ids or EventIds(bytes(32)))
        self.acceptor = Acceptor(
            log=self.log, vault=MemoryVault(), sealer=SEALER, index=self.index, pseudonyms=PSEUDONYMS,
            units=UNITS, tally=self.tally,
        )  # fmt: skip

    def rotate(self, ids: EventIds) -> None:
        rules = RulePacks(None)
        self.preparer = Preparer(
            UNITS, PSEUDONYMS, rules, self.clock, os.urandom, EverySeat, ids=ids, mint=MINT
        )
        self.office = TokenOffice(
            MINT, receipts_of=self.preparer.receipts_of_token, pseudonyms=PSEUDONYMS, units=UNITS,
            rules=rules, index=self.index, clock=self.clock, random=os.urandom, horizon_days=100,
            tally=self.tally,
        )  # fmt: skip

    def token(self, transaction_id: str | None = None) -> str:
        (issued,) = self.office.issue(Order(UNIT, transaction_id=transaction_id))
        return issued.text

    def prepare(self, **fields: Any) -> Prepared:  # noqa: ANN401 - of a submission, and `import_id`
        import_id = fields.pop("import_id", None)
        submission = Submission(UNIT, 5, Source.PUBLIC, Channel.QR)._replace(**fields)
        return self.preparer.one(submission, self.preparer.facts(Provenance("c"), import_id=import_id))

    def rate(self, **fields: Any) -> Verdict:  # noqa: ANN401 - of a submission
        (outcome,) = asyncio.run(self.acceptor.accept((self.prepare(**fields),)))
        return outcome.verdict

    def state(self, text: str) -> TokenState:
        return self.office.state(self.office.genuine(text))

    def refusal(self, **fields: Any) -> tuple[str, ...]:  # noqa: ANN401 - of a submission
        with pytest.raises(RejectedError) as caught:
            self.prepare(**fields)
        return tuple(issue.field for issue in caught.value.issues)


def test_a_rating_by_token_is_verified_and_carries_the_tokens_transaction() -> None:
    window = Window()
    rating = window.prepare(token=window.token("360102-1"), channel=Channel.WEB)
    event = parse_envelope(
        Envelope[FeedbackSubmitted], submitted_message(rating, None, None, PSEUDONYMS).payload
    )
    assert event.data.verification is Verification.TRANSACTION
    assert event.data.transaction_hmac == PSEUDONYMS.transaction("360102-1")
    free = window.prepare(token=window.token(), channel=Channel.WEB)
    assert (free.verification, free.token and free.token.transaction) == (Verification.TRANSACTION, None)


def test_a_token_is_good_for_one_rating_whatever_channel_and_keys_come_with_it() -> None:
    window, other = Window(), Window()
    token = window.token()
    assert window.state(token) is TokenState.VALID
    assert window.rate(token=token, client_ref="a") is Verdict.ACCEPTED
    assert window.rate(token=token, client_ref="a") is Verdict.DUPLICATE
    assert window.rate(token=token, client_ref="b") is Verdict.CONFLICT
    assert window.rate(token=token, channel=Channel.WEB, grade=1) is Verdict.CONFLICT
    assert window.state(token) is TokenState.USED
    assert other.prepare(token=token).event_id == window.prepare(token=token, grade=1).event_id
    assert window.rate(token=window.token()) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"token": "x"}, ("token",)),
        ({"token": "A" * 90}, ("token",)),
        ({"unit_id": "U000201"}, ("unit_id",)),
        ({"channel": Channel.FORUM}, ("token",)),
        ({"transaction_id": "other"}, ("transaction_id",)),
    ],
)
def test_a_token_must_be_genuine_and_fit_the_rating(
    change: dict[str, object], fields: tuple[str, ...]
) -> None:
    window = Window()
    assert window.refusal(**({"token": window.token("360102-1")} | change)) == fields


def test_a_token_of_a_unit_that_was_merged_is_good_for_its_successor_from_that_day_on() -> None:
    day, heir = date(2026, 7, 1), UnitId("U000201")
    units = UnitRegistry(
        replace(unit, valid_to=day, successor=heir) if unit.unit_id == UNIT else unit for unit in UNITS
    )
    token = Token(UNIT, os.urandom(16), NOW + timedelta(days=9))

    def issues(unit_id: str, occurred_at: datetime | None = None) -> list[str]:
        rating = Submission(unit_id, 5, Source.PUBLIC, Channel.QR, occurred_at=occurred_at)
        found = issues_of_token(token, rating, NOW, [Proof.TOKEN], None, units)
        return [f"{each.expected}: {each.remedy}" for each in found]

    assert issues(heir) == []
    assert issues(UNIT) == [], "the registry says that it is no more, with the unit to rate"
    (other,) = issues("U000202")
    assert f"{UNIT}, the unit that the token was issued by, or {heir}, its successor since" in other
    assert f"rate {heir}" in other
    (before,) = issues(heir, NOW - timedelta(days=1))
    assert f"rate {UNIT}" in before, "on a day of its own it is rated itself"
    assert issues(UNIT, NOW - timedelta(days=1)) == []


def test_the_transaction_of_a_token_may_be_named_again() -> None:
    window = Window()
    assert window.rate(token=window.token(" 360102-1"), transaction_id="360102-1") is Verdict.ACCEPTED


def test_a_token_expires_to_the_second_and_a_used_one_stays_used() -> None:
    window = Window()
    used, unused = window.token(), window.token()
    assert window.rate(token=used) is Verdict.ACCEPTED
    window.clock.advance(days=30, seconds=-1)
    window.prepare(token=unused)
    window.clock.advance(seconds=1)
    assert window.refusal(token=unused) == ("token",)
    assert (window.state(unused), window.state(used)) == (TokenState.EXPIRED, TokenState.USED)


def test_an_index_that_is_still_reading_says_so_rather_than_valid() -> None:
    window = Window()
    token = window.token()
    window.index.ready = False
    with pytest.raises(IndexNotReadyError):
        window.state(token)


def test_nothing_but_not_found_is_said_of_a_forged_token() -> None:
    window = Window()
    genuine = window.token()
    told = set()
    for text in ("", "x", "中", "A" * 256, genuine[:-3], genuine[:20] + "A" + genuine[21:], genuine * 3):
        with pytest.raises(NotFoundError) as caught:
            window.office.genuine(text)
        told.add(str(caught.value))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (Order("U999999"), "unit_id"),
        (Order(UNIT, count=0), "count"),
        (Order(UNIT, count=10_001), "count"),
        (Order(UNIT, count=2, transaction_id="t"), "count"),
        (Order(UNIT, valid_days=0), "valid_days"),
        (Order(UNIT, valid_days=101), "valid_days"),  # the index forgets after 100 days
    ],
)
def test_tokens_are_issued_within_the_rules_and_what_the_index_remembers(order: Order, field: str) -> None:
    window = Window()
    with pytest.raises(InvalidValueError) as caught:
        window.office.issue(order)
    assert caught.value.field == field
    assert window.tally.counts["tokens"] == 0


def test_a_print_run_has_no_token_twice() -> None:
    window = Window()
    made = [issued.text for issued in window.office.issue(Order(UNIT, count=10_000, valid_days=100))]
    assert len(set(made)) == window.tally.counts["tokens"] == 10_000
    assert window.office.genuine(made[-1]).expires_at == NOW + timedelta(days=100)


@pytest.mark.parametrize("former", [b"o" * 32, None])
def test_after_a_rotation_old_references_and_used_tokens_are_still_known(former: bytes | None) -> None:
    window = Window(EventIds(b"o" * 32))
    token, reference, standing = window.token(), {"client_ref": "办件-1"}, window.index
    assert window.rate(token=token) is Verdict.ACCEPTED
    if former is None:  # as it was before ids had a key
        unkeyed = window.prepare(**reference)
        event_id = derived_id("client_ref", "qr", "办件-1")
        old = unkeyed._replace(event_id=event_id, receipt=PSEUDONYMS.receipt(event_id))
        asyncio.run(window.acceptor.accept((old,)))
    else:
        assert window.rate(**reference) is Verdict.ACCEPTED
    window.rotate(EventIds(b"n" * 32, [b"o" * 32, former]))
    assert window.rate(**reference) is Verdict.DUPLICATE
    assert window.rate(**reference, grade=1) is Verdict.CONFLICT
    assert window.rate(token=token) is Verdict.DUPLICATE
    assert window.state(token) is TokenState.USED
    assert window.rate(client_ref="new") is Verdict.ACCEPTED
    assert standing is window.index

    window.rotate(EventIds(b"n" * 32))
    assert window.rate(**reference) is Verdict.ACCEPTED, "without the former key a repeat would count twice"


def test_a_citizens_second_token_of_one_transaction_replaces_the_first_rating() -> None:
    window = Window()
    contact = Contact(phone="13800138000")
    fields = []
    for _ in range(2):
        rating = window.prepare(token=window.token("360102-1"), contact=contact)
        message = submitted_message(rating, None, None, PSEUDONYMS)
        fields.append(parse_envelope(Envelope[FeedbackSubmitted], message.payload).data)
    assert len({(data.citizen_hmac, data.transaction_hmac) for data in fields}) == 1
    assert None not in {fields[0].citizen_hmac, fields[0].transaction_hmac}


def test_a_transaction_that_the_web_names_counts_for_nothing_and_one_of_an_import_does() -> None:
    window = Window()
    named: dict[str, object] = {"channel": Channel.WEB, "transaction_id": "360102-1"}
    assert window.prepare(**named).verification is Verification.ANONYMOUS
    assert window.prepare(import_id="imp-1", **named).verification is Verification.TRANSACTION


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("channel", Channel)
def test_each_source_comes_through_its_channels_with_all_five_dimensions(
    source: Source, channel: Channel
) -> None:
    window = Window()
    grades = {"service": 1, "efficiency": 2, "quality": 3, "conduct": 4, "image": 5}
    fields: dict[str, object] = {"source": source, "channel": channel, "dimensions": grades}
    if source not in RulePacks(None).at(NOW).intake.channels[channel].sources:
        assert window.refusal(**fields) == ("source",)
        return
    message = submitted_message(window.prepare(**fields), None, None, PSEUDONYMS)
    data = parse_envelope(Envelope[FeedbackSubmitted], message.payload).data
    assert (data.source, data.channel) == (source, channel)
    assert data.dimensions is not None
    assert data.dimensions.model_dump() == grades


def test_every_source_has_a_channel() -> None:
    channels = RulePacks(None).at(NOW).intake.channels
    assert set(channels) == set(Channel)
    assert {source for policy in channels.values() for source in policy.sources} == set(Source)


def test_a_qr_code_is_a_picture_with_a_quiet_zone() -> None:
    content = "https://pj.example.cn/r/" + Window().token("360102-1")
    png = qr_code(content, "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width = int.from_bytes(png[16:20], "big")
    assert width % 6 == 0
    assert (width // 6 - 2 * 4 - 17) % 4 == 0, "a QR version's modules and four empty ones on either side"
    svg = ET.fromstring(qr_code(content, "svg"))  # noqa: S314 - our own picture
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert int(svg.attrib["width"]) == width
