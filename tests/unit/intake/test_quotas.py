import asyncio
import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.rules import RulePacks
from services.intake.application.accepting import Acceptor
from services.intake.application.handlers import Desk, submit_batch, submit_feedback
from services.intake.application.prepared import Preparer, RequestFacts
from services.intake.application.quotas import OverQuotaError, QuotaGate
from services.intake.domain.lines import split_lines
from services.intake.domain.quotas import Excess, QuotaBook
from services.intake.domain.submission import Submission
from services.intake.entrypoints.bodies import parse_line
from shared.events import Provenance
from shared.kernel.errors import TransientError
from shared.kernel.grades import Channel, Source
from shared.messaging.group_commit import Outgoing, Stored
from shared.rules.intake_policy import Quota, QuotaKind, Quotas
from shared.rules.loading import load_pack
from shared.testing.clock import NOON, FixedClock
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import IDS, MINT, PSEUDONYMS, SEALER, UNITS

START = 1_000_000_000.0  # begins a window of any length that divides it
TEN = Quota(10, 100)
KEY = bytes(32)


class Counter:
    """One place under one quota."""

    def __init__(self, quota: Quota = TEN, book: QuotaBook | None = None) -> None:
        self.quota = quota
        self.book = book or QuotaBook(KEY, most=1000)
        self.window = self.book.window(QuotaKind.DEVICE, quota)

    def wait(self, after: float, place: str = "phone") -> float:
        """Count one more and return 0, or how long it takes until there is room."""
        found = self.book.take([(self.window, self.quota, self.book.place(place))], START + after)
        return found.seconds if isinstance(found, Excess) else 0.0


@given(st.lists(st.floats(0, 40), max_size=100), st.integers(1, 12))
def test_no_fixed_window_lets_more_through_and_no_sliding_one_twice_as_much(
    gaps: list[float], limit: int
) -> None:
    counter = Counter(Quota(limit, 100))
    now, let = 0.0, []
    for gap in gaps:
        now += gap
        if not counter.wait(now):
            let.append(now)
    for moment in let:
        assert sum(moment // 100 == other // 100 for other in let) <= limit
        assert sum(moment <= other < moment + 100 for other in let) < 2 * limit


@given(st.floats(0, 99), st.floats(0, 250))
def test_after_the_time_that_is_told_there_is_room_and_just_before_there_is_none(
    first: float, then: float
) -> None:
    counter = Counter()
    while not counter.wait(first):
        pass
    wait = counter.wait(first + then)
    if wait == 0:
        while (wait := counter.wait(first + then)) == 0:
            pass
    assert counter.wait(first + then + wait * 0.98 - 0.01) > 0
    assert counter.wait(first + then + wait + 0.01) == 0


def test_even_traffic_a_little_below_the_limit_is_never_refused() -> None:
    counter = Counter()
    assert not any(counter.wait(11.2 * number) for number in range(200))


def test_places_are_apart_and_a_clock_that_goes_back_counts_on() -> None:
    counter = Counter()
    assert [counter.wait(150) for _ in range(11)][9:] == [0.0, pytest.approx(60, abs=1)]
    assert counter.wait(150, "other") == 0
    assert counter.wait(20) > 0


def test_what_is_given_back_does_not_count() -> None:
    book = QuotaBook(KEY, most=1000)
    counter = Counter(book=book)
    for _ in range(100):
        taken = book.take([(counter.window, TEN, book.place("phone"))], START)
        assert not isinstance(taken, Excess)
        book.give_back(taken)


def test_memory_is_bounded_and_the_busiest_are_remembered() -> None:
    counter = Counter()
    while not counter.wait(1):
        pass
    for number in range(50_000):
        assert counter.wait(1, f"invented-{number}") == 0
    assert counter.book.places <= 1000
    assert counter.wait(2) > 0


def test_replicas_count_together_and_a_silent_one_is_forgotten() -> None:
    one, other = Counter(), Counter()
    for _ in range(6):
        assert one.wait(1) == other.wait(1) == 0
    one.book.learn("other", other.book.report(START + 1))
    assert one.wait(2) > 0, "six here and six there"
    late = Counter()
    late.book.learn("other", other.book.report(START + 1))
    assert [late.wait(2) == 0 for _ in range(5)] == [True] * 4 + [False]
    # As much is left of the others' window as of one's own.
    assert late.wait(110) == 0
    assert one.wait(320) == 0
    one.book.forget(START + 320)
    assert one.book.report(START + 320) == Counter(book=one.book).book.report(START + 320)
    fresh = QuotaBook(KEY, most=10)
    fresh.learn("other", other.book.report(START + 1))
    fresh.forget(START + 320)
    assert Counter(book=fresh).wait(10) == 0


def test_only_what_comes_near_a_limit_is_told_to_others_and_no_place_by_name() -> None:
    counter = Counter(Quota(320, 100))
    for number in range(25):
        counter.wait(1, "203.0.113.9")
        counter.wait(1, f"once-{number}")
    (window,) = counter.book.report(START + 1).values()
    ((place, count),) = window[int(START) // 100].items()
    assert (count, len(place)) == (25, 10)
    assert b"203" not in place


QUOTAS = Quotas(
    token=Quota(5, 60), device=Quota(2, 60), terminal=Quota(6, 60), address=Quota(4, 60),
    channel=Quota(20, 60), channels={Channel.TERMINAL: Quota(8, 60)},
)  # fmt: skip


class FailingLog(MemoryFeedbackLog):
    fails = False

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        if self.fails:
            raise TransientError("away")
        return await super().append(messages)


class Hall:
    """Intake's desk under tight quotas."""

    def __init__(self, *, enforce: bool = True, quotas: Quotas = QUOTAS) -> None:
        self.quotas = quotas
        self.clock = FixedClock(NOON)
        self.tally, self.log = CountingTally(), FailingLog(PSEUDONYMS)
        acceptor = Acceptor(
            log=self.log, vault=MemoryVault(), sealer=SEALER, index=MemoryIndex(), pseudonyms=PSEUDONYMS,
            units=UNITS, tally=self.tally,
        )  # fmt: skip
        self.preparer = Preparer(
            UNITS, PSEUDONYMS, RulePacks(None), self.clock, os.urandom, ids=IDS, mint=MINT
        )
        gate = QuotaGate(QuotaBook(KEY, most=1000), self.tally, enforce=enforce)
        self.desk = Desk(self.preparer, acceptor, self.tally, gate)

    def facts(
        self, address: str | None = None, import_id: str | None = None, credential: str | None = None
    ) -> RequestFacts:
        facts = self.preparer.facts(
            Provenance("c"), address=address, import_id=import_id, credential=credential
        )
        return facts._replace(rules=dataclasses.replace(facts.rules, quotas=self.quotas))

    def rate(
        self,
        address: str | None = None,
        credential: str | None = None,
        **fields: Any,  # noqa: ANN401 - of a rating
    ) -> None:
        submission = Submission("U000200", 5, Source.PUBLIC, Channel.QR)._replace(**fields)
        facts = self.facts(address, credential=credential)
        asyncio.run(submit_feedback(submission, facts, self.desk))

    def let_through(self, rate: Callable[[int], None]) -> tuple[int, OverQuotaError]:
        """How often `rate` goes well, and how it does not then."""
        for count in range(100):
            try:
                rate(count)
            except OverQuotaError as error:
                return count, error
        pytest.fail("no quota held")

    def batch(self, *lines: Mapping[str, object], import_id: str | None = None) -> list[str]:
        """The fields that refused lines name; "" for good ones."""
        base: dict[str, object] = {"unit_id": "U000200", "grade": 5}
        raw = b"\n".join(json.dumps({**base, **line}).encode() for line in lines)
        facts = self.facts(import_id=import_id)
        results = asyncio.run(submit_batch(split_lines(raw, 1000), facts, self.desk, parse_line))
        return [result.issues[0].field if result.issues else "" for result in results]


@pytest.mark.parametrize(
    ("fields", "count", "kind"),
    [
        ({"device_id": "phone"}, 2, QuotaKind.DEVICE),
        ({"device_id": "T-1", "channel": Channel.TERMINAL}, 6, QuotaKind.TERMINAL),
        ({"device_id": "desk", "channel": Channel.HOTLINE}, 6, QuotaKind.TERMINAL),
        ({"address": "203.0.113.9"}, 4, QuotaKind.ADDRESS),
        ({"address": "203.0.113.9", "channel": Channel.HOTLINE}, 20, QuotaKind.CHANNEL),
        ({"channel": Channel.TERMINAL}, 8, QuotaKind.CHANNEL),
        ({}, 20, QuotaKind.CHANNEL),
    ],
)
def test_each_place_has_its_quota(fields: dict[str, Any], count: int, kind: QuotaKind) -> None:
    hall = Hall()
    passed, error = hall.let_through(lambda _: hall.rate(**fields))
    assert (passed, error.kind, error.http_status) == (count, kind, 429)
    assert f"the quota '{kind.value}'" in str(error)
    assert hall.tally.counts[f"over {kind.value}"] == 1
    hall.clock.advance(seconds=error.retry_after_s + 0.1)
    hall.rate(**fields)


def test_the_phones_of_one_household_share_its_address_of_either_kind() -> None:
    hall = Hall()
    passed, error = hall.let_through(lambda n: hall.rate(f"2001:db8:1:2::{n}", device_id=f"phone-{n}"))
    assert (passed, error.kind) == (4, QuotaKind.ADDRESS)
    hall.rate("2001:db8:1:3::1")


def test_attempts_with_one_token_are_counted_whatever_is_wrong_with_it() -> None:
    hall = Hall()

    def guess(_: int) -> None:
        with pytest.raises(Exception, match="token") as caught:
            hall.rate(token="guessed")
        if isinstance(caught.value, OverQuotaError):
            raise caught.value

    assert hall.let_through(guess)[0] == 5


def test_a_key_of_a_channel_system_has_a_quota_over_all_that_it_sends() -> None:
    hall = Hall(quotas=dataclasses.replace(QUOTAS, credential=Quota(3, 60)))
    channels = (Channel.TERMINAL, Channel.HOTLINE, Channel.QR)
    passed, error = hall.let_through(lambda n: hall.rate(credential="leaked", channel=channels[n % 3]))
    assert (passed, error.kind) == (3, QuotaKind.CREDENTIAL)
    hall.rate(credential="another")
    assert hall.let_through(lambda _: hall.rate())[0] > 3


def test_a_leaked_key_gets_no_further_than_the_shipped_quota_though_its_channel_may() -> None:
    shipped = load_pack(None, date(2026, 11, 20)).intake.quotas
    assert shipped == Quotas()
    assert shipped.credential == Quota(200_000, 3600)
    assert shipped.channels[Channel.TERMINAL].limit > shipped.credential.limit


def test_repeats_and_what_could_not_be_stored_do_not_count() -> None:
    hall = Hall()
    for _ in range(10):
        hall.rate(device_id="phone", client_ref="same")
    hall.log.fails = True
    for number in range(10):
        with pytest.raises(TransientError):
            hall.rate(device_id="phone", client_ref=f"unlucky-{number}")
    hall.log.fails = False
    assert hall.let_through(lambda n: hall.rate(device_id="phone", client_ref=f"{n}"))[0] == 1


def test_of_a_batch_only_the_lines_over_a_quota_are_refused() -> None:
    hall = Hall()
    phones = [{"channel": "qr", "device_id": f"p{n % 2}", "client_ref": f"r{n}"} for n in range(6)]
    assert hall.batch(*phones) == ["", "", "", "", "device_id", "device_id"]
    assert hall.batch(*phones) == ["", "", "", "", "device_id", "device_id"], "repeats are still answered"
    assert hall.tally.counts["accepted"] == 4
    assert hall.batch(phones[0] | {"grade": 1}) == ["device_id"], "other content is no repeat"


def test_an_import_counts_as_such_and_takes_no_room_from_its_channel() -> None:
    channels = {**QUOTAS.channels, Channel.IMPORT: Quota(9, 3600)}
    hall = Hall(quotas=dataclasses.replace(QUOTAS, channels=channels))
    lines = [{"channel": "terminal", "device_id": "T-1", "client_ref": f"r{n}"} for n in range(10)]
    assert hall.batch(*lines, import_id="imp-1") == [""] * 9 + ["channel"]
    live = [{"channel": "terminal", "device_id": f"T-{n}", "client_ref": f"l{n}"} for n in range(9)]
    assert hall.batch(*live) == [""] * 8 + ["channel"], "as many as without the import"


def test_quotas_that_are_only_observed_refuse_nothing() -> None:
    hall = Hall(enforce=False)
    for _ in range(10):
        hall.rate(device_id="phone")
    assert hall.tally.counts["over device"] == 8
