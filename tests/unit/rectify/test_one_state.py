"""A case is what its events say: the one decided, the one read again and the one that is shown."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.application.desk import Desk
from services.rectify.application.handlers import ReadCases
from services.rectify.application.ports import StoredCase
from services.rectify.domain import commands as c
from services.rectify.domain.case import CaseClass
from services.rectify.domain.clocks import ClockName
from services.rectify.entrypoints.answers import ClockOut
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, Provenance
from shared.kernel.holidays import Holidays
from shared.kernel.ids import derived_id
from tests.unit.rectify.lives import MONDAY, TEXT, TO_PROGRESS, new_case, plan
from tests.unit.rectify.one_case import NoHolidays, Now, Stream
from tests.unit.shared.auth.rectify_app import NoTexts

CASE = new_case(kind="marriage")
DAY = 24 * 3_600 * 1_000_000
"""In microseconds."""


class Growing(Stream):
    """The stream of a case that moves on between a look at its state and one at its events."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.moves: list[c.Command] = []

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        while self.moves:
            await self.desk.tell(case_id, self.moves.pop())
        return await super().history(case_id)


def desk_on(stream: Stream, clock: Now, holidays: NoHolidays) -> Desk:
    ids = count(1)
    return Desk(
        stream,
        FileRulePacks(None),
        holidays,
        clock,
        RectifyMetrics(),
        lambda _now: derived_id("test", str(next(ids))),
    )


async def carried_out(desk: Desk, command: c.Command) -> StoredCase:
    stored = await desk.tell(CASE.case_id, command)
    assert stored is not None, command
    return stored


class Announced(NoHolidays):
    """Plays `HolidayTable`; days off may be added."""

    def __init__(self) -> None:
        self.table = Holidays()

    def current(self) -> Holidays:
        return self.table


async def test_what_is_shown_of_a_case_ends_with_the_state_that_is_shown() -> None:
    clock = Now()
    stream = Growing(desk := desk_on(Stream(), clock, NoHolidays()))
    desk._store = stream  # noqa: SLF001 - each needs the other
    await desk.open(CASE, by="system", provenance=Provenance("request-1", None, None))
    stream.moves = [c.Classify(CaseClass.B)]
    reading = ReadCases(stream, NoTexts(), None, desk)  # type: ignore[arg-type]  # lists are not asked for
    shown = await reading.get(CASE.case_id)
    assert len(stream.events) == 2, "it did move on meanwhile"
    assert (shown.stored.sequence, shown.stored.case.case_class) == (1, None)
    assert [step.sequence for step in shown.history] == [1]
    assert [step.fact for step in (await reading.get(CASE.case_id)).history] == ["opened", "classified"]


@given(
    microseconds=st.integers(0, 5 * DAY),
    step=st.integers(1, 3_600_000_000),
    rest=st.integers(0, DAY),
)
@settings(max_examples=60)
async def test_clocks_are_read_again_as_they_were_decided_and_no_calendar_moves_them(
    microseconds: int, step: int, rest: int
) -> None:
    """Whatever the moment, to the microsecond: events tell milliseconds."""
    clock, holidays = Now(), Announced()
    stream = Stream()
    desk = desk_on(stream, clock, holidays)
    await desk.open(CASE, by="system", provenance=Provenance("request-1", None, None))
    clock.moment = MONDAY + timedelta(microseconds=microseconds)
    for command in (*TO_PROGRESS, c.Pause(TEXT)):
        clock.moment += timedelta(microseconds=step)
        await carried_out(desk, plan(clock.moment) if isinstance(command, c.MakePlan) else command)
    clock.moment += timedelta(microseconds=rest)
    decided = await carried_out(desk, c.Resume())
    assert decided.case == stream.cases[-1]
    assert not desk.moved_by_calendar(stream.cases[-1])
    off = frozenset((MONDAY + timedelta(days=day)).date() for day in range(2, 60))
    holidays.table = Holidays(off=off)
    assert desk.moved_by_calendar(stream.cases[-1]), "and one that was announced does"


def test_moments_in_answers_are_in_one_form_whoever_reckoned_them() -> None:
    local = datetime.fromisoformat("2026-12-04T11:25:51.771000+08:00")
    assert ClockOut(name=ClockName.SOLVE, due_at=local, stopped_at=None, reached=()).model_dump_json() == (
        '{"name":"solve","due_at":"2026-12-04T03:25:51.771Z","stopped_at":null,"reached":[]}'
    )
    assert ClockOut.model_json_schema(mode="serialization")["properties"]["due_at"]["anyOf"][0] == {
        "type": "string",
        "format": "date-time",
    }
