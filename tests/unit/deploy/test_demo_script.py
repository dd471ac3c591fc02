"""What the demonstration plays is made when it is played, and recognised when it is there."""

import json
from datetime import date
from pathlib import Path

import pytest

from deploy.local.demo import script
from deploy.local.demo.run import was_played
from deploy.local.demo.script import insteval, simulated_day

DAY = date(2026, 3, 1)
MADE = "2026-03-02 08:00:00+00:00"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    path = tmp_path / "2026-03-01.json"
    path.write_text(json.dumps({"stream_made": MADE, "outcomes": {"accepted": 200, "duplicate": 3}}))
    return path


def test_nothing_is_planned_before_it_is_to_be_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(script, "plan_day")
    assert simulated_day(DAY, ratings=100, seed=1).name == "2026-03-01-100-1"
    assert insteval(DAY).name == "insteval"


def test_the_same_day_has_the_same_lines() -> None:
    first, again = (simulated_day(DAY, ratings=100, seed=1).lines() for _ in range(2))
    assert first == again
    assert len(first) >= 100


def test_what_was_played_to_this_stream_is_recognised(marker: Path) -> None:
    assert was_played(marker, MADE, messages=200)


def test_what_was_never_played_is_not_recognised(marker: Path) -> None:
    assert not was_played(marker.with_name("2026-03-02.json"), MADE, messages=200)


def test_record_of_another_stream_does_not_count(marker: Path) -> None:
    assert not was_played(marker, "2026-03-03 08:00:00+00:00", messages=200)


def test_record_does_not_count_when_the_stream_lost_ratings(marker: Path) -> None:
    assert not was_played(marker, MADE, messages=199)
