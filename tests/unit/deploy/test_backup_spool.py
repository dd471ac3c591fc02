"""Accepted ratings that wait in intake's spool: a backup says that it lacks them, a restore leaves them."""

from pathlib import Path

import pytest

from deploy.local.backup.manifest import PARTS
from deploy.local.backup.restoring import OccupiedError, _make_room
from deploy.local.backup.spooled import describe_spool
from deploy.local.layout import Layout
from tests.unit.deploy.test_spool_command import spooled

SPOOL_FILE = "spool/spool.sqlite"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A platform with an index of intake beside three ratings in its spool."""
    monkeypatch.delenv("SPOOL_DIR", raising=False)
    layout = Layout(tmp_path)
    spooled(layout.service_data("intake") / "spool", 3)
    (layout.service_data("intake") / "index.sqlite").write_text("folded from the streams")
    return layout


def test_what_waits_is_told_with_what_was_set_aside(layout: Layout) -> None:
    waiting = describe_spool(layout)
    assert waiting == f"3 accepted messages wait in {layout.service_data('intake') / 'spool'}"


def test_nothing_is_told_of_an_empty_spool_or_none(tmp_path: Path) -> None:
    assert describe_spool(Layout(tmp_path)) is None
    spooled(tmp_path / "intake/spool", 1)
    (tmp_path / "intake" / SPOOL_FILE).write_bytes(b"no database" * 100)
    assert "can't be read" in (describe_spool(Layout(tmp_path)) or "")


def test_a_spool_elsewhere_is_looked_into(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(tmp_path / "elsewhere", 2)
    monkeypatch.setenv("SPOOL_DIR", str(tmp_path / "elsewhere"))
    assert (describe_spool(layout) or "").startswith("2 accepted messages wait in ")


def test_a_restore_moves_the_index_aside_and_leaves_the_spool(layout: Layout) -> None:
    said: list[str] = []
    with pytest.raises(OccupiedError, match="data in intake of"):
        _make_room(layout, PARTS, replace=False, say=said.append)
    _make_room(layout, PARTS, replace=True, say=said.append)
    intake = layout.service_data("intake")
    assert [path.name for path in intake.iterdir()] == ["spool"]
    (moved,) = (layout.data / "replaced").glob("*/intake")
    assert [path.name for path in moved.iterdir()] == ["index.sqlite"]
    assert "3 accepted messages wait in " in said[0]
    assert describe_spool(layout) is not None
    said.clear()
    _make_room(layout, PARTS, replace=False, say=said.append)
    assert len(said) == 1, "a spool alone is in nobody's way"
