"""Timers in the real broker: set, moved, cancelled, mended, and through kills: none lost, none twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamInfo

from deploy.local.embedded import NatsServer
from services.rectify.domain.opening import case_id_of
from shared.events import FeedbackSubmitted, parse_event
from shared.kernel.clock import business_day
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.reading import FoldReader
from shared.messaging.streams import CASES, TIMERS
from shared.testing.builders import CITY, COUNTY, UNIT, envelope_of, feedback_submitted
from shared.testing.clock import FixedClock
from tests.integration.rectify.conftest import rate
from tests.integration.rectify.process import RectifyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
LONGER_THAN_A_PAUSE = timedelta(days=22)
"""Ten working days with the longest holidays in between, and a day."""
LIMIT_S = 60.0
"""A start looks up what a killed rectify had been given; nothing waits for the broker to give it out."""


async def eventually(look: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await look():  # noqa: ASYNC110 - what is looked at is on another machine
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(what) from error


async def standing(client: Client, case_id: str = "*") -> dict[str, int]:
    info: StreamInfo = await client.jetstream().stream_info(
        TIMERS, subjects_filter=f"timers.v1.at.{case_id}.*"
    )
    return info.state.subjects or {}


async def announced(client: Client) -> Counter[tuple[str, str, int]]:
    reader = FoldReader(client, CASES)
    found: Counter[tuple[str, str, int]] = Counter()
    while not reader.caught_up:
        for message in await reader.take(wait_s=0.2):
            event = parse_event(message.data)
            if event.type.endswith(".clock-reached.v1"):
                found[event.data.case_id, event.data.clock, event.data.percent] += 1
    await reader.close()
    return found


async def test_what_is_long_due_is_announced_at_once_and_the_rest_stands(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(datetime.now(UTC) - timedelta(days=20))
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        case = await office.until(
            f"/v1/cases/{case_id}",
            lambda case: [each["reached"] for each in case["clocks"]] == [[50, 80, 100]] * 2,
        )
        assert (case["overdue"], case["status"]) == (True, "opened")
        clock.advance(days=20)
        overdue = await office.until("/v1/cases", lambda page: len(page["items"]) == 1, overdue=True)
        assert overdue["items"][0]["was_overdue"]
        await eventually(lambda: _none(client), "fired timers go")
    assert set((await announced(client)).values()) == {1}


async def _none(client: Client) -> bool:
    return not (await client.jetstream().stream_info(TIMERS)).state.messages


async def test_timers_move_with_their_case_and_go_with_it(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(datetime.now(UTC))
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        await eventually(lambda: _stand(client, case_id, 6), "three for each of two clocks")
        await office.moved(case_id, "contact")
        await office.moved(case_id, "classify", case_class="B")
        await eventually(lambda: _stand(client, case_id, 3), "the deadline's")
        await office.moved(case_id, "annul", reason="mistaken")
        await eventually(lambda: _stand(client, case_id, 0), "none")


async def test_a_case_that_nobody_resumes_goes_on_by_itself(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(datetime.now(UTC) - LONGER_THAN_A_PAUSE)
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        await office.moved(case_id, "contact")
        await office.moved(case_id, "classify", case_class="B")
        await office.moved(case_id, "assign", to={"unit_id": UNIT, "handler": "窗口负责人"})
        await office.moved(case_id, "pause", reason="等待补充材料")
        clock.advance(days=LONGER_THAN_A_PAUSE.days)
        case = await office.until(
            f"/v1/cases/{case_id}",
            lambda case: case["history"][-1]["fact"] == "clock-reached" and case["paused_since"] is None,
        )
        clocks = {each["name"]: each for each in case["clocks"]}
        assert datetime.fromisoformat(clocks["solve"]["due_at"]) > clock.now() + timedelta(days=5)
        assert clocks["pause"]["reached"][-1] == 100


async def _stand(client: Client, case_id: str, number: int) -> bool:
    return len(await standing(client, case_id)) == number


async def test_lost_timers_are_made_again_and_stray_ones_go_when_cases_and_timers_are_compared(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(datetime.now(UTC))
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        await eventually(lambda: _stand(client, case_id, 6), "set")
    jetstream = client.jetstream()
    await jetstream.purge_stream(TIMERS)
    later = (datetime.now(UTC) + timedelta(days=9)).isoformat().replace("+00:00", "Z")
    body = f'{{"case_id":"nobody","clock":"solve","round":1,"percent":50,"at":"{later}"}}'.encode()
    headers = {"Nats-Schedule": f"@at {later}", "Nats-Schedule-Target": "timers.v1.due.nobody.solve-50"}
    await jetstream.publish("timers.v1.at.nobody.solve-50", body, headers=headers)
    async with make_office(clock):
        await eventually(lambda: _stand(client, case_id, 6), "made again")
        await eventually(lambda: _stand(client, "nobody", 0), "gone")


async def test_a_holiday_that_is_announced_later_moves_deadlines_and_their_timers(
    client: Client, make_office: Callable[..., Any], tmp_path: Path
) -> None:
    clock = FixedClock(datetime.now(UTC))
    file = tmp_path / "holidays.toml"
    file.write_text("")
    async with make_office(clock, holidays_path=file) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        before = await office.moved(case_id, "classify", case_class="A")
    # Longer than any holiday there is already: days off that were off move nothing.
    days = [(business_day(clock.now()) + timedelta(days=n)).isoformat() for n in range(1, 15)]
    file.write_text(f"off = [{', '.join(days)}]\n")
    async with make_office(clock, holidays_path=file) as office:
        after = await office.until(
            f"/v1/cases/{case_id}", lambda case: case["history"][-1]["fact"] == "rescheduled"
        )
        due = {clock["name"]: clock["due_at"] for clock in after["clocks"]}
        assert due["solve"] > next(each["due_at"] for each in before["clocks"] if each["name"] == "solve")


@pytest.mark.parametrize(
    ("number", "kills"), [(12, 1), pytest.param(60, 3, marks=pytest.mark.soak)], ids=["few", "many"]
)
async def test_no_timer_is_lost_and_none_fires_twice_when_rectify_and_the_broker_are_killed(
    own_nats_server: NatsServer, secrets_dir: Path, tmp_path: Path, number: int, kills: int
) -> None:
    """Half of a day's clock of a window that never closes is over in a few seconds from now."""
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(client)
    rectify = RectifyProcess(own_nats_server.url, secrets_dir, tmp_path / "rectify.log")
    rectify.start()
    publisher = JetStreamPublisher(client)
    cases = []
    try:
        for place in range(number):
            at = datetime.now(UTC) - timedelta(hours=12) + timedelta(seconds=3 + place * 0.1)
            data = feedback_submitted(grade=1, has_contact=True, contact_record="r", kind="funeral")
            assert isinstance(data, FeedbackSubmitted)
            event = envelope_of(data, time=at)
            await publisher.publish(event, city=CITY, county=COUNTY)
            cases.append(case_id_of(event.id, UNIT))
            await asyncio.sleep(0.03)
        if kills > 1:
            rectify.kill()
            rectify.start()
        await asyncio.sleep(3.0)
        own_nats_server.kill()
        rectify.kill()
        await asyncio.sleep(1.0)
        own_nats_server.start()
        rectify.start()
        if kills > 1:
            await asyncio.sleep(1.5)
            rectify.kill()
            rectify.start()
        expected = {(case, clock, 50) for case in cases for clock in ("contact", "classify")}

        async def all_announced() -> bool:
            return set(await announced(client)) >= expected

        await eventually(all_announced, "every reminder is announced")
        await eventually(lambda: _all_stand(client, number * 4), "the 80 and 100 % of both clocks")
        found = await announced(client)
        assert set(found) == expected, "nothing was invented"
        assert set(found.values()) == {1}, "nothing twice"
    finally:
        rectify.kill()
        await rectify.http.aclose()
        await client.close()


async def _all_stand(client: Client, number: int) -> bool:
    return len(await standing(client)) == number
