import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from deploy.local.errors import LocalError
from deploy.local.importing import undoing
from deploy.local.importing.undoing import Undo, UndoError
from shared.messaging.reading import StoredMessage
from tests.unit.deploy.importing.fake_intake import FakeIntake

NOW = "2026-03-01T00:00:00.000Z"


async def imported(intake: FakeIntake, import_id: str, refs: Sequence[str]) -> list[str]:
    lines = [json.dumps({"channel": "paper", "client_ref": ref}).encode() for ref in refs]
    await intake.client().submit(lines, import_id)
    return intake.of(import_id)


def kept(tmp_path: Path) -> list[Undo]:
    return [each for each in [undoing.read_undo(tmp_path, "imp-1")] if each is not None]


async def test_an_undo_takes_two_people_and_excludes_what_the_import_added(tmp_path: Path) -> None:
    intake = FakeIntake()
    before = await imported(intake, "imp-0", ["a", "b"])
    events = await imported(intake, "imp-1", ["b", *(str(n) for n in range(1_200))])
    asked = undoing.request("imp-1", events, "clerk", NOW, None)
    assert set(intake.states.values()) == {"counted"}
    with pytest.raises(UndoError, match="another person"):
        undoing.approve(asked, "imp-1", events, "clerk", NOW)
    agreed = undoing.approve(asked, "imp-1", events, "city-reviewer", NOW)
    seen: list[int] = []
    done = await undoing.carry_out(
        agreed, events, intake.client(), lambda each: undoing.write_undo(tmp_path, each), seen.append
    )
    assert done.done
    assert done.outcomes == {"excluded": 1_200}
    assert seen == [500, 1_000, 1_200]
    assert all(intake.states[event] == "excluded" for event in events)
    assert all(intake.states[event] == "counted" for event in before)
    ((_, body),) = intake.revisions[events[0]]
    assert body == {"reason": "wrong_import", "decided_by": "city-reviewer.clerk"}
    assert kept(tmp_path) == [done]
    with pytest.raises(UndoError, match="nothing is left to do"):
        undoing.request("imp-1", events, "clerk", NOW, done)


async def test_a_second_undo_adds_nothing() -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", ["a", "b", "c"])
    undo = undoing.approve(undoing.request("imp-1", events, "x", NOW, None), "imp-1", events, "y", NOW)
    await undoing.carry_out(undo, events, intake.client(), lambda _: None)
    intake.states[events[0]] = "counted"  # an appeal was upheld
    await undoing.carry_out(undo, events, intake.client(), lambda _: None)
    other = undoing.approve(undoing.request("imp-1", events, "y", NOW, None), "imp-1", events, "x", NOW)
    done = await undoing.carry_out(other, events, intake.client(), lambda _: None)
    assert [len(intake.revisions[event]) for event in events] == [1, 1, 1]
    assert intake.states[events[0]] == "counted"
    assert done.outcomes == {"counted before": 1, "excluded before": 2}


async def test_killed_in_the_middle_an_undo_goes_on_as_it_was_decided(tmp_path: Path) -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", [str(n) for n in range(1_100)])
    undo = undoing.approve(undoing.request("imp-1", events, "x", NOW, None), "imp-1", events, "y", NOW)
    undoing.write_undo(tmp_path, undo)

    def fail(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500, json={"status": 500}) if events[700] in request.url.path else None

    intake.before = fail
    with pytest.raises(LocalError):
        await undoing.carry_out(
            undo, events, intake.client(), lambda each: undoing.write_undo(tmp_path, each)
        )
    intake.before = lambda _: None
    (halfway,) = kept(tmp_path)
    assert (halfway.excluded, halfway.done) == (500, False)
    again = undoing.approve(halfway, "imp-1", events, "z", NOW)
    assert again.decided_by == "y.x"
    with pytest.raises(UndoError, match=r"being undone by x and y.*--approve"):
        undoing.request("imp-1", events, "x", NOW, halfway)
    done = await undoing.carry_out(again, events, intake.client(), lambda _: None)
    assert done.outcomes == {"excluded": 1_100}
    assert {len(each) for each in intake.revisions.values()} == {1}


async def test_what_was_withdrawn_or_excluded_before_is_left_alone() -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", ["a", "b", "c"])
    intake.states[events[0]], intake.states[events[1]] = "withdrawn", "excluded"
    undo = undoing.approve(undoing.request("imp-1", events, "x", NOW, None), "imp-1", events, "y", NOW)
    done = await undoing.carry_out(undo, events, intake.client(), lambda _: None)
    assert done.outcomes == {"withdrawn before": 1, "excluded before": 1, "excluded": 1}


def test_nothing_and_more_than_was_asked_for_are_refused() -> None:
    with pytest.raises(UndoError, match="has added ratings"):
        undoing.request("imp-1", [], "x", NOW, None)
    with pytest.raises(UndoError, match="somebody has asked for"):
        undoing.approve(None, "imp-1", ["a"], "y", NOW)
    asked = undoing.request("imp-1", ["a"], "x", NOW, None)
    with pytest.raises(UndoError, match=r"2 ratings.*the 1 that x"):
        undoing.approve(asked, "imp-1", ["a", "b"], "y", NOW)


@pytest.mark.parametrize("name", ["张三", "Clerk", "a.b", "x" * 31, "", "-x"])
def test_who_decides_is_a_role_and_no_name(name: str) -> None:
    with pytest.raises(UndoError, match="role or credential"):
        undoing.person(name)


async def test_the_events_of_an_import_are_those_that_say_so() -> None:
    def message(event: str, import_id: str | None, text: str = "") -> StoredMessage:
        envelope = {"id": event, "importid": import_id, "data": {"text": text}}
        return StoredMessage("s", json.dumps(envelope).encode(), "FEEDBACK", 1, 1, 0, 1, 0, "")

    async def feedback() -> AsyncIterator[list[StoredMessage]]:
        yield [message("b", "imp-1"), message("c", "imp-10"), message("d", None, "imp-1")]
        yield [message("a", "imp-1"), message("b", "imp-1")]

    assert await undoing.events_of("imp-1", feedback()) == ["a", "b"]
