"""What the rules or the registry no longer have is taken back: lists and units, each told once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.application.fold import Fold
from services.scoring.application.published import STREAM
from services.scoring.application.recompute import diff_lists, recompute
from services.scoring.domain.lists import SUPPRESSED, WITHDRAWN_HASH
from services.scoring.domain.spans import Rolling, parse_span
from shared.events import RankingRevised, UnitScoreChanged
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack
from tests.support.properties import retried
from tests.unit.scoring import publishing
from tests.unit.scoring.calendars import LAST_OPEN, Calendar
from tests.unit.scoring.fakes import MemoryRankingStore
from tests.unit.scoring.feedback import NOW, feedback
from tests.unit.scoring.publishing import RULES

TODAY = NOW.date()
_WINDOWS = publishing.UNITS.by_level(Level.WINDOW)[:12]
_COUNTY = publishing.UNITS.get(_WINDOWS[0].parent_id or "")
_CITY = publishing.UNITS.get(_COUNTY.parent_id or "")
SMALL = UnitRegistry((*_WINDOWS, _COUNTY, _CITY, publishing.UNITS.get(_CITY.parent_id or "")))
"""One county with a window of each kind."""
ONE, OTHER = (unit for unit in _WINDOWS if unit.kind in {"marriage", "lottery"})


def without_kinds(*kinds: str) -> RulePack:
    """The rules without some kinds of window."""
    left = {kind: label for kind, label in RULES.kinds.items() if kind not in kinds}
    return replace(RULES, kinds=left, hash=f"sha256:without {','.join(kinds)}")


def without_a_week() -> RulePack:
    """The rules without the window of seven days."""
    windows = replace(RULES.windows, days=tuple(days for days in RULES.windows.days if days != 7))
    return replace(RULES, windows=windows, hash="sha256:without a week")


def ended(*units: Unit, on: date = TODAY) -> UnitRegistry:
    """The registry in which some units have ended."""
    gone = {unit.unit_id for unit in units}
    return UnitRegistry(replace(unit, valid_to=on) if unit.unit_id in gone else unit for unit in SMALL)


class Changing(Calendar):
    """A platform that begins anew with other rules or another registry."""

    def __init__(self) -> None:
        self.units, self.rules = SMALL, RULES
        super().__init__(TODAY)
        self.renewed()

    def renewed(self, rules: RulePack | None = None, units: UnitRegistry | None = None) -> None:
        """A new life; nothing of memory is left."""
        self.rules, self.units = rules or self.rules, units or self.units
        self.restart()
        self.fold = Fold(self.units, self.rules, self.today)
        self.take(self.stream)

    def rate(self, unit: Unit, count: int = 40, grade: int = 5, day: date | None = None) -> None:
        """Let people rate ``unit`` on ``day``."""
        moment = self.clock.time - timedelta(minutes=5)
        if day is not None:
            moment -= timedelta(days=(self.today - day).days)
        first = len(self.stream)
        self.feed([feedback(unit, number=first + n, grade=grade, occurred_at=moment) for n in range(count)])

    async def publishes(self) -> None:
        """Publish until nothing waits for its minute."""
        for _ in range(2):
            self.clock.pass_time(61)
            await self.publish()

    async def dies_before_the_bucket(self) -> None:
        """What is told does not stand in the bucket."""
        self.clock.pass_time(61)
        self.store.fail_next_commit = True
        with pytest.raises(TransientError):
            await self.publish()

    def revisions(self, key: str) -> list[RankingRevised]:
        return [event.data for event in self.events.revised() if event.data.list == key]

    def moves(self, unit: Unit) -> list[UnitScoreChanged]:
        return [event.data for event in self.events.changed() if event.data.unit_id == unit.unit_id]

    async def assert_subscribers_know(self) -> None:
        """Whoever applies events alone knows what stands; and what stands is what the streams give."""
        live = await self.live()
        shown: dict[str, dict[str, Mapping[str, object]]] = {}
        last: dict[str, RankingRevised] = {}
        for event in self.events.revised():
            data = event.data
            rows = shown.setdefault(data.list, {})
            if any(row["status"] != SUPPRESSED for row in rows.values()):
                assert data.previous_hash == last[data.list].list_hash
            last[data.list] = data
            if data.withdrawn:
                assert (data.units, data.changed, data.list_hash) == (0, (), WITHDRAWN_HASH)
                rows.clear()
            rows.update({row.unit_id: row.model_dump() for row in data.changed})
            for unit_id in data.gone:
                rows.pop(unit_id, None)
        assert {key for key, data in last.items() if not data.withdrawn} <= live.keys()
        assert {key for key, data in last.items() if data.withdrawn}.isdisjoint(live)
        for key, found in live.items():
            told = {each: row for each, row in shown.get(key, {}).items() if row["status"] != SUPPRESSED}
            assert told == {row.unit_id: row._asdict() for row in found.rows if row.status != SUPPRESSED}, key
            assert not told or last[key].list_hash == found.hash, "of one that shows nothing nothing is told"
        standing = {key: found for key, found in live.items() if not found.is_closed}
        again = recompute(self.stream, self.units, self.rules, self.today, {STREAM: self.publisher.position})
        assert diff_lists(standing, again) == []
        self._assert_units(standing)
        assert (await MemoryRankingStore(self.bucket).load()).withdrawn.isdisjoint(live)

    def _assert_units(self, standing: Mapping[str, object]) -> None:
        scores = {event.data.unit_id: event.data.score for event in self.events.changed()}
        lists = self.fold.lists({Rolling(self.rules.windows.primary_days)})
        expected = {
            row.unit_id: row.score
            for key, found in lists.items()
            if key in standing and (".all." not in key or not key.startswith(("window", "province")))
            for row in found.rows
            if row.score is not None
        }
        told = {unit_id: score for unit_id, score in scores.items() if score is not None}
        assert told.keys() == expected.keys()
        for unit_id, score in told.items():
            assert score == pytest.approx(expected[unit_id], abs=RULES.publication.score_changed_min_points)


async def platform() -> Changing:
    """Two windows of two kinds with forty ratings each, published."""
    found = Changing()
    found.rate(ONE)
    found.rate(OTHER)
    await found.publishes()
    await found.assert_subscribers_know()
    return found


@pytest.mark.parametrize("dies", [False, True])
async def test_lists_of_a_kind_that_the_rules_rank_no_more_are_withdrawn_once(
    dies: bool,  # noqa: FBT001 - table-driven
) -> None:
    found = await platform()
    before = await found.live()
    found.renewed(without_kinds(OTHER.kind))
    if dies:
        await found.dies_before_the_bucket()
        assert f"window.{OTHER.kind}.30" in await found.live()
        found.renewed()
    await found.publishes()
    live = await found.live()
    gone = {key for key in before if key.startswith(f"window.{OTHER.kind}.")}
    assert live.keys() == before.keys() - gone
    assert len(gone) == 8
    told = [event.data for event in found.events.revised() if event.data.withdrawn]
    assert Counter(each.list for each in told) == Counter(gone)
    assert {each.list: each.previous_hash for each in told} == {key: before[key].hash for key in gone}
    assert {found.bucket.values[key][0] for key in gone | {f"{key}.0" for key in gone}} == {b""}
    assert [each.reasons for each in found.moves(OTHER)] == [("published",), ("withdrawn",)]
    assert found.moves(OTHER)[-1].list == f"window.{OTHER.kind}.30"
    await found.assert_subscribers_know()
    sent = len(found.events.sent)
    found.renewed()
    assert not await found.publish()
    assert len(found.events.sent) == sent


async def test_lists_of_a_window_that_the_rules_have_no_more_are_withdrawn() -> None:
    found = await platform()
    found.renewed(without_a_week())
    await found.publishes()
    assert not [key for key in await found.live() if key.endswith(".7")]
    assert found.revisions("window.all.7")[-1].withdrawn
    assert [each.reasons for each in found.moves(ONE)] == [("published",)], "it is where it was"
    await found.assert_subscribers_know()


@pytest.mark.parametrize("dies", [False, True])
async def test_a_list_that_comes_back_is_told_whole(dies: bool) -> None:  # noqa: FBT001 - table-driven
    found = await platform()
    key = f"window.{OTHER.kind}.30"
    found.renewed(without_kinds(OTHER.kind))
    await (found.dies_before_the_bucket() if dies else found.publishes())
    found.renewed(RULES)
    await found.publishes()
    back = found.revisions(key)[-1]
    assert (back.previous_hash, back.withdrawn) == (WITHDRAWN_HASH, False)
    assert [row.unit_id for row in back.changed] == [OTHER.unit_id]
    assert [each.reasons for each in found.moves(OTHER)][-2:] == [("withdrawn",), ("published",)]
    await found.assert_subscribers_know()


async def test_a_list_that_only_a_lost_publication_told_of_is_withdrawn_too() -> None:
    found = Changing()
    found.renewed(without_kinds(OTHER.kind))
    found.rate(ONE)
    found.rate(OTHER)
    await found.publishes()
    found.renewed(RULES)
    await found.dies_before_the_bucket()
    found.renewed(without_kinds(OTHER.kind))
    await found.publishes()
    key = f"window.{OTHER.kind}.30"
    assert [each.withdrawn for each in found.revisions(key)] == [False, True]
    await found.assert_subscribers_know()


async def test_a_unit_that_only_a_lost_return_of_its_list_showed_is_gone_from_it() -> None:
    found = await platform()
    found.renewed(units=ended(ONE, OTHER))
    await found.publishes()
    found.renewed(without_a_week(), SMALL)
    await found.dies_before_the_bucket()
    found.renewed(RULES)
    await found.dies_before_the_bucket()
    found.renewed(units=ended(ONE, OTHER))
    await found.publishes()
    told = found.revisions("window.all.7")
    assert [each.withdrawn for each in told[-3:]] == [True, False, False]
    assert set(told[-1].gone) == {ONE.unit_id, OTHER.unit_id}
    await found.assert_subscribers_know()


async def test_a_closed_list_stands_and_one_that_waits_to_be_closed_goes_with_its_kind() -> None:
    found = Changing()
    found.rate(OTHER, day=date(2026, 10, 15))
    found.rate(ONE, day=date(2026, 10, 15))
    await found.publishes()
    found.renewed(without_kinds(ONE.kind))
    await found.on(LAST_OPEN)
    await found.on(LAST_OPEN + timedelta(days=1))
    found.renewed(without_kinds(ONE.kind, OTHER.kind))
    await found.publishes()
    live = await found.live()
    october = {key.split(".")[1] for key in live if key.startswith("window.") and key.endswith(".2026-10")}
    assert OTHER.kind in october
    assert ONE.kind not in october
    assert live[f"window.{OTHER.kind}.2026-10"].is_closed
    assert all(found.is_closed or parse_span(key.split(".")[2]) for key, found in live.items())
    await found.publish()
    assert not await found.publish(), "nothing waits to be closed for ever"


async def over(found: Changing) -> None:
    found.renewed(units=ended(OTHER))


async def no_kind(found: Changing) -> None:
    found.renewed(without_kinds(OTHER.kind))


async def another_kind(found: Changing) -> None:
    changed = replace(OTHER, kind="elsewhere")
    found.renewed(units=UnitRegistry(changed if unit == OTHER else unit for unit in SMALL))


async def no_ratings(found: Changing) -> None:
    found.rate(ONE, day=TODAY + timedelta(days=20))
    await found.on(TODAY + timedelta(days=40))


@pytest.mark.parametrize("leave", [over, no_kind, another_kind, no_ratings])
@pytest.mark.parametrize("dies", [False, True])
async def test_a_unit_that_leaves_its_lists_is_told_to_be_out_exactly_once(
    leave: object,
    dies: bool,  # noqa: FBT001 - table-driven
) -> None:
    assert callable(leave)
    found = await platform()
    if dies:
        found.store.fail_next_commit = leave is no_ratings
        try:
            await leave(found)
        except TransientError:
            pass
        else:
            await found.dies_before_the_bucket()
        found.renewed()
    else:
        await leave(found)
    for _ in range(3):
        await found.publishes()
    found.renewed()
    await found.publishes()
    moves = found.moves(OTHER)
    assert [each.reasons for each in moves] == [("published",), ("withdrawn",)]
    assert (moves[-1].score, moves[-1].rank, moves[-1].band) == (None, None, None)
    assert moves[-1].previous_score == moves[0].score
    assert all(OTHER.unit_id in each.gone or any(row.status == SUPPRESSED for row in each.changed)
               or each.withdrawn for each in found.revisions(f"window.{OTHER.kind}.30")[-1:])  # fmt: skip
    await found.assert_subscribers_know()


async def test_a_unit_that_leaves_within_its_minute_is_told_to_be_out_after_it() -> None:
    found = await platform()
    found.rate(OTHER, grade=1)
    found.clock.pass_time(61)
    await found.publish()
    found.renewed(units=ended(OTHER))
    await found.publish()
    assert found.publisher.is_waiting
    assert found.moves(OTHER)[-1].reasons != ("withdrawn",)
    found.clock.pass_time(61)
    await found.publish()
    assert found.moves(OTHER)[-1].reasons == ("withdrawn",)
    assert not found.publisher.is_waiting


async def test_the_last_shown_unit_of_a_list_is_told_to_be_gone_from_it() -> None:
    found = await platform()
    key = f"window.{OTHER.kind}.30"
    found.renewed(units=ended(OTHER))
    await found.publishes()
    last = found.revisions(key)[-1]
    assert (last.units, last.changed, last.gone, last.withdrawn) == (0, (), (OTHER.unit_id,), False)


REGISTRIES = {"all": SMALL, "one ended": ended(OTHER), "both ended": ended(ONE, OTHER)}
PACKS = {
    "all": RULES,
    "no kind": without_kinds(OTHER.kind),
    "no week": without_a_week(),
    "neither kind": without_kinds(ONE.kind, OTHER.kind),
}
RATED = {"nobody": (), "one": (ONE,), "other": (OTHER,), "both": (ONE, OTHER)}
STEPS = st.tuples(
    st.sampled_from(sorted(PACKS)),
    st.sampled_from(sorted(REGISTRIES)),
    st.sampled_from(sorted(RATED)),
    st.booleans(),
)


@retried(100)
@given(st.lists(STEPS, min_size=1, max_size=5))
async def test_whatever_changes_and_whoever_dies_subscribers_know_what_stands(
    steps: Sequence[tuple[str, str, str, bool]],
) -> None:
    found = await platform()
    for rules, units, rated, dies in steps:
        found.renewed(PACKS[rules], REGISTRIES[units])
        for unit in RATED[rated]:
            found.rate(unit, 7, grade=2)
        if dies:
            found.clock.pass_time(61)
            found.store.fail_next_commit = True
            try:
                await found.publish()
            except TransientError:
                found.renewed()
        else:
            await found.publishes()
            await found.assert_subscribers_know()
    found.renewed()
    await found.publishes()
    await found.assert_subscribers_know()
