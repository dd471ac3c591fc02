"""Each rating is read once: judged behind the position, which passes only what is settled."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from services.notify.application import judging
from services.notify.application.raising import RaiseAlerts
from services.notify.domain.alert import alert_id
from services.notify.entrypoints import ratings
from shared.events import AlertRaised, Envelope, MessageDeadLettered
from shared.kernel.clock import SystemClock
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.deadletters import list_letters, read_original, replay
from shared.messaging.positions import KeptPosition, Mark, read_position
from shared.messaging.provisioner import consumer_config, provision
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.pulling import PULL_BATCH
from shared.messaging.reading import ACK, DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ALERTS, FEEDBACK, NOTIFY_RATINGS, POSITIONS_BUCKET, RANKING, ConsumerSpec
from tests.integration.notify.support import (
    Setup,
    a_process,
    bad_review,
    eventually,
    publish,
    publish_many,
    running,
    settled_at,
    stored,
)

pytestmark = pytest.mark.integration
BUCKET = f"KV_{POSITIONS_BUCKET}"
Judge = Callable[[RaiseAlerts, Envelope[Any]], Awaitable[tuple[str, ...]]]


def ids(*numbers: int) -> set[str]:
    """The alerts of bad reviews."""
    return {alert_id("bad_review", bad_review(number).id) for number in numbers}


async def raised(client: Client) -> list[str]:
    """The alerts of bad reviews, oldest first, each as often as it was stored."""
    return [each.id for each in await stored(client, AlertRaised) if each.data.rule == "bad_review"]


def has_raised(client: Client, count: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len(await raised(client)) >= count

    return enough


async def position(client: Client) -> int:
    standing, _ = await read_position(client, NOTIFY_RATINGS)
    return 0 if standing is None else standing.sequence


class Judging:
    """Stands before the judging of ratings: notes which come, and raises or waits as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.judged: list[str] = []
        self.raises: dict[str, list[Exception]] = {}
        self.open = asyncio.Event()
        self.open.set()
        self._judge: Judge = RaiseAlerts.on_feedback
        monkeypatch.setattr(RaiseAlerts, "on_feedback", self._between())

    def _between(self) -> Judge:
        async def between(handler: RaiseAlerts, event: Envelope[Any]) -> tuple[str, ...]:
            self.judged.append(event.id)
            await self.open.wait()
            if errors := self.raises.get(event.id):
                raise errors.pop(0)
            return await self._judge(handler, event)

        return between


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judging:
    return Judging(monkeypatch)


async def test_a_restart_judges_what_lies_behind_the_position_and_nothing_before_it(
    client: Client, setup: Setup, judged: Judging
) -> None:
    async with running(setup.app()):
        await publish(client, bad_review(1), bad_review(2), bad_review(3, grade=5))
        await eventually(settled_at(client, 3), "all are settled")
    await publish(client, bad_review(4))
    async with running(setup.app()):
        await eventually(settled_at(client, 4), "what came meanwhile is settled")
    assert judged.judged == [bad_review(number).id for number in (1, 2, 4)]
    assert set(await raised(client)) == ids(1, 2, 4)


async def test_a_stop_leaves_the_position_where_everything_is_settled(
    client: Client, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings, "SAVE_EVERY_S", 3600.0)
    async with running(setup.app()):
        await publish(client, bad_review(1), bad_review(2, grade=4))
        await eventually(has_raised(client, 1), "the alert is stored")
        await eventually(read_to(client, 2), "both are read")
        assert await position(client) == 0
    assert await position(client) == 2


def read_to(client: Client, sequence: int) -> Callable[[], Awaitable[bool]]:
    """A condition: every fold of FEEDBACK has got the messages up to ``sequence``."""

    async def read() -> bool:
        infos = await client.jetstream().consumers_info(FEEDBACK)
        folds = [each for each in infos if each.name.startswith("fold-")]
        delivered = [each.delivered.stream_seq for each in folds if each.delivered is not None]
        return bool(delivered) and min(delivered) >= sequence

    return read


async def test_killed_between_an_alert_and_the_position_it_raises_no_second_one(
    client: Client, setup: Setup
) -> None:
    jetstream = client.jetstream()
    async with a_process(setup) as first:
        await publish(client, bad_review(1))
        await eventually(settled_at(client, 1), "the first one is settled")
        bucket = (await jetstream.stream_info(BUCKET)).config
        await jetstream.update_stream(bucket.evolve(max_msg_size=1))  # takes no position
        await publish_many(client, [bad_review(number) for number in range(2, 60)])
        await eventually(has_raised(client, 30), "some alerts are stored")
        first.send_signal(signal.SIGKILL)
    assert await position(client) == 1
    await jetstream.update_stream(bucket)
    alerts = (await jetstream.stream_info(ALERTS)).config
    await jetstream.update_stream(alerts.evolve(duplicate_window=0.1))  # the broker's memory is no help
    async with a_process(setup):
        await eventually(settled_at(client, 59), "everything is settled")
    told = await raised(client)
    assert (set(told), len(told)) == (ids(*range(1, 60)), 59)


async def test_a_failure_holds_the_position_is_tried_again_and_delays_nobody(
    client: Client, setup: Setup, judged: Judging
) -> None:
    judged.raises[bad_review(2).id] = [
        TransientError("later"),
        ValueError("a defect"),
        TransientError("later"),
    ]
    async with running(setup.app(retry_delays_s=(0.1, 2.0, 0.1, 0.1))):
        await publish(client, *(bad_review(number) for number in (1, 2, 3)))
        await eventually(has_raised(client, 2), "the others' alerts are stored")
        await eventually(settled_at(client, 1), "the position stands before the one that fails")
        await eventually(settled_at(client, 3), "it is settled at last")
    assert set(await raised(client)) == ids(1, 2, 3)
    assert judged.judged.count(bad_review(2).id) == 4
    assert await stored(client, MessageDeadLettered) == []


async def test_what_no_retry_can_save_is_a_dead_letter_and_the_position_goes_on(
    client: Client, setup: Setup, judged: Judging
) -> None:
    judged.raises[bad_review(1).id] = [PermanentError("no pack")]
    judged.raises[bad_review(2).id] = [TransientError("later")] * 6
    async with running(setup.app(retry_delays_s=(0.1, 0.1, 0.1, 0.1, 0.1))):
        await publish(client, *(bad_review(number) for number in (1, 2, 3)))
        await eventually(settled_at(client, 3), "all three are settled")
    letters = {each.data.sequence: each.data for each in await stored(client, MessageDeadLettered)}
    assert {sequence: each.attempts for sequence, each in letters.items()} == {1: 1, 2: 6}
    assert {(each.consumer, each.service) for each in letters.values()} == {(NOTIFY_RATINGS, "notify")}
    assert set(await raised(client)) == ids(3)


async def test_a_replayed_dead_letter_is_judged_again(client: Client, setup: Setup, judged: Judging) -> None:
    review = bad_review(1)
    judged.raises[review.id] = [PermanentError("mended meanwhile")]
    async with running(setup.app()):
        await publish(client, review)
        await eventually(settled_at(client, 1), "it is given up")
        (letter,) = await list_letters(client)
        _, body = await read_original(client, letter.id)
        await replay(client, letter, body, now=SystemClock().now())
        await eventually(has_raised(client, 1), "its replay raises the alert")
        await eventually(settled_at(client, 2), "and is settled")
    assert set(await raised(client)) == ids(1)


async def test_trouble_with_the_broker_gives_nothing_up(
    client: Client, setup: Setup, judged: Judging
) -> None:
    judged.raises[bad_review(1).id] = [BrokerUnavailableError("away") for _ in range(12)]
    async with running(setup.app(retry_delays_s=(0.01, 0.01))):
        await publish(client, bad_review(1))
        await eventually(settled_at(client, 1), "it is settled")
    assert set(await raised(client)) == ids(1)
    assert await stored(client, MessageDeadLettered) == []


async def test_a_stream_that_was_made_anew_is_judged_from_its_first_message(
    client: Client, setup: Setup
) -> None:
    async with running(setup.app()):
        await publish(client, *(bad_review(number) for number in (1, 2, 3)))
        await eventually(settled_at(client, 3), "all are settled")
    await client.jetstream().delete_stream(FEEDBACK)
    await provision(client)
    await publish(client, *(bad_review(number) for number in (2, 4, 5, 6)))
    async with running(setup.app()):
        await eventually(settled_at(client, 4), "all of the new stream is settled")
    alerts = await raised(client)
    assert set(alerts) == ids(1, 2, 3, 4, 5, 6)
    assert len(alerts) == 6, "2 raised none again"


async def test_a_lost_position_raises_nothing_twice_and_nothing_that_is_too_old(
    client: Client, setup: Setup
) -> None:
    async with running(setup.app()):
        await publish(client, bad_review(1))
        await eventually(settled_at(client, 1), "it is settled")
    await client.jetstream().purge_stream(BUCKET)
    await publish(client, bad_review(2, age=timedelta(days=31)), bad_review(3))
    async with running(setup.app()):
        await eventually(settled_at(client, 3), "all are settled")
    alerts = await raised(client)
    assert (set(alerts), len(alerts)) == (ids(1, 3), 2)


async def test_an_upgrade_judges_what_the_durable_had_not_acknowledged(
    client: Client, setup: Setup, judged: Judging
) -> None:
    old = ConsumerSpec(FEEDBACK, NOTIFY_RATINGS, "notify", ("feedback.v1.submitted.>",), "As before.")
    await client.jetstream().add_consumer(FEEDBACK, consumer_config(old, 1))
    await publish(client, *(bad_review(number) for number in (1, 2, 3)))
    reader = DurableReader(client, FEEDBACK, old.durable)
    first = (await reader.take(1))[0]
    await reader.answer([(first, ACK)])
    await client.flush()
    await reader.close()
    async with running(setup.app()):
        await eventually(settled_at(client, 3), "all are settled")
    assert judged.judged == [bad_review(number).id for number in (2, 3)]
    assert (await provision(client)).removed == (old.durable,)


async def test_two_replicas_judge_everything_and_each_alert_is_one(
    client: Client, setup: Setup, judged: Judging
) -> None:
    async with running(setup.app()), running(setup.app()):
        await publish_many(client, [bad_review(number, grade=1 + number % 4) for number in range(40)])
        await eventually(settled_at(client, 40), "all are settled")
    bad = [number for number in range(40) if number % 4 < 2]
    alerts = await raised(client)
    assert (set(alerts), len(alerts)) == (ids(*bad), len(bad))
    assert all(1 <= judged.judged.count(bad_review(number).id) <= 2 for number in bad)


async def test_of_two_replicas_the_one_that_is_stuck_holds_nothing_up(
    client: Client, setup: Setup, judged: Judging
) -> None:
    review = bad_review(1)
    async with running(setup.app()), running(setup.app(retry_delays_s=(3600.0,))):
        judged.raises[review.id] = [TransientError("for whoever comes first")]
        await publish(client, review)
        await eventually(has_raised(client, 1), "the other one has raised it")
        await eventually(settled_at(client, 1), "and moved the position")
    assert set(await raised(client)) == ids(1)


async def test_with_too_much_under_way_reading_waits(
    client: Client, setup: Setup, judged: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "UNSETTLED", 150)
    monkeypatch.setattr(judging, "AT_WORK", 100)
    take, unsettled = judging.Judging.take, [0]

    def counted(self: judging.Judging, message: StoredMessage, glance: judging.Glance) -> bool:
        new = take(self, message, glance)
        unsettled.append(max(unsettled.pop(), self.unsettled))
        return new

    monkeypatch.setattr(judging.Judging, "take", counted)
    judged.open.clear()
    async with running(setup.app()):
        await publish_many(client, [bad_review(number) for number in range(200)])
        await eventually(lambda: len(judged.judged) == 100, "a hundred are judged")
        await publish_many(client, [bad_review(number) for number in range(200, 2000)])
        infos = await client.jetstream().consumers_info(FEEDBACK)
        waiting = max(each.num_pending or 0 for each in infos if each.name.startswith("fold-"))
        assert waiting > 0, "what came since is still with the broker"
        assert (len(judged.judged), await position(client)) == (100, 0)
        judged.open.set()
        await eventually(settled_at(client, 2000), "all are settled")
    assert len(set(judged.judged)) == 2000
    assert unsettled[0] < 150 + PULL_BATCH


async def test_under_load_the_position_is_written_at_most_once_a_second(client: Client, setup: Setup) -> None:
    loop = asyncio.get_running_loop()
    async with running(setup.app()):
        began = loop.time()
        for number in range(60):
            await publish_many(
                client, [bad_review(number * 50 + each, grade=1 if each == 0 else 5) for each in range(50)]
            )
        await eventually(settled_at(client, 3000), "all are settled")
        took_s = loop.time() - began
        written = (await client.jetstream().stream_info(BUCKET)).state.last_seq
        assert 1 <= written <= 1 + took_s / ratings.SAVE_EVERY_S
        await asyncio.sleep(2 * ratings.SAVE_EVERY_S)
        assert (await client.jetstream().stream_info(BUCKET)).state.last_seq == written, "nothing moved"


async def test_alerts_do_not_wait_for_the_counts_of_a_long_history(
    client: Client, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish_many(client, [bad_review(number, grade=5) for number in range(20)])
    known = KeptPosition(client, FEEDBACK, NOTIFY_RATINGS)
    await known.find()
    await known.save(Mark(20))
    counting = asyncio.Event()
    room = judging.Judging.room

    async def slow_for_the_counts(self: judging.Judging, wait_s: float) -> bool:
        task = asyncio.current_task()
        if task is not None and task.get_name() == FEEDBACK and not counting.is_set():
            await asyncio.sleep(wait_s)
            return False
        return await room(self, wait_s)

    monkeypatch.setattr(judging.Judging, "room", slow_for_the_counts)
    async with running(setup.app()):
        await publish(client, bad_review(100))
        await eventually(settled_at(client, 21), "it is judged while nothing has been counted")
        counting.set()
        await publish(client, bad_review(101))
        await eventually(settled_at(client, 22), "and afterwards")
        await eventually(one_fold(client), "one reader is left")
        await publish(client, bad_review(102))
        await eventually(settled_at(client, 23), "which judges by itself")
    assert set(await raised(client)) == ids(100, 101, 102)


def one_fold(client: Client) -> Callable[[], Awaitable[bool]]:
    async def one() -> bool:
        infos = await client.jetstream().consumers_info(FEEDBACK)
        return len([each for each in infos if each.name.startswith("fold-")]) == 1

    return one


async def test_without_the_bucket_it_is_not_ready_and_judges_nothing(client: Client, setup: Setup) -> None:
    await publish(client, bad_review(1))
    await client.jetstream().delete_stream(BUCKET)
    app = setup.app()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notify") as http,
    ):

        async def waits() -> bool:
            answer = await http.get("/readyz")
            return answer.status_code == 503 and "no position in FEEDBACK" in answer.text

        await eventually(waits, "it says what it lacks")
        assert await raised(client) == []
        await provision(client)
        await eventually(settled_at(client, 1), "it goes on by itself")
    assert await raised(client) == list(ids(1))


async def test_a_broker_that_says_nothing_of_rankings_ends_no_reading_of_ratings(
    client: Client, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(ratings, "RANKING_EVERY_S", 0.0)
    asked: list[str] = []

    async def silent(
        asked_by: JetStreamContext, stream: str, subject: str, *, direct: bool | None = False
    ) -> RawStreamMsg:
        if stream != RANKING:
            return await get_last_msg(asked_by, stream, subject, direct=direct)
        asked.append(stream)
        raise NatsTimeoutError  # what a client says of a frozen broker after five seconds

    get_last_msg = JetStreamContext.get_last_msg
    monkeypatch.setattr(JetStreamContext, "get_last_msg", silent)
    async with running(setup.app()):
        await eventually(lambda: len(asked) > 1, "it is asked again")
        await publish(client, bad_review(1))
        await eventually(settled_at(client, 1), "the rating is settled")
    assert await raised(client) == [alert_id("bad_review", bad_review(1).id)]
