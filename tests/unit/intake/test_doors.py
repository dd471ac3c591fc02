"""Routes beside the two of ratings, when more comes than can be done: each fills its own share."""

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from services.intake.domain.admission import Admission, AdmissionLimits
from services.intake.entrypoints.admitting import Gate, Refuser
from services.intake.entrypoints.doors import Doors
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import Asked, Post, add_post
from services.intake.entrypoints.writing import send_json
from services.intake.settings import Settings
from shared.auth.access import PRINCIPAL
from shared.auth.principals import Principal, Role
from shared.auth.principals import Scope as Place
from shared.observability.problem import ProblemError, install_handlers

FLOOD = 400


class Body(BaseModel):
    """What is posted."""

    channel: str


async def _described(body: Body) -> None:
    """Take one."""


class House:
    """An adapter's route whose storage hangs, or takes its time, and the door of single ratings beside it."""

    def __init__(self, *, large: bool, takes_s: float | None = None) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        self.hangs = asyncio.Event()
        self.takes_s = takes_s
        self.reached = 0
        settings = Settings(max_under_way=256)
        self.full = asyncio.Event()
        self.doors = Doors(settings, self.refuse, random.Random(1))
        facts = SimpleNamespace(facts=lambda *_, **__: None)
        parts = SimpleNamespace(
            settings=settings, random=random.Random(1), doors=self.doors, desk=SimpleNamespace(preparer=facts)
        )
        self.app = FastAPI()
        install_handlers(self.app)
        post = Post("/v1/adapters/x", _described, Body, Body, self.store, "adapters", takes=None, large=large)
        add_post(self.app, cast("HttpParts", parts), post)
        self.gate = Gate(
            self.rating, self.doors.admission, Refuser(random.Random(1), lambda *_: None),
            refusals_per_s=1000, max_body_bytes=1000, body_timeout_s=1,
        )  # fmt: skip

    async def store(self, asked: Asked[Body]) -> Body:
        self.reached += 1
        if self.takes_s is None:
            await self.hangs.wait()
        else:
            await asyncio.sleep(self.takes_s)
        return asked.body

    async def rating(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_json(send, 202, b"{}")

    async def post(self, number: int = 0) -> httpx.Response:
        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            scope[PRINCIPAL] = Principal(f"system-{number}", (Role.parse("channel"),), Place.parse("360000"))
            await self.app(scope, receive, send)

        transport = httpx.ASGITransport(known, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as http:
            return await http.post("/v1/adapters/x", json={"channel": "web"})

    def refuse(self, share: str, reason: str) -> None:
        self.refused[share, reason] += 1
        if sum(self.refused.values()) == FLOOD - 20:
            self.full.set()

    async def hotline(self) -> int:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.gate), base_url="http://house"
        ) as http:
            return (await http.post("/v1/feedback", json={"channel": "hotline"})).status_code


async def test_a_flood_on_the_adapter_fills_its_share_and_the_hotline_gets_in() -> None:
    """Fifty senders who hardly pause, at a storage that takes 20 ms: more than there are places."""
    house = House(large=False, takes_s=0.02)
    answers: list[httpx.Response] = []
    over = asyncio.Event()

    async def flood() -> None:
        while not over.is_set():
            answers.append(await house.post())
            await asyncio.sleep(0.002)

    floods = [asyncio.create_task(flood()) for _ in range(50)]
    calls = []
    for _ in range(22):
        await asyncio.sleep(0.01)
        calls.append(await house.hotline())
    over.set()
    await asyncio.gather(*floods)
    # The very first may find all places taken; from then on the hotline is known to want some.
    assert Counter(calls[2:]) == {202: 20}
    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(refused) == sum(house.refused.values()) > 0
    assert {answer.status_code for answer in refused} <= {429, 503}
    assert all(int(answer.headers["retry-after"]) >= 2 for answer in refused)
    assert house.doors.admission.under_way == 0


async def test_large_bodies_wait_in_the_line_of_batches_and_half_of_it_is_left_to_others() -> None:
    house = House(large=True)
    flood = [asyncio.create_task(house.post()) for _ in range(FLOOD)]
    await asyncio.wait_for(house.full.wait(), 20)
    assert house.reached == 3, "batches_at_once: no more bodies are in memory, and one is for others"
    other = asyncio.create_task(house.post(number=1))
    await asyncio.sleep(0.01)
    house.hangs.set()
    assert (await other).status_code == 202
    statuses = Counter(answer.status_code for answer in await asyncio.gather(*flood))
    assert statuses == {202: 19, 503: FLOOD - 19}


def take_many(doors: Doors) -> None:
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(doors.place("tokens", "/v1/tokens", 10_000))


def test_what_weighs_more_takes_more_places_but_never_all() -> None:
    doors = Doors(Settings(max_under_way=256), lambda *_: None, random.Random(1))
    limit = doors.admission.limit
    with doors.place("tokens", "/v1/tokens", 10_000):
        assert doors.admission.under_way == limit // 4
        with pytest.raises(ProblemError) as caught:
            take_many(doors)
        assert caught.value.problem.status in {429, 503}
        assert int((caught.value.headers or {})["Retry-After"]) >= 2
    assert doors.admission.enter("hotline", 0.0) is None


def test_a_weight_counts_like_as_many_requests() -> None:
    def under_way(weight: int, requests: int) -> int:
        admission = Admission(AdmissionLimits(least=40, most=40, reserved=0.25))
        admission.enter("hotline", 0.0)
        for _ in range(requests):
            admission.enter("flood", 0.0, weight)
        return admission.under_way

    assert under_way(5, 100) <= under_way(1, 100) <= under_way(5, 100) + 5
