import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from deploy.local.errors import LocalError
from deploy.local.importing import undoing
from deploy.local.importing.undoing import Undo, UndoError
from shared.messaging.stored import StoredMessage
from tests.unit.deploy.importing.fake_intake import FakeIntake


async def imported(intake: FakeIntake, import_id: str, refs: Sequence[str]) -> list[str]:
    lines = [json.dumps({"channel": "paper", "client_ref": ref}).encode() for ref in refs]
    await intake.client().submit(lines, import_id)
    return intake.of(import_id)


async def ask(intake: FakeIntake, events: Sequence[str], by: str = "clerk") -> Undo:
    return await undoing.ask("imp-1", events, by, "county", intake.client())


async def agree(intake: FakeIntake, events: Sequence[str], by: str = "city-reviewer") -> Undo:
    return await undoing.agree("imp-1", events, by, "city", intake.client())


async def test_an_undo_takes_two_people_and_excludes_what_the_import_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 500)
    intake = FakeIntake()
    before = await imported(intake, "imp-0", ["a", "b"])
    events = await imported(intake, "imp-1", ["b", *(str(n) for n in range(1_200))])
    asked = await ask(intake, events)
    assert (asked.events, len(asked.approvals), asked.done) == (1_200, 3, False)
    assert await ask(intake, events) == asked
    assert set(intake.states.values()) == {"counted"}
    with pytest.raises(LocalError, match="another person"):
        await agree(intake, events, "clerk")
    done = await agree(intake, events)
    assert done.done
    assert (done.requested_by, done.approved_by, done.outcomes) == (
        "clerk", "city-reviewer", {"excluded": 1_200},
    )  # fmt: skip
    assert {each["reason"] for each in intake.asked.values()} == {"wrong_import"}
    assert all(intake.states[event] == "excluded" for event in events)
    assert all(intake.states[event] == "counted" for event in before)
    with pytest.raises(UndoError, match="nothing is left to do"):
        await ask(intake, events)


async def test_a_second_undo_adds_nothing() -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", ["a", "b", "c"])
    await ask(intake, events)
    done = await agree(intake, events)
    intake.states[events[0]] = "counted"  # an appeal was upheld
    assert await agree(intake, events, "somebody-else") == done
    assert intake.states[events[0]] == "counted"


async def test_killed_in_the_middle_an_undo_goes_on_as_it_was_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(undoing, "CHUNK", 500)
    intake = FakeIntake()
    events = await imported(intake, "imp-1", [str(n) for n in range(1_100)])
    asked = await ask(intake, events)

    def fail(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500, json={"status": 500}) if asked.approvals[1] in request.url.path else None

    intake.before = fail
    with pytest.raises(LocalError):
        await agree(intake, events)
    intake.before = lambda _: None
    halfway = await undoing.standing("imp-1", intake.client())
    assert halfway is not None
    assert (halfway.approved_by, halfway.done) == ("city-reviewer", False)
    with pytest.raises(UndoError, match=r"being undone by clerk and city-reviewer.*--approve"):
        await ask(intake, events)
    done = await agree(intake, events)
    assert done.outcomes == {"excluded": 1_100}


async def test_what_was_withdrawn_or_excluded_before_is_left_alone() -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", ["a", "b", "c"])
    intake.states[events[0]], intake.states[events[1]] = "withdrawn", "excluded"
    await ask(intake, events)
    done = await agree(intake, events)
    assert done.outcomes == {"withdrawn before": 1, "excluded before": 1, "excluded": 1}


async def test_nothing_and_more_than_was_asked_for_are_refused() -> None:
    intake = FakeIntake()
    with pytest.raises(UndoError, match="has added ratings"):
        await ask(intake, [])
    with pytest.raises(UndoError, match="somebody has asked for"):
        await agree(intake, ["a"])
    await ask(intake, ["a"])
    with pytest.raises(UndoError, match=r"2 ratings.*the 1 that clerk"):
        await agree(intake, ["a", "b"])


async def test_what_was_refused_or_expired_can_be_asked_for_anew() -> None:
    intake = FakeIntake()
    events = await imported(intake, "imp-1", ["a"])
    first = await ask(intake, events)
    intake.asked[first.approvals[0]]["stage"] = "expired"
    assert await undoing.standing("imp-1", intake.client()) is None
    again = await ask(intake, events, "other-clerk")
    assert again.approvals != first.approvals


@pytest.mark.parametrize("name", ["张三", "Clerk", "x" * 65, "", "-x"])
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
