"""In a folder that lists what was approved, no other pack is used."""

import json
from pathlib import Path

import pytest

from shared.rules import RulePackError, load_packs, parse_pack
from shared.rules.loading import APPROVED, read_texts


def folder(path: Path, *hashes: str) -> Path:
    ((_, text),) = read_texts(None)
    (path / "2026-01.toml").write_text(text, encoding="utf-8")
    (path / APPROVED).write_text(json.dumps({"packs": [{"hash": each} for each in hashes]}))
    return path


def test_an_approved_pack_is_used_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    ((_, text),) = read_texts(None)
    pack = parse_pack(text, "2026-01")
    assert load_packs(folder(tmp_path, pack.hash)) == (pack,)
    (tmp_path / "2026-01.toml").write_text(text.replace("onsite = 400", "onsite = 500"), encoding="utf-8")
    with pytest.raises(RulePackError, match="two people have approved"):
        load_packs(tmp_path)


def test_without_the_list_any_pack_is_used_and_an_unreadable_list_lets_none_in(tmp_path: Path) -> None:
    ((_, text),) = read_texts(None)
    (tmp_path / "2026-01.toml").write_text(text, encoding="utf-8")
    assert len(load_packs(tmp_path)) == 1
    (tmp_path / APPROVED).write_text("{}")
    with pytest.raises(RulePackError, match="fetch the approved packs again"):
        load_packs(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [("pending_hours = 0", "1 to 2400"), ("hours = 3", "approvals.hours"), ("max_targets = 10001", "10000")],
)
def test_limits_of_approvals_are_optional_and_checked(text: str, words: str) -> None:
    ((_, shipped),) = read_texts(None)
    assert parse_pack(shipped, "p").approvals.pending_hours == 72
    assert parse_pack(f"{shipped}\n[approvals]\npending_hours = 24\n", "p").approvals.pending_hours == 24
    with pytest.raises(RulePackError, match=words):
        parse_pack(f"{shipped}\n[approvals]\n{text}\n", "p")
