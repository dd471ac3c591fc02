import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from deploy.local.cli import main
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import (
    RulePackError,
    Setting,
    UnknownPackError,
    examine_packs,
    load_pack,
    pack_by_hash,
    pack_differences,
    pack_settings,
    parse_pack,
)
from tests.unit.shared.rules.test_packs import SHIPPED, TEXT, edited, folder, problems

UNITS = tuple(load_units())


def test_the_committed_packs_have_no_problem() -> None:
    found = examine_packs(None, UNITS)
    assert found.problems == ()
    assert [pack.version for pack in found.packs] == ["2026-01"]


def test_problems_of_all_packs_are_found_at_once(tmp_path: Path) -> None:
    folder(tmp_path, ("a", "2026-01-01", "2026-03-01"), ("b", "2026-02-01", "2026-05-01"))
    folder(tmp_path, ("c", "2026-06-01", None))
    (tmp_path / "d.toml").write_text((tmp_path / "c.toml").read_text().replace("2026-06-01", "2026-07-01"))
    (tmp_path / "e.toml").write_text(edited("^places = 10", "places = 0"))
    (tmp_path / "f.toml").write_text(edited('^lottery = "福彩"', 'post_office = "邮局"') + "\nfoo = 1\n")
    found = examine_packs(tmp_path, UNITS).problems
    expected = [
        "e.toml: alerts.rank_drop.places: Got 0",
        "f.toml: ",
        "b.valid_from: Got '2026-02-01', expected a start after a",
        "version: Got 'c', expected a version of its own",
        "b.valid_to: Got '2026-05-01 (no pack until 2026-06-01)'",
    ]
    for text in expected:
        assert any(problem.startswith(text) for problem in found), (text, found)


def test_kinds_of_the_registry_and_of_a_pack_must_be_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(edited('^lottery = "福彩"', 'post_office = "邮局"'))
    unknown, unused = examine_packs(path, UNITS).problems
    assert unknown.startswith("2026-01.kinds: Got 'lottery', expected every kind of a registered window")
    assert unused.startswith(
        "2026-01.kinds.post_office: Got 'post_office', expected a kind that a registered"
    )


def test_a_kind_counts_as_used_only_while_the_pack_is_in_force(tmp_path: Path) -> None:
    folder(tmp_path, ("a", "2026-01-01", None), ("b", "2026-07-01", None))
    window = next(unit for unit in UNITS if unit.level is Level.WINDOW)
    later = replace(window, kind="post_office", valid_from=date(2026, 7, 1))
    found = examine_packs(tmp_path, (*UNITS, later)).problems
    assert [problem.split(":")[0] for problem in found] == ["b.kinds"]


def test_a_window_of_four_digits_would_be_a_year_and_is_refused() -> None:
    assert any("from 1 to 999" in each for each in problems(edited(r"^days = .*$", "days = [30, 1000]")))
    parse_pack(edited(r"^days = .*$", "days = [30, 999]"), "x")


def test_a_pack_in_which_no_rating_counts_is_refused() -> None:
    text = TEXT
    for line in ("transaction = 1000", "real_name = 800", "onsite = 400", "anonymous = 200"):
        text = text.replace(line, f"{line.split(' ', maxsplit=1)[0]} = 0")
    assert [each for each in problems(text) if "at least one weight above 0" in each]


def test_a_missing_folder_and_a_file_in_another_encoding_are_problems_too(tmp_path: Path) -> None:
    assert "correct the path" in examine_packs(tmp_path / "nowhere", UNITS).problems[0]
    assert "put a pack there" in examine_packs(tmp_path, UNITS).problems[0]
    (tmp_path / "gbk.toml").write_bytes("# 民政".encode("gbk"))
    assert "save the file as UTF-8" in examine_packs(tmp_path, UNITS).problems[0]
    with pytest.raises(RulePackError, match="UTF-8"):
        load_pack(tmp_path, date(2026, 1, 1))


def test_a_pack_is_found_by_its_hash_in_any_folder(tmp_path: Path) -> None:
    own = load_pack(None, date(2026, 1, 1))
    folder(tmp_path, ("a", "2026-01-01", None), ("b", "2026-01-01", None))  # they overlap, which is no matter
    other = parse_pack((tmp_path / "b.toml").read_text(), "b.toml")
    assert pack_by_hash(own.hash, tmp_path, None) == own
    assert pack_by_hash(other.hash, tmp_path, None) == other


def test_an_unknown_hash_is_named_with_the_packs_that_exist() -> None:
    with pytest.raises(UnknownPackError) as caught:
        pack_by_hash("sha256:77", None)
    own = load_pack(None, date(2026, 1, 1))
    assert "Got sha256:77, expected the hash of one of" in str(caught.value)
    assert f"2026-01 ({own.hash})" in str(caught.value)
    assert "--rules-dir" in str(caught.value)


def test_differences_name_each_value_and_not_the_pack_itself() -> None:
    own = parse_pack(TEXT, "x")
    text = edited("^onsite = 400", "onsite = 700").replace('version = "2026-01"', 'version = "what-if"')
    text = text.replace("grades = [1, 2]", "grades = [1]").replace('lottery = "福彩"', 'post = "邮局"')
    assert pack_differences(own, parse_pack(text, "y")) == (
        Setting("kinds.lottery", "福彩", None),
        Setting("weights_milli.onsite", "400", "700"),
        Setting("alerts.bad_review.grades", "[1, 2]", "[1]"),
        Setting("kinds.post", None, "邮局"),
    )
    assert pack_settings(own)["valid_to"] == "-"
    assert pack_differences(own, own) == ()


class Ran:
    """`pingyi` run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[object, str]:
        self._monkeypatch.setattr("sys.argv", ["pingyi", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        return ended.value.code, captured.out + captured.err


@pytest.fixture
def pingyi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    return Ran(monkeypatch, capsys)


def test_rules_check_lists_the_packs_or_their_problems(pingyi: Ran, tmp_path: Path) -> None:
    own = load_pack(None, date(2026, 1, 1))
    assert pingyi("rules", "check") == (0, f"OK\n2026-01  2026-01-01 – open  {own.hash}\n")
    (tmp_path / "x.toml").write_text(edited("^onsite = 400", "onsite = 4000").replace("places = 10", ""))
    code, out = pingyi("rules", "check", str(tmp_path))
    assert code == 1
    assert [line[:30] for line in out.splitlines()] == [
        "- x.toml: weights_milli.onsite: Got 4000, "[:30],
        "- x.toml: alerts.rank_drop.places: missing"[:30],
    ]
    code, out = pingyi("rules", "check", str(tmp_path), "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["packs"], len(answer["problems"])) == (1, False, [], 2)


def test_rules_show_prints_the_pack_of_a_day(pingyi: Ran, tmp_path: Path) -> None:
    code, out = pingyi("rules", "show", "--on", "2026-11-20", "--json")
    answer = json.loads(out)
    assert (code, answer["version"], answer["settings"]["weights_milli.onsite"]) == (0, "2026-01", "400")
    folder(tmp_path, ("a", "2026-01-01", None), ("b", "2026-07-01", None))
    code, out = pingyi("rules", "show", str(tmp_path), "--on", "2026-08-01")
    assert code == 0
    assert out.startswith("b  2026-07-01 – open  sha256:")
    assert pingyi("rules", "show")[0] == 0
    code, out = pingyi("rules", "show", "--on", "20261120")
    assert (code, out) == (
        1, "pingyi: Got '20261120', expected a day as YYYY-MM-DD in --on: write it like 2026-11-20.\n",
    )  # fmt: skip
    assert pingyi("rules", "show", str(SHIPPED), "--on", "2025-01-01")[0] == 1
