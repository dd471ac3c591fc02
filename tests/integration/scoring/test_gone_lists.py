"""Lists and units that a new rule pack or registry no longer has, on a real broker: gone, told, and once."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from nats.aio.client import Client

from services.scoring.adapters.nats_ranking_store import PREFIX, STREAM, read_all_lists, read_list
from services.scoring.application.recompute import diff_lists, recompute_like
from services.scoring.domain.lists import ListKey
from shared.events import Envelope, RankingRevised, UnitScoreChanged, parse_envelope
from shared.kernel.clock import business_day
from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Level
from shared.kernel.unit_tables import units_text
from shared.kernel.units import Unit, UnitRegistry
from shared.messaging.streams import FEEDBACK, RANKING
from shared.rules import load_pack
from tests.integration.scoring.conftest import ROOT, ScoringProcess, publish
from tests.integration.scoring.support import UNITS, eventually, now, read_stream
from tests.unit.scoring.feedback import feedback

pytestmark = pytest.mark.integration
Start = Callable[..., ScoringProcess]
LOTTERY, OTHER, MARRIAGE = (
    UNITS.by_level(Level.WINDOW, kind)[place]
    for kind, place in (("lottery", 0), ("marriage", 0), ("marriage", 1))
)


def pack(path: Path, *changes: tuple[str, str]) -> Path:
    """The committed rule pack with other words in places, at ``path``; it tells of units once a second."""
    text = (ROOT / "shared/rules/packs/2026-01.toml").read_text(encoding="utf-8")
    for old, new in (("score_changed_min_interval_s = 60.0", "score_changed_min_interval_s = 1.0"), *changes):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """All kinds and windows."""
    return pack(tmp_path / "full.toml")


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """The same without a kind and without a window."""
    return pack(tmp_path / "narrow.toml", ('lottery = "福彩"\n', ""), ("days = [7, 30", "days = [30"))


def without(unit: Unit, path: Path) -> UnitRegistry:
    """The committed units, of which one has ended; also as a table at ``path``."""
    ended = replace(unit, valid_to=business_day(now()))
    units = UnitRegistry(ended if each.unit_id == unit.unit_id else each for each in UNITS)
    path.write_text(units_text(units), encoding="utf-8")
    return units


async def said(client: Client) -> tuple[list[RankingRevised], list[UnitScoreChanged]]:
    """What was told of lists and of units, in the order of the stream."""
    stream = await read_stream(client, RANKING)
    revised = [
        parse_envelope(Envelope[RankingRevised], each.data).data
        for each in stream
        if ".revised." in each.subject
    ]
    changed = [
        parse_envelope(Envelope[UnitScoreChanged], each.data).data
        for each in stream
        if ".score-changed." in each.subject
    ]
    return revised, changed


async def live(client: Client, registry: UnitRegistry, pack: Path | None) -> set[str]:
    """The keys of the published lists; each is what the streams give, byte for byte."""
    found = await read_all_lists(client)
    ratings = await read_stream(client, FEEDBACK)
    again = recompute_like(ratings, registry, partial(load_pack, pack), found)
    assert diff_lists(found, again) == []
    return set(found)


async def somebody_is_out(client: Client) -> bool:
    _, changed = await said(client)
    return any(each.reasons == ("withdrawn",) for each in changed)


async def somebody_heard(client: Client) -> bool:
    revised, _ = await said(client)
    return any(each.withdrawn for each in revised)


async def rate(client: Client, units: Sequence[Unit]) -> int:
    recent = now() - timedelta(minutes=5)
    events = [
        feedback(unit, number=100 * place + number, occurred_at=recent)
        for place, unit in enumerate(units)
        for number in range(40)
    ]
    return await publish(client, events)


async def test_lists_that_a_new_pack_does_not_have_are_gone_from_the_bucket_and_http_and_told_once(
    client: Client, start_scoring: Start, full: Path, narrow: Path
) -> None:
    first = start_scoring(RULES_PATH=str(full))
    last = await rate(client, (LOTTERY, OTHER, MARRIAGE))
    await first.reached(last)
    before = await live(client, UNITS, full)
    assert {"window.lottery.30", "window.all.7"} <= before
    first.kill()
    second = start_scoring(RULES_PATH=str(narrow))
    await eventually(partial(somebody_heard, client))
    second.kill()  # between what it told and what it has written, if it is caught in time
    second = start_scoring(RULES_PATH=str(narrow))
    rules = load_pack(narrow, business_day(now())).hash
    await second.answer("/v1/rankings", lambda found: found["rules"] == rules)
    await eventually(partial(somebody_is_out, client))
    gone = {key for key in before if ListKey.parse(key).kind == "lottery" or key.endswith(".7")}
    assert await live(client, UNITS, narrow) == before - gone
    for asked in ({"level": "window", "kind": "lottery"}, {"level": "window", "window": "7"}):
        assert (await second.get("/v1/rankings", **asked)).status_code == 422
    with pytest.raises(NotFoundError):
        await read_list(client, "window.lottery.30")
    marker = await client.jetstream().get_last_msg(STREAM, PREFIX + "window.lottery.30", direct=True)
    assert (marker.data or b"", (marker.headers or {}).get("KV-Operation")) == (b"", "DEL")
    revised, changed = await said(client)
    told = Counter(each.list for each in revised if each.withdrawn)
    assert told == Counter(gone)
    out = [each for each in changed if each.reasons == ("withdrawn",)]
    assert [(each.unit_id, each.list, each.score) for each in out] == [
        (LOTTERY.unit_id, "window.lottery.30", None)
    ]
    second.kill()
    third = start_scoring(RULES_PATH=str(narrow))
    await third.becomes("leader")
    assert await said(client) == (revised, changed), "nothing is told twice"
    third.kill()
    fourth = start_scoring(RULES_PATH=str(full))
    await fourth.answer("/v1/rankings", lambda found: found["units"] > 0, level="window", kind="lottery")
    assert await live(client, UNITS, full) == before
    last_told = {each.list: each.list_hash for each in (await said(client))[0]}
    found = await read_all_lists(client)
    assert {key: found[key].hash for key in last_told} == last_told


async def test_a_unit_that_has_ended_is_told_to_be_out_of_its_lists_and_once(
    client: Client, start_scoring: Start, tmp_path: Path, full: Path
) -> None:
    first = start_scoring(RULES_PATH=str(full))
    last = await rate(client, (LOTTERY, OTHER, MARRIAGE))
    await first.reached(last)
    first.kill()
    registry = without(OTHER, tmp_path / "units.csv")
    second = start_scoring(RULES_PATH=str(full), UNITS_PATH=str(tmp_path / "units.csv"))
    await second.answer(
        "/v1/rankings", lambda found: found["units"] == len(UNITS.by_level(Level.WINDOW)) - 1, level="window"
    )
    await eventually(partial(somebody_is_out, client))
    await live(client, registry, full)
    revised, changed = await said(client)
    out = [each for each in changed if each.reasons == ("withdrawn",)]
    assert [(each.unit_id, each.list, each.previous_score is None) for each in out] == [
        (OTHER.unit_id, "window.marriage.30", False)
    ]
    gone = {each.list for each in revised if OTHER.unit_id in each.gone}
    shown = {each.list for each in revised if any(row.unit_id == OTHER.unit_id for row in each.changed)}
    assert gone == shown
    assert {"window.marriage.30", "window.all.365"} <= gone
    second.kill()
    third = start_scoring(RULES_PATH=str(full), UNITS_PATH=str(tmp_path / "units.csv"))
    await third.becomes("leader")
    assert await said(client) == (revised, changed), "nothing is told twice"
