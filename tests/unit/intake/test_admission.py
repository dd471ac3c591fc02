"""The domain of admission under seeded load: waiting is bounded, and nobody is starved by another."""

import asyncio
import heapq
import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.application.errors import IndexNotReadyError, KeyReusedError, RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.domain.accepted import Accepted, Outcome, Verdict
from services.intake.domain.admission import Admission, AdmissionLimits, Refusal
from services.intake.domain.pacing import LEAST_PER_S, Pace
from services.intake.entrypoints import http
from services.intake.entrypoints.admitting import STORED, Gate, Refuser, channel_of
from services.intake.entrypoints.http import HttpParts, _Submissions
from services.intake.settings import Settings
from shared.auth.access import PRINCIPAL
from shared.auth.principals import Principal, Role, Scope
from shared.messaging.publisher import BrokerUnavailableError, NothingSentError

CAPACITY_PER_S = 1000.0
NOW = datetime(2026, 7, 1, tzinfo=UTC)
ACCEPTED = Accepted("id", bytes(10), "digest", 1, NOW, NOW, "U000200", 5)


def simulate(
    rates: dict[str, float], seconds: float, *, weights: dict[str, float] | None = None
) -> tuple[list[float], Counter[str], Counter[tuple[str, Refusal]], Admission]:
    """A server that takes one request after another, 1 ms each: latencies, admitted and refused."""
    chance = random.Random(7)
    admission = Admission(AdmissionLimits(most=2000, weights=weights))
    arrivals = sorted(
        (moment, channel) for channel, rate in rates.items() for moment in _moments(chance, rate, seconds)
    )
    leaving: list[tuple[float, float, str]] = []
    latencies: list[float] = []
    admitted: Counter[str] = Counter()
    refused: Counter[tuple[str, Refusal]] = Counter()
    free_at = 0.0
    for now, channel in arrivals:
        while leaving and leaving[0][0] <= now:
            done, began, of = heapq.heappop(leaving)
            admission.leave(of, began, done)
        refusal = admission.enter(channel, now)
        if refusal is None:
            free_at = max(free_at, now) + 1 / CAPACITY_PER_S
            heapq.heappush(leaving, (free_at, now, channel))
            admitted[channel] += 1
            if now > seconds / 4:
                latencies.append(free_at - now)
        else:
            refused[channel, refusal] += 1
    return sorted(latencies), admitted, refused, admission


def _moments(chance: random.Random, rate: float, seconds: float) -> list[float]:
    moments, now = [], 0.0
    while (now := now + chance.expovariate(rate)) < seconds:
        moments.append(now)
    return moments


def test_at_three_times_what_can_be_done_those_let_in_wait_at_most_300_ms_and_nothing_idles() -> None:
    latencies, admitted, refused, _ = simulate({"app": 1500, "qr": 1500}, 20)
    assert latencies[int(len(latencies) * 0.99)] <= 0.3
    assert admitted.total() >= 0.95 * CAPACITY_PER_S * 20
    assert refused.total() + admitted.total() > 55_000


def test_a_channel_that_floods_does_not_starve_the_hotline() -> None:
    _, admitted, refused, _ = simulate({"qr": 5000, "hotline": 50}, 20)
    offered = admitted["hotline"] + sum(
        count for (channel, _), count in refused.items() if channel == "hotline"
    )
    assert admitted["hotline"] >= 0.99 * offered
    assert refused["qr", Refusal.CHANNEL] > 0.5 * 5000 * 20
    assert admitted["qr"] >= 0.8 * CAPACITY_PER_S * 20


def test_a_channel_that_floods_alone_leaves_places_for_the_first_request_of_another() -> None:
    admission = Admission(AdmissionLimits(least=8, most=800))
    while (refusal := admission.enter("qr", 0.0)) is None:
        pass
    assert refusal is Refusal.CHANNEL
    assert [admission.enter("hotline", 0.0) for _ in range(25)] == [None] * 25


def test_channels_that_all_want_more_get_their_weights() -> None:
    _, admitted, _, _ = simulate({"qr": 3000, "hotline": 3000}, 20, weights={"hotline": 3.0})
    assert 1.2 <= admitted["hotline"] / admitted["qr"] <= 4.0


def test_below_the_limit_nobody_is_refused() -> None:
    _, _, refused, _ = simulate({"qr": 400, "hotline": 200}, 10)
    assert not refused


def test_cheap_refusals_do_not_hide_that_the_storage_is_slow() -> None:
    admission = Admission(AdmissionLimits(least=8, most=800))
    began = admission.limit
    for tick in range(100):
        now = tick / 10
        while admission.enter("qr", now) is None:
            pass
        for refused in range(5):
            admission.leave("qr", now, now + refused / 1e5, stored=False)
        admission.leave("qr", now, now + 0.09)
    assert (began, admission.limit) == (100, 8)


def test_a_slow_machine_refuses_nobody_who_fits_in() -> None:
    admission = Admission(AdmissionLimits(least=8, most=800))
    for tick in range(100):
        now = tick / 10
        for _ in range(60):
            assert admission.enter("qr", now) is None
        for _ in range(60):
            admission.leave("qr", now, now + 0.5)
    assert admission.limit == 100


@pytest.mark.parametrize(
    ("outcome", "stored"),
    [
        (Outcome(Verdict.ACCEPTED, ACCEPTED), True),
        (Outcome(Verdict.DUPLICATE, ACCEPTED), False),
        (KeyReusedError("id", "client_ref"), True),
        (RejectedError((Issue("grade", "9", "1 to 5", "correct it"),)), False),
        (BrokerUnavailableError("nobody knows"), True),
        (NothingSentError("not connected"), False),
        (IndexNotReadyError(), False),
        (asyncio.CancelledError(), True),
        (None, False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_only_what_reached_the_storage_is_timed(
    outcome: Outcome | BaseException | None,
    stored: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def submit(*_: object) -> Outcome:
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        return outcome

    async def send(_message: object) -> None:
        """Nobody reads the answer."""

    monkeypatch.setattr(http, "submit_feedback", submit)
    monkeypatch.setattr(http, "require_may_submit", lambda *_: None)
    parts = SimpleNamespace(
        settings=Settings(), metrics=SimpleNamespace(rejected=lambda *_: None), random=random.Random(1),
        proxies=SimpleNamespace(client_address=lambda *_: None), units=None,
        desk=SimpleNamespace(preparer=SimpleNamespace(facts=lambda *_, **__: None)),
    )  # fmt: skip
    scope: dict[str, Any] = {
        "path": "/v1/feedback", "client": None, "headers": [(b"content-type", b"application/json")],
        PRINCIPAL: Principal("qr", (Role.parse("channel"),), Scope.parse("360000")),
    }  # fmt: skip
    raw = b"{}" if outcome is None else b'{"unit_id": "U000200", "grade": 5, "channel": "qr"}'
    with suppress(Exception, asyncio.CancelledError):
        await _Submissions(cast("HttpParts", parts)).single(scope, _receiving(raw), send)
    assert scope.get(STORED, False) is stored


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 0.5)), max_size=200),
    st.integers(1, 50),
)
def test_the_books_of_admission_balance_and_its_bounds_hold(
    steps: list[tuple[str, bool, float]], least: int
) -> None:
    limits = AdmissionLimits(least=least, most=4 * least)
    admission, inside, now = Admission(limits), [], 0.0
    for channel, enters, pause in steps:
        now += pause
        if enters:
            if admission.enter(channel, now) is None:
                inside.append((channel, now))
        elif inside:
            of, began = inside.pop(0)
            admission.leave(of, began, now)
        assert admission.under_way == len(inside) <= limits.most
        assert least <= admission.limit <= limits.most
    for of, began in inside:
        admission.leave(of, began, now)
    assert admission.under_way == 0


def test_the_channel_is_read_without_parsing_and_from_a_closed_list() -> None:
    assert channel_of(b'{"grade": 5, "channel" : "hotline"}') == "hotline"
    assert channel_of(b'{"channel":"made_up"}') == channel_of(b"[") == channel_of(b"\xff") == "other"


def test_refusals_come_at_a_pace_and_none_is_held_back_for_longer_than_is_said() -> None:
    pace = Pace(most_per_s=400, most_s=1.0)
    delays = [pace.delay_s(now=5.0) for _ in range(500)]
    assert delays[0] == 0.0
    assert delays[:101] == pytest.approx([number / 100 for number in range(101)])
    assert set(delays[102:]) == {1.0}
    assert pace.delay_s(now=30.0) == 0.0


@pytest.mark.parametrize(("answers_per_s", "refusals_per_s"), [(2000, 400), (400, 100), (8, 20)])
def test_one_is_sent_away_for_every_four_that_are_answered(answers_per_s: int, refusals_per_s: int) -> None:
    pace = Pace(most_per_s=400, most_s=1.0)
    for number in range(answers_per_s * 2):
        pace.answered(100 + number / answers_per_s)
    first, second = pace.delay_s(200.0), pace.delay_s(200.0)
    assert first == 0.0
    assert second == pytest.approx(1 / refusals_per_s, rel=0.02)


async def test_who_is_not_let_in_costs_nothing_but_reading_and_is_told_in_its_turn() -> None:
    served: list[bytes] = []
    answers: list[dict[str, Any]] = []
    refused: list[tuple[str, str]] = []
    refused_at: list[float] = []
    full = asyncio.Event()

    def note(channel: str, reason: str) -> None:
        refused.append((channel, reason))
        refused_at.append(monotonic())

    async def inner(_scope: Any, receive: Any, _send: Any) -> None:  # noqa: ANN401 - plain ASGI
        served.append((await receive())["body"])
        await full.wait()

    async def send(message: Any) -> None:  # noqa: ANN401 - plain ASGI
        answers.append(message)

    gate = Gate(
        inner,
        Admission(AdmissionLimits(least=8, most=8, reserved=0.0)),
        Refuser(random.Random(1), note),
        refusals_per_s=80,
        max_body_bytes=1000,
        body_timeout_s=1,
    )
    scope = {"type": "http", "path": "/v1/feedback"}
    body = b'{"channel": "qr"}'

    def one() -> "asyncio.Task[None]":
        return asyncio.create_task(gate(scope, _receiving(body), send))

    began = monotonic()
    inside = [one() for _ in range(8)]
    outside = [one() for _ in range(3)]
    await asyncio.gather(*outside)
    assert (len(served), refused) == (8, 3 * [("qr", "full")])
    waited_s = [at - began for at in refused_at]
    assert all(each > turn / LEAST_PER_S - 0.005 for turn, each in enumerate(waited_s)), waited_s
    assert [each["status"] for each in answers if "status" in each] == [503] * 3
    full.set()
    await asyncio.gather(*inside, one())
    assert served == [body] * 9


def _receiving(body: bytes) -> Any:  # noqa: ANN401 - plain ASGI
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
