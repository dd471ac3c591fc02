"""A correction changes what rankings count by, so it takes two people; and whose it is over HTTP."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.application.approval_messages import apply_approval, requested_event
from services.intake.application.carrying_out import GRACE_S
from services.intake.application.errors import KeyReusedError, MoveNotOpenError, SamePersonError
from services.intake.domain.approvals import Approval, ApprovalBook, Kind, Outcomes, Request, Stage
from services.intake.domain.decisions import Changes
from services.intake.domain.revisions import State
from shared.events import FeedbackCorrected
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Dimension
from shared.kernel.ids import derived_id
from shared.observability.tracing import message_context
from tests.unit.intake.port_suites import UNITS
from tests.unit.intake.test_approvals import CLERK, NOW, REVIEWER, Office
from tests.unit.intake.test_approvals_by_place import ANYI, DONGHU, as_supervisor, served

WORSE = Changes(grade=2)


async def asked(
    office: Office, target: str, changes: Changes = WORSE, key: str | None = None, reason: str = "mistyped"
) -> Approval:
    history = office.reviser.history(target)
    return await office.approvals.correct(history, changes, reason, CLERK, office.facts(key))


async def carried_out(office: Office, approval: Approval) -> Outcomes | None:
    office.work.mine((await office.grant(approval)).request.approval_id)
    assert await office.work.run_once() == 1
    return office.approvals.get(approval.request.approval_id).outcomes


async def test_nothing_is_corrected_before_a_second_person_agrees_and_both_are_named_afterwards() -> None:
    office = Office()
    (target,) = await office.rated("a")
    approval = await asked(office, target, Changes("U000201", 1, {"service": 2}))
    assert (approval.request.kind, approval.stage(NOW)) == (Kind.CORRECTION, Stage.PENDING)
    with pytest.raises(SamePersonError, match="another person than the one who asked"):
        await office.grant(approval, CLERK)
    assert await office.work.run_once() == 0
    assert office.said(FeedbackCorrected) == []
    assert await carried_out(office, approval) == Outcomes(1, {})
    (event,) = office.said(FeedbackCorrected)
    assert (event.requested_by, event.decided_by) == (CLERK.credential, REVIEWER.credential)
    assert event.approval_id == approval.request.approval_id
    assert (event.corrected.unit_id, event.corrected.grade) == ("U000201", 1)
    assert event.corrected.dimensions.service == 2
    assert (event.reason, office.state(target)) == ("mistyped", State.COUNTED)


async def test_a_rejected_correction_changes_nothing() -> None:
    office = Office()
    (target,) = await office.rated("a")
    approval = await asked(office, target)
    await office.approvals.decide(approval.request.approval_id, REVIEWER, "unfounded", office.facts())
    assert await office.work.run_once() == 0
    assert office.said(FeedbackCorrected) == []


async def test_a_killed_replica_leaves_a_correction_to_another_which_does_it_once() -> None:
    office = Office()
    (target,) = await office.rated("a")
    await office.grant(await asked(office, target))
    other = Office(office)
    assert await other.work.run_once() == 0
    other.clock.advance(seconds=GRACE_S + 1)
    assert await other.work.run_once() == 1
    office.log.fold()
    assert await office.work.run_once() == 0
    assert [event.corrected.grade for event in office.said(FeedbackCorrected)] == [2]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (Changes(), "body"),
        (Changes(grade=5), "body"),
        (Changes(unit_id="U999999"), "unit_id"),
    ],
)
async def test_what_cannot_be_corrected_is_named_when_it_is_asked_for(changes: Changes, named: str) -> None:
    office = Office()
    (target,) = await office.rated("a")
    assert office.reviser.history(target).grade == 5
    with pytest.raises(InvalidValueError) as refused:
        await asked(office, target, changes)
    assert refused.value.field == named
    assert office.approvals.all() == ()


async def test_only_a_rating_that_counts_can_be_corrected() -> None:
    office = Office()
    (target,) = await office.rated("a")
    await office.excluded(target)
    with pytest.raises(MoveNotOpenError):
        await asked(office, target)


async def test_what_became_of_the_rating_meanwhile_decides() -> None:
    office = Office()
    same, out = await office.rated("a", "b")
    first, again = await asked(office, same), await asked(office, same)
    late = await asked(office, out)
    assert await carried_out(office, first) == Outcomes(1, {})
    assert await carried_out(office, again) == Outcomes(0, {"counted": (same,)})
    await office.excluded(out)
    assert await carried_out(office, late) == Outcomes(0, {"excluded": (out,)})
    assert len(office.said(FeedbackCorrected)) == 1


async def test_the_same_request_again_is_the_same_also_once_it_is_carried_out() -> None:
    office = Office()
    (target,) = await office.rated("a")
    approval = await asked(office, target, key="k")
    assert await asked(office, target, key="k") == approval
    await carried_out(office, approval)
    repeated = await asked(office, target, key="k")
    assert repeated.request.approval_id == approval.request.approval_id
    assert repeated.stage(NOW) is Stage.CARRIED_OUT
    for changes, reason in ((Changes(grade=3), "mistyped"), (WORSE, "call_back")):
        with pytest.raises(KeyReusedError):
            await asked(office, target, changes, "k", reason)


DIMENSIONS = st.none() | st.dictionaries(
    st.sampled_from([each.value for each in Dimension]), st.integers(1, 5)
)
CHANGES = st.builds(Changes, st.sampled_from([None, ANYI]), st.none() | st.integers(1, 5), DIMENSIONS)


@given(CHANGES)
def test_what_is_asked_for_comes_back_from_its_event(changes: Changes) -> None:
    request = Request(
        derived_id("a"),
        Kind.CORRECTION,
        "mistyped",
        CLERK,
        NOW,
        NOW,
        "c",
        (derived_id("t"),),
        changes=changes,
    )
    book = ApprovalBook()
    apply_approval(book, requested_event(request, Office().facts()), 1)
    found = book.get(request.approval_id)
    assert found is not None
    assert found.request.changes == changes


@pytest.mark.parametrize(
    ("region", "status"),
    [("360123", 404), ("360102", 404), ("360700", 404), ("360100", 202), ("360000", 202)],
)
async def test_who_decides_sees_the_unit_that_it_was_taken_down_for_and_the_one_that_was_meant(
    region: str, status: int
) -> None:
    office = Office()
    (target,) = await office.rated("a", unit_id=ANYI)
    approval = await asked(office, target, Changes(unit_id=DONGHU), reason="wrong_unit")
    path = f"/v1/approvals/{approval.request.approval_id}"
    async with as_supervisor(served(office), region) as http:
        with message_context(correlation_id="c-1"):
            granted = await http.post(f"{path}/approve", json={})
        assert granted.status_code == status, granted.text
        assert len((await http.get("/v1/approvals")).json()["items"]) == (status == 202)
        if status == 202:
            await office.work.run_once()
    async with as_supervisor(served(office), "360102") as http:
        assert (await http.get(path)).status_code == 404, "nor once it is carried out"


async def test_the_bureau_that_a_rating_would_come_to_does_not_decide_about_it() -> None:
    office = Office()
    (target,) = await office.rated("a", unit_id=ANYI)
    bureau = UNITS.get(ANYI).parent_id
    approval = await asked(office, target, Changes(unit_id=bureau), reason="wrong_unit")
    path = f"/v1/approvals/{approval.request.approval_id}/approve"
    async with as_supervisor(served(office), "360123") as http:
        refused = await http.post(path, json={})
    assert (refused.status_code, "decides nothing" in refused.text) == (403, True), refused.text
    assert approval.verdict is None


async def test_over_http_a_correction_is_asked_for_and_shown_to_whoever_decides() -> None:
    office = Office()
    (target,) = await office.rated("a", unit_id=ANYI)
    body: dict[str, Any] = {"reason": "mistyped", "grade": 2, "dimensions": {}}
    async with as_supervisor(served(office), "360123") as http:
        with message_context(correlation_id="c-1"):
            answer = await http.post(f"/v1/feedback/{target}/corrections", json=body)
        assert answer.status_code == 202, answer.text
        said = answer.json()
        assert (said["kind"], said["stage"], said["size"]) == ("correction", "pending", 1)
        assert said["correction"] == {"grade": 2, "dimensions": {}}
        alone = await http.post(f"/v1/approvals/{said['approval_id']}/approve", json={})
    assert (alone.status_code, "two-person rule" in alone.text) == (403, True)
    async with as_supervisor(served(office), "360100") as http:
        listed = (await http.get("/v1/approvals", params={"kind": "correction"})).json()["items"]
        assert [each["correction"] for each in listed] == [{"grade": 2, "dimensions": {}}]
        assert json.dumps(listed).count(target) == 0, "which rating it is, only of one"
    assert office.said(FeedbackCorrected) == []
