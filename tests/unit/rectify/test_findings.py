"""Findings of supervision: what opens a case, what takes it back, and that nothing opens two."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.application.desk import Desk
from services.rectify.application.findings import FollowFindings
from services.rectify.application.ports import StoredCase
from services.rectify.domain.case import Case, Origin, Status
from services.rectify.domain.opening import case_id_of_finding
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope
from shared.events.supervision import FindingVerified, IncidentRecorded, InspectionRecorded
from shared.kernel.units import load_units
from shared.rules import parse_pack
from shared.rules.loading import read_texts
from shared.rules.rectify import Rectify
from shared.testing.builders import CITY, COUNTY, UNIT, envelope_of
from shared.testing.registry_builders import example_of
from tests.unit.rectify.lives import MONDAY
from tests.unit.rectify.one_case import NoHolidays, Now, Stream

PLACE = {"unit_id": UNIT, "city": CITY, "county": COUNTY}


class Cases:
    """Plays `CaseStore` for many cases."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    async def load(self, case_id: str) -> StoredCase | None:
        return await self.streams.setdefault(case_id, Stream()).load(case_id)

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        return await self.streams[case.case_id].store(event, case, replaces=replaces)

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        return await self.streams[case_id].history(case_id)


class Recorded:
    """Plays `RecordedFindings`."""

    def __init__(self) -> None:
        self.events: dict[str, Envelope[Any]] = {}

    async def find(self, family: str, finding_id: str, city: str, county: str) -> Envelope[Any] | None:
        assert (family in {"inspection", "incident"}, city, county) == (True, CITY, COUNTY)
        return self.events.get(finding_id)


class Following:
    """Findings as they come, and the cases after them."""

    def __init__(self) -> None:
        self.cases, self.recorded, self.clock = Cases(), Recorded(), Now()
        metrics = RectifyMetrics()
        desk = Desk(self.cases, FileRulePacks(None), NoHolidays(), self.clock, metrics, lambda _now: "0" * 32)
        self.follow = FollowFindings(desk, self.recorded, load_units(), metrics, max_age=timedelta(days=30))

    async def comes(self, data: Any, at: datetime = MONDAY, **fields: Any) -> Envelope[Any]:  # noqa: ANN401 - an event's data
        event = envelope_of(data, time=at, **fields)
        if not isinstance(data, FindingVerified):
            self.recorded.events[event.id] = event
        for _ in range(2):  # and a redelivery
            await self.follow(event)
        return event

    async def decided(self, finding: Envelope[Any], verification: str, revision: int) -> None:
        family = "inspection" if isinstance(finding.data, InspectionRecorded) else "incident"
        await self.comes(
            example_of(
                FindingVerified, **PLACE, finding_id=finding.id, finding=family, revision=revision,
                verification=verification,
            )
        )  # fmt: skip

    async def case(self, finding: Envelope[Any]) -> Case | None:
        stored = await self.cases.load(case_id_of_finding(finding.id))
        return None if stored is None else stored.case

    async def status(self, finding: Envelope[Any]) -> Status | None:
        case = await self.case(finding)
        return None if case is None else case.status


def inspection(finding: str = "serious", verification: str = "reported") -> InspectionRecorded:
    return example_of(InspectionRecorded, **PLACE, finding=finding, verification=verification)


def incident(kind: str = "group_petition", verification: str = "reported") -> IncidentRecorded:
    return example_of(IncidentRecorded, **PLACE, verification=verification).model_copy(update={"kind": kind})


@pytest.mark.parametrize(
    ("finding", "verification", "opens"),
    [
        ("minor", "reported", True),
        ("serious", "verified", True),
        ("criticised", "reported", True),
        ("none", "verified", False),
        ("serious", "refuted", False),
    ],
)
async def test_a_spot_checks_finding_opens_one_case(finding: str, verification: str, *, opens: bool) -> None:
    following = Following()
    event = await following.comes(inspection(finding, verification))
    case = await following.case(event)
    assert (case is not None) is opens
    if case is not None:
        assert (case.origin, case.ref, case.unit_id, case.kind, case.version) == (
            Origin.INSPECTION, event.id, UNIT, "marriage", 1,
        )  # fmt: skip
        assert not case.has_citizen, "a supervisor confirms"
        assert not case.has_contact


@pytest.mark.parametrize(
    ("kind", "verification", "opens"),
    [
        ("group_petition", "verified", True),
        ("broken_promise", "verified", True),
        ("group_petition", "reported", False),
        ("crime", "verified", False),
        ("liability_accident", "verified", False),
    ],
)
async def test_an_incident_that_citizens_wait_for_an_answer_to_opens_one_when_it_is_verified(
    kind: str, verification: str, *, opens: bool
) -> None:
    following = Following()
    event = await following.comes(incident(kind, verification))
    case = await following.case(event)
    assert (case is not None) is opens
    assert case is None or case.origin is Origin.INCIDENT


async def test_a_reported_incident_opens_its_case_once_somebody_has_verified_it() -> None:
    following = Following()
    event = await following.comes(incident())
    assert await following.case(event) is None
    await following.decided(event, "verified", 1)
    assert await following.status(event) is Status.OPENED
    await following.decided(event, "refuted", 2)
    assert await following.status(event) is Status.ANNULLED


async def test_a_refuted_finding_annuls_its_case_and_another_look_revives_it() -> None:
    following = Following()
    event = await following.comes(inspection())
    await following.decided(event, "verified", 1)
    assert await following.status(event) is Status.OPENED
    await following.decided(event, "refuted", 2)
    case = await following.case(event)
    assert case is not None
    assert (case.status, case.annulment) == (Status.ANNULLED, "refuted")
    await following.decided(event, "reported", 3)
    assert await following.status(event) is Status.OPENED
    await following.decided(event, "refuted", 2)
    assert await following.status(event) is Status.OPENED, "an older word changes nothing"


async def test_what_was_recorded_as_refuted_opens_a_case_when_it_is_verified_after_all() -> None:
    following = Following()
    event = await following.comes(inspection(verification="refuted"))
    await following.decided(event, "verified", 1)
    assert await following.status(event) is Status.OPENED


async def test_drills_old_findings_and_findings_that_nobody_knows_open_nothing() -> None:
    following = Following()
    drill = await following.comes(inspection(), synthetic=True)
    await following.decided(drill, "verified", 1)
    old = await following.comes(inspection(), MONDAY - timedelta(days=31))
    unknown = envelope_of(inspection(), time=MONDAY)
    await following.decided(unknown, "verified", 1)
    for event in (drill, old, unknown):
        assert await following.case(event) is None


def test_which_findings_open_a_case_is_the_packs_word_and_old_packs_need_not_say() -> None:
    ((_, text),) = read_texts(None)
    assert parse_pack(text, "shipped").rectify == Rectify()
    younger = ("finding_opens", "incident_opens", "pause_max_wd", "inquiry_wd")
    lines = [line for line in text.splitlines() if not line.startswith(younger)]
    assert parse_pack("\n".join(lines), "old").rectify == Rectify()
    never = text.replace('finding_opens = ["minor", "serious", "criticised"]', "finding_opens = []")
    assert parse_pack(never, "edited").rectify.finding_opens == ()
    with pytest.raises(Exception, match=r"rectify\.incident_opens: Got \['strike'\]"):
        parse_pack(text.replace('["group_petition", "broken_promise"]', '["strike"]'), "wrong")
