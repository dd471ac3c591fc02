from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.scoring.application.published import STREAM
from services.scoring.application.recompute import recompute
from services.scoring.application.replay import Replay, Stop, in_batches
from services.scoring.domain.lists import RankedList
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.spans import Rolling
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import RulePack, load_pack, parse_pack
from tests.unit.scoring.feedback import NOW, Message, messages, random_feedback

UNITS = load_units()
TODAY = NOW.date()
RULES = load_pack(None, TODAY)
PACK = Path(__file__).parents[3] / "shared/rules/packs/2026-01.toml"
STREAMED = messages(random_feedback(UNITS.by_level(Level.WINDOW)[:30], 1_500, seed=5))
KEYS = frozenset({"window.all.7", "county.all.30"})


def other_rules() -> RulePack:
    return parse_pack(PACK.read_text(encoding="utf-8").replace("onsite = 400", "onsite = 900"), "x.toml")


def hashes(position: int, as_of: date, rules: RulePack = RULES) -> dict[str, str]:
    """The lists of `KEYS`, each stop computed by a fold of its own."""
    lists = recompute(STREAMED, UNITS, rules, as_of, {STREAM: position})
    return {key: lists[key].hash for key in KEYS}


@pytest.mark.parametrize("size", [7, 400, 10_000])
def test_one_pass_gives_at_every_stop_what_a_fold_of_its_own_gives(size: int) -> None:
    stops = [
        Stop(1_000, TODAY, RULES, KEYS),
        Stop(200, TODAY - timedelta(days=3), RULES, KEYS),
        Stop(1_000, TODAY + timedelta(days=40), RULES, KEYS),  # windows moved on, nothing folded meanwhile
        Stop(1_400, TODAY - timedelta(days=1), RULES, KEYS),  # the day goes back: needs a fold of its own
        Stop(201, TODAY - timedelta(days=3), other_rules(), KEYS),
        Stop(1_500, TODAY, RULES, KEYS),
    ]
    replay = Replay(UNITS, stops)
    for batch in in_batches(STREAMED, size):
        replay.take(batch)
    assert replay.done
    found = [{key: each.hash for key, each in lists.items()} for lists in replay.finish()]
    assert found == [hashes(stop.position, stop.as_of, stop.rules) for stop in stops]
    assert len({each["window.all.7"] for each in found}) == len(stops), "the stops must tell folds apart"


def test_a_stop_behind_the_last_message_is_seen_by_the_position() -> None:
    replay = Replay(UNITS, [Stop(1_501, TODAY, RULES, KEYS)])
    replay.take(STREAMED)
    assert not replay.done
    assert (replay.first, replay.position, replay.ratings, replay.end) == (1, 1_500, 1_500, 1_501)
    (lists,) = replay.finish()
    assert lists.keys() == KEYS


def test_ratings_are_counted_up_to_the_last_stop_and_as_read() -> None:
    replay = Replay(UNITS, [Stop(700, TODAY, RULES, KEYS)])
    replay.take(STREAMED[:1_000])
    assert (replay.ratings, replay.read) == (700, 1_000)


def test_sequences_may_have_gaps_and_a_stop_may_lie_in_one() -> None:
    sparse = [replace(message, sequence=3 * message.sequence) for message in STREAMED]
    replay = Replay(UNITS, [Stop(3 * 700 + 1, TODAY, RULES, KEYS)])
    replay.take(sparse)
    (lists,) = replay.finish()
    assert {key: found.hash for key, found in lists.items()} == hashes(700, TODAY)


def test_what_is_no_feedback_is_counted_once_whatever_number_of_folds_sees_it() -> None:
    broken = [*STREAMED[:10], Message(STREAMED[0].subject, b"{}", 11)]
    replay = Replay(UNITS, [Stop(11, TODAY, RULES, KEYS), Stop(11, TODAY, other_rules(), KEYS)])
    replay.take(broken)
    assert replay.invalid == 1


def test_a_stop_without_keys_keeps_every_list() -> None:
    replay = Replay(UNITS, [Stop(5, TODAY, RULES)])
    replay.take(STREAMED[:5])
    (lists,) = replay.finish()
    assert lists.keys() == recompute(STREAMED[:5], UNITS, RULES, TODAY).keys()


def test_stops_that_want_other_spans_leave_what_is_remembered_of_each_right() -> None:
    wanted = [
        {"window.all.7"},
        {"county.all.30"},
        {"window.all.7", "county.all.2026"},
        None,
        {"county.all.30"},
    ]
    stops = [
        Stop(200 + 200 * number, TODAY, RULES, None if keys is None else frozenset(keys))
        for number, keys in enumerate(wanted)
    ]
    replay = Replay(UNITS, stops)
    replay.take(STREAMED)
    for stop, lists in zip(stops, replay.finish(), strict=True):
        alone = recompute(STREAMED, UNITS, RULES, TODAY, {STREAM: stop.position})
        assert lists.keys() == (stop.keys if stop.keys is not None else alone.keys())
        assert all(found.hash == alone[key].hash for key, found in lists.items())


def test_a_stop_ranks_no_span_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    rank = Ranker.rank

    def noting(*args: Any, **options: Any) -> dict[str, RankedList]:  # noqa: ANN401 - passed on as they are
        asked.append(options["wanted"])
        return rank(*args, **options)

    monkeypatch.setattr(Ranker, "rank", noting)
    replay = Replay(UNITS, [Stop(5, TODAY, RULES, frozenset({"window.all.7"})), Stop(6, TODAY, RULES)])
    replay.take(STREAMED[:6])
    replay.finish()
    assert asked == [{Rolling(7)}, None]
