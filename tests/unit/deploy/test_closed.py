"""Restating a closed period under the pack that it was closed under, after another one came into force."""

from datetime import date

import pytest

from deploy.local.errors import LocalError
from deploy.local.history.closed import (
    ClosedCheck,
    closed_answer,
    closed_lines,
    closed_lists,
    restate,
    stops_of_closed,
)
from deploy.local.history.recomputing import Folded, UnknownListError
from services.scoring.application.fold import Fold
from services.scoring.application.recompute import merged
from services.scoring.application.replay import Replay
from shared.events import PeriodRestated
from shared.rules import RulePack
from shared.rules.parsing import parse_pack
from tests.unit.scoring.calendars import KEY, LAST_OPEN, OCTOBER, Calendar, exclusion, noon, october
from tests.unit.scoring.feedback import none_is_invalid
from tests.unit.scoring.publishing import RULES, UNITS
from tests.unit.shared.rules.test_packs import edited

DECEMBER = date(2026, 12, 10)


async def closed_october() -> Calendar:
    """A platform on which October has closed under `RULES`."""
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    return calendar


async def check(calendar: Calendar, only: str | None = None) -> ClosedCheck:
    def by_hash(wanted: str) -> RulePack:
        assert wanted == RULES.hash
        return RULES

    standing = closed_lists(await calendar.live(), OCTOBER, only)
    replay = Replay(UNITS, stops_of_closed(standing, by_hash, len(calendar.stream)))
    replay.take(calendar.stream)
    lists = restate(standing, by_hash, merged(replay.finish()))
    return ClosedCheck(OCTOBER, len(calendar.stream), lists, Folded.of(replay))


async def test_what_scoring_leaves_alone_under_a_new_pack_is_restated_as_it_would_have_been() -> None:
    calendar, as_before = await closed_october(), await closed_october()
    other = parse_pack(edited("^onsite = 400", "onsite = 700"), "other.toml")
    assert other.hash != RULES.hash
    calendar.fold = Fold(UNITS, other, DECEMBER)
    calendar.fold.take(calendar.stream, none_is_invalid)
    for platform in (calendar, as_before):
        platform.clock.time = noon(DECEMBER)
        platform.feed([exclusion(3)])
        await platform.publish()
    assert calendar.said(PeriodRestated) == []
    restated = {
        each.data.list: each.data
        for each in as_before.said(PeriodRestated)
        if isinstance(each.data, PeriodRestated)
    }

    found = await check(calendar)
    moved = {each.standing.key: each for each in found.lists if each.differences}
    assert len(found.lists) == 16
    assert moved.keys() == restated.keys()
    for key, each in moved.items():
        assert each.recomputed is not None
        assert each.recomputed.hash == restated[key].list_hash
    answer, lines = closed_answer(found), closed_lines(found)
    assert not answer["ok"]
    assert answer["lists"][KEY]["rules"]["hash"] == RULES.hash
    assert f"{len(moved)} would be restated" in lines[0]
    assert any(KEY in line and "ratings published 35, recomputed 34" in line for line in lines)
    # What scoring has restated by itself is as it stands.
    assert closed_answer(await check(as_before))["ok"]


async def test_a_period_or_a_list_that_has_not_closed_is_told_with_those_that_have() -> None:
    live = await (await closed_october()).live()
    with pytest.raises(LocalError, match=OCTOBER):
        closed_lists(live, "2026-11", None)
    with pytest.raises(UnknownListError, match=KEY):
        closed_lists(live, OCTOBER, "window.nothing.2026-10")
    assert closed_lists(live, OCTOBER, KEY).keys() == {KEY}
