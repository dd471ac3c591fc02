"""Batches of ratings."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import thread_time

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from tests.integration.intake.conftest import RATING, Intake, StartIntake, submitted

pytestmark = pytest.mark.integration


def line(ref: str | None, **change: object) -> str:
    return json.dumps(RATING | {"client_ref": ref} | change)


async def test_good_lines_go_in_and_bad_ones_are_reported_with_their_number(
    intake: Intake, broker: Client
) -> None:
    answer = await intake.submit_lines(
        line("a"),
        "",
        line("b", grade=9),
        "{broken",
        line(None),
        b"\xff",
        line("a"),
        line("a", grade=1),
        line("c"),
    )
    assert answer.status_code == 200
    body = answer.json()
    assert [(each["line"], each["status"]) for each in body["results"]] == [
        (1, "accepted"),
        (3, "rejected"),
        (4, "rejected"),
        (5, "rejected"),
        (6, "rejected"),
        (7, "duplicate"),
        (8, "conflict"),
        (9, "accepted"),
    ]
    assert {name: body[name] for name in ("accepted", "duplicate", "conflict", "rejected")} == {
        "accepted": 2,
        "duplicate": 1,
        "conflict": 1,
        "rejected": 4,
    }
    for each in body["results"]:
        for error in each.get("errors", ()):
            assert set(error) == {"field", "value", "expected", "remedy"}
    assert body["results"][0]["receipt_code"] == body["results"][5]["receipt_code"]
    assert "receipt_code" not in body["results"][6]
    assert [event.id for event in await submitted(broker)] == [
        body["results"][0]["event_id"],
        body["results"][7]["event_id"],
    ]


async def test_the_same_batch_again_adds_nothing(intake: Intake, broker: Client) -> None:
    lines = [line(f"r{n}", text="不错" if n % 3 == 0 else None) for n in range(1200)]
    first = (await intake.submit_lines(*lines)).json()
    again = (await intake.submit_lines(*lines)).json()
    assert (first["accepted"], again["accepted"], again["duplicate"]) == (1200, 0, 1200)
    assert [each["receipt_code"] for each in again["results"]] == [
        each["receipt_code"] for each in first["results"]
    ]
    assert len(await submitted(broker)) == 1200


async def test_a_key_with_the_batch_stands_for_its_lines(intake: Intake, broker: Client) -> None:
    lines = [line(None, grade=4), "", line(None, grade=4)]
    first = (await intake.submit_lines(*lines, **{"Idempotency-Key": "file-1"})).json()
    again = (await intake.submit_lines(*lines, **{"Idempotency-Key": "file-1"})).json()
    blank = (await intake.submit_lines("", *lines, "", **{"Idempotency-Key": "file-1"})).json()
    assert [(each["line"], each["status"]) for each in blank["results"]] == [
        (2, "duplicate"),
        (4, "duplicate"),
    ]
    other = (await intake.submit_lines(*lines, **{"Idempotency-Key": "file-2"})).json()
    assert (first["accepted"], again["duplicate"], other["accepted"]) == (2, 2, 2)
    assert len(await submitted(broker)) == 4


async def test_a_conflict_names_the_key_that_the_line_had(intake: Intake) -> None:
    key = {"Idempotency-Key": "file-1"}
    await intake.submit_lines(line(None), line("own"), **key)
    answer = await intake.submit_lines(line(None, grade=1), line("own", grade=1), **key)
    conflicts = answer.json()["results"]
    assert [each["status"] for each in conflicts] == ["conflict", "conflict"]
    errors = [error for each in conflicts for error in each["errors"]]
    assert [error["field"] for error in errors] == ["Idempotency-Key", "client_ref"]
    assert "client_ref" not in str(errors[0])
    assert "reference" not in str(errors[0])


async def test_the_description_says_which_key_of_a_batch_goes_first(intake: Intake) -> None:
    paths = (await intake.http.get("/openapi.json")).json()["paths"]
    described = {
        path: parameter["description"]
        for path in ("/v1/feedback", "/v1/feedback/batch")
        for parameter in paths[path]["post"]["parameters"]
        if parameter["name"] == "Idempotency-Key"
    }
    assert "Beside a client_ref it is a second name" in described["/v1/feedback"]
    assert "a line with a client_ref goes by that alone" in described["/v1/feedback/batch"]


async def test_a_single_rating_and_a_line_with_one_reference_are_one_rating(
    intake: Intake, broker: Client
) -> None:
    single = await intake.submit(RATING)
    batch = (await intake.submit_lines(line("ref-1"))).json()
    assert batch["results"][0]["status"] == "duplicate"
    assert batch["results"][0]["event_id"] == single.json()["event_id"]
    assert len(await submitted(broker)) == 1


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"\xef\xbb\xbf{}", 422, "byte order mark"),
        (b"\n\n", 422, "at least one rating"),
        (b"{}\n" * 10_001, 422, "at most 10000 lines"),
        (b"x" * (16 * 1024 * 1024 + 1), 413, "split the batch"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_as_a_whole(
    intake: Intake, content: bytes, status: int, words: str
) -> None:
    answer = await intake.submit_lines(content)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


async def test_a_batch_must_say_that_it_is_one(intake: Intake) -> None:
    answer = await intake.submit_lines(line("a"), **{"Content-Type": "application/json"})
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]
    packed = await intake.submit_lines(line("a"), **{"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    assert "without compression" in packed.json()["detail"]


async def test_a_client_that_sends_no_body_does_not_keep_others_from_their_batches(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    assert broker.is_connected
    never = asyncio.Event()

    async def nothing() -> AsyncIterator[bytes]:
        await never.wait()
        yield b""

    async with start_intake(nats_server, batches_at_once=1, body_timeout_s=0.5) as intake:
        idle = asyncio.create_task(
            intake.http.post(
                "/v1/feedback/batch", content=nothing(), headers={"Content-Type": "application/x-ndjson"}
            )
        )
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            answer = await intake.submit_lines(line("a"))
        assert answer.json()["accepted"] == 1
        assert (await idle).status_code == 408


LONG = "窗口的工作人员很耐心，等了15分钟就办好了，材料要3份复印件。" * 60
MARKS = "a" + "\u0301" * 10_000 + "\u0323" * 19_000
HOSTILE = {
    "long texts": [line(f"l{n}", text=LONG[n % 40 :][:1_800]) for n in range(400)],
    "marks without an end": [
        json.dumps(RATING | {"client_ref": f"m{n}", "text": MARKS}, ensure_ascii=False) for n in range(80)
    ],
    "thousands of unknown names": [line(f"u{n}", **{f"x{m}": 1 for m in range(4_500)}) for n in range(100)],
}


MOST_OF_ALL = 0.2
"""Of a batch's work, in one turn of the event loop: a slice and its last line are a twentieth at most, and
without slices a turn has half of the work or more. All is measured in one run: slow machines change nothing.
"""


@contextmanager
def nothing_older_collected() -> Iterator[None]:
    """A garbage collection within the block looks only at what the block made."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("kind", HOSTILE)
async def test_whatever_a_batch_costs_others_get_their_turn_meanwhile(intake: Intake, kind: str) -> None:
    turns: list[float] = []

    async def others() -> None:
        while True:
            began = thread_time()
            await asyncio.sleep(0)
            turns.append(thread_time() - began)

    with nothing_older_collected():
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        answer = await intake.submit_lines(*HOSTILE[kind])
        await asyncio.sleep(0)  # the last turn counts, too
        task.cancel()
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == len(HOSTILE[kind])
    assert max(turns) < MOST_OF_ALL * sum(turns), f"{max(turns):.3f} s of {sum(turns):.3f} s in one turn"
