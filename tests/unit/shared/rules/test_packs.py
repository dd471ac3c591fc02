import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.errors import InvalidValueError, PermanentError
from shared.kernel.grades import Grade, Verification
from shared.rules import RulePackError, Severity, load_pack, load_packs, parse_pack
from shared.rules.bulletin import Bulletin
from shared.rules.differences import Setting, pack_differences
from shared.rules.integrity import (
    BurstRule,
    CoBurstRule,
    FunnelRule,
    OffSiteGapRule,
    SecondsBetweenRule,
    TerminalShareRule,
    ZeroVarianceRule,
)
from shared.rules.pack import (
    BadReviewRule,
    BandChangeRule,
    Bands,
    Lists,
    Prior,
    RankDropRule,
    Suppression,
    Windows,
)
from shared.rules.unproven import UnprovenCap

SHIPPED = Path(__file__).parents[4] / "shared/rules/packs/2026-01.toml"
TEXT = SHIPPED.read_text(encoding="utf-8")


def edited(pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, replacement, TEXT, count=1, flags=re.MULTILINE)
    assert count == 1, f"the shipped pack has no {pattern!r} to edit"
    return text


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(RulePackError) as caught:
        parse_pack(text, "edited.toml")
    return caught.value.problems


def test_the_shipped_pack_has_the_documented_figures() -> None:
    pack = load_pack(None, date(2026, 6, 1))
    assert (pack.version, pack.valid_from, pack.valid_to) == ("2026-01", date(2026, 1, 1), None)
    assert pack.weights_milli == {
        Verification.TRANSACTION: 1000, Verification.REAL_NAME: 800,
        Verification.ONSITE: 400, Verification.ANONYMOUS: 200,
    }  # fmt: skip
    assert pack.unproven == UnprovenCap(floor_milli=2000, share_milli=80)
    assert pack.windows == Windows((7, 30, 90, 365), primary_days=30, lateness_days=30, replacement_days=30)
    assert pack.suppression == Suppression(publish_from=10, rank_from=30)
    assert pack.bands == Bands(excellent_line=0.85, probability=0.90)
    assert pack.prior == Prior(mu=0.85, strength=20.0, rho_min=1e-4, rho_max=0.5, min_group=20)
    assert pack.composite.by_part() == {
        "public": 0.7, "rectification": 0.3, "self": 0.0, "mutual": 0.0, "spot_check": 0.0, "social": 0.0,
    }  # fmt: skip
    assert pack.lists == Lists(top=10, bottom=3)
    assert pack.publication.score_changed_min_points == 0.5
    assert pack.publication.score_changed_min_interval_s == 60
    assert pack.publication.ranking_min_interval_s == 1
    assert pack.intake.future_tolerance_s == 120
    assert pack.intake.text_max_chars == 2000
    assert pack.alerts.bad_review == BadReviewRule((Grade(1), Grade(2)), Severity.WARNING)
    assert pack.alerts.rank_drop == RankDropRule(10, Severity.WARNING)
    assert pack.alerts.band_change == BandChangeRule(Severity.INFO)
    assert len(pack.kinds) == 12
    assert (pack.integrity.evaluate_every_s, pack.integrity.hold_s) == (60, 600)
    assert pack.integrity.zero_variance == ZeroVarianceRule(min_ratings=30, probability=1e-4)
    assert pack.integrity.burst == BurstRule(
        min_ratings=20, min_ratio=3, probability=1e-6, baseline_days=28, min_history_days=14, peer_days=2,
        min_dispersion=0.1, run_days=7, run_ratio=2,
    )  # fmt: skip
    assert pack.integrity.co_burst == CoBurstRule(4, 0.01, 5, 1e-5)
    assert pack.integrity.terminal_share == TerminalShareRule(min_ratings=50, share=0.9, probability=1e-4)
    assert pack.integrity.seconds_between == SecondsBetweenRule(20, 20, 480, 2, 1e-6)
    assert pack.integrity.off_site_gap == OffSiteGapRule(30, 20, margin=0.1, probability=1e-3)
    assert pack.integrity.funnel == FunnelRule(30, limit=0.998, warning=0.95, most_false_units=0.5)


def test_kind_labels_are_given_and_unknown_kinds_rejected() -> None:
    pack = parse_pack(TEXT, "x")
    assert pack.kind_label("marriage") == "婚姻登记"
    with pytest.raises(InvalidValueError, match="use one of marriage, funeral"):
        pack.kind_label("post_office")


def test_hash_ignores_comments_layout_and_order_but_no_value() -> None:
    original = parse_pack(TEXT, "x").hash
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", original)
    without_comments = re.sub(r"#.*$", "", TEXT, flags=re.MULTILINE)
    head, *tables = re.split(r"(?m)^(?=\[)", without_comments)
    assert parse_pack(head + "\n".join(reversed(tables)), "y").hash == original
    assert parse_pack(edited(r"places = 10", "places = 11"), "x").hash != original
    assert parse_pack(edited(r"2026-01-01", "2026-01-02"), "x").hash != original


@pytest.mark.parametrize(
    ("pattern", "replacement", "finding"),
    [
        (
            r"^transaction = 1000",
            "transaction = 1001",
            "weights_milli.transaction: Got 1001, expected a whole number",
        ),
        (r"^transaction = 1000", "transaction = -1", "from 0 to 1000"),
        (r"^transaction = 1000", "transaction = true", "Got True"),
        (r"^transaction = 1000", "transaction = 0.5", "without quotes"),
        (
            r"^onsite = 400",
            "",
            "weights_milli.onsite: missing, expected a whole number from 0 to 1000: add the key.",
        ),
        (r"^onsite = 400", "onsite = 400\nvip = 1", "weights_milli.vip: Got 'vip', expected one of the keys"),
        (r"^floor_milli = .*$", "floor_milli = -1", "unproven.floor_milli: Got -1, expected a whole number"),
        (r"^floor_milli = .*$", "", "unproven.floor_milli: missing"),
        (r"^share_milli = .*$", "share_milli = 0.25", "unproven.share_milli: Got 0.25"),
        (
            r"^share_milli = .*$",
            "share_milli = 1\nshare = 0.25",
            "unproven.share: Got 'share', expected one of",
        ),
        (r"^days = .*$", "days = [30, 7]", "windows.days"),
        (r"^days = .*$", "days = []", "windows.days"),
        (r"^primary_days = 30", "primary_days = 31", "one of the windows [7, 30, 90, 365]"),
        (r"^rank_from = 30", "rank_from = 9", "at least publish_from (10)"),
        (r"^excellent_line = 0.85", "excellent_line = 1.0", "bands.excellent_line"),
        (r"^excellent_line = 0.85", "excellent_line = nan", "bands.excellent_line"),
        (r"^rho_max = 0.5", "rho_max = 0.00001", "at least rho_min"),
        (
            r"^public = 0.7",
            "public = 0.6",
            "composite.*: Got 0.9, expected weights whose sum is 1: correct public, rectification, self,",
        ),
        (r"^mutual = 0.0", "mutual = 0.000000002", "composite.*: Got 1.000000002"),
        (r"^spot_check = 0.0", "spot_check = -0.1", "composite.spot_check: Got -0.1"),
        (r"^social = 0.0", "society = 0.0", "composite.social: missing"),
        (r"^bottom = 3", "bottom = -1", "lists.bottom: Got -1, expected a whole number from 0 to 1000"),
        (r"^grades = .*$", "grades = [0, 1]", "alerts.bad_review.grades"),
        (r"^places = 10", "places = 0", "alerts.rank_drop.places"),
        (r'^severity = "info"', 'severity = "loud"', "one of info, warning, critical"),
        (r"^\[alerts.band_change\]", "[alerts.band_changed]", "alerts.band_change: missing"),
        (r"^\[publication\]", "[publications]", "publication: missing, expected a table"),
        (r"^max_days = 180", "max_days = 401", "intake.tokens.max_days: Got 401"),
        (r"^default_days = 30", "default_days = 181", "at most max_days (180)"),
        (r"^qr = .*$", "", "intake.channels.qr: missing, expected a table"),
        (
            r"^qr = .*$",
            'qr = { proofs = ["vow"], sources = ["public"] }',
            "a list of some of token, transaction",
        ),
        (r"^qr = .*$", "qr = { proofs = [], sources = [] }", "intake.channels.qr.sources: Got []"),
        (r"^device = .*$", "device = { limit = 0, seconds = 60 }", "intake.quotas.device.limit: Got 0"),
        (r"^self_service = .*$", 'self_service = ["pigeon"]', "intake.quotas.self_service"),
        (r"^import = \{ limit.*$", "post = { limit = 1, seconds = 1 }", "intake.quotas.channels.post"),
        (r"^hold_s = 600.0", "hold_s = -1", "integrity.hold_s: Got -1, expected a number from 0 to 86400"),
        (r"^run_days = 7", "run_days = 11", "integrity.burst.run_days: Got 11"),
        (r"^min_history_days = 14", "min_history_days = 27\nextra = 1", "integrity.burst.extra"),
        (r"^baseline_days = 28", "baseline_days = 13", "at most baseline_days (13)"),
        (r"^min_pairs = 20", "min_pairs = 9", "integrity.seconds_between.min_pairs: Got 9"),
        (r"^margin = 0.10", "margin = 1", "integrity.off_site_gap.margin"),
        (r"^share = 0.90", "", "integrity.terminal_share.share: missing"),
        (r"^min_units = 4", "min_units = 1", "integrity.co_burst.min_units: Got 1"),
        (r"^warning = 0.95", "warning = 0.999", "at most limit (0.998)"),
        (r"^\[integrity\]", "[integrit]", "integrity.hold_s: missing"),
        (r"^\[integrity.zero_variance\]", "[integrity.zero]", "integrity.zero_variance: missing"),
        (r"^version = .*$", 'version = "a b"', "version: Got 'a b'"),
        (r"^valid_from = .*$", 'valid_from = "2026-01-01"', "write it as YYYY-MM-DD"),
        (r"^valid_from = .*$", "valid_from = 2026-01-01T00:00:00Z", "without time"),
        (r"^valid_from = .*$", "", "valid_from: missing, expected a date"),
        (r"^valid_from = .*$", "valid_from = 2026-01-01\nvalid_to = 2026-01-01", "a day after valid_from"),
        (r"^marriage = .*$", 'Marriage = "婚姻登记"', "lower-case"),
        (r"^marriage = .*$", 'marriage = ""', "a Chinese label"),
        (
            r"^\[rectify.kinds.funeral\]",
            "[rectify.kinds.funerals]",
            "rectify.kinds.funerals: Got 'funerals', expected a kind of [kinds]: marriage, funeral,",
        ),
        (r"^version = ", "version == ", "not valid TOML"),
    ],
)
def test_a_wrong_pack_is_rejected_with_place_expectation_and_remedy(
    pattern: str, replacement: str, finding: str
) -> None:
    assert any(finding in problem for problem in problems(edited(pattern, replacement)))


def test_a_pack_without_the_newer_sections_of_intake_goes_by_the_shipped_values() -> None:
    shipped = parse_pack(TEXT, "shipped").intake
    section, older = "", ""
    for line in TEXT.splitlines(keepends=True):
        section = line if line.startswith("[") else section
        older += (
            "" if section.startswith(("[intake.channels]", "[intake.tokens]", "[intake.quotas")) else line
        )
    assert "self_service" not in older
    assert parse_pack(older, "older").intake == shipped


def test_a_pack_may_say_what_a_bulletin_shows_and_what_it_leaves_out_is_as_usual() -> None:
    pack = parse_pack(f"{TEXT}\n[bulletin]\nmoved = 7\n", "x")
    assert pack.bulletin == Bulletin(moved=7)
    assert parse_pack(TEXT, "shipped").bulletin == Bulletin()
    assert any("bulletin.moved: Got 0" in each for each in problems(f"{TEXT}\n[bulletin]\nmoved = 0\n"))


def test_a_pack_without_a_cap_on_unproven_ratings_has_none() -> None:
    text = edited(r"^\[unproven\]\n.*\n.*$", "")
    assert parse_pack(text, "older").unproven == UnprovenCap(floor_milli=None)
    assert pack_differences(parse_pack(text, "older"), parse_pack(TEXT, "shipped")) == (
        Setting("unproven.floor_milli", "-", "2000"),
        Setting("unproven.share_milli", "0", "80"),
    )


def test_weights_that_add_up_but_for_rounding_are_accepted() -> None:
    text = edited(r"^public = 0.7", "public = 0.1").replace("self = 0.0 ", "self = 0.2 ")
    assert parse_pack(text.replace("mutual = 0.0 ", "mutual = 0.4 "), "x").composite.mutual == 0.4


def test_a_broken_weight_is_reported_alone_and_not_as_a_wrong_sum_too() -> None:
    assert problems(edited(r"^public = 0.7", "public = 7")) == (
        "composite.public: Got 7, expected a number from 0 to 1: set it within that range, without quotes.",
    )


def test_all_problems_are_reported_at_once() -> None:
    found = problems('version = "x y"\nfoo = 1\n[kinds]\n')
    assert len(found) >= 11
    assert any("kinds" in problem and "at least one" in problem for problem in found)


def test_a_broken_pack_is_a_permanent_error() -> None:
    with pytest.raises(PermanentError, match=r"Rule pack x\.toml cannot be used"):
        parse_pack("", "x.toml")


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(RulePackError):
        parse_pack(text, "x")


def folder(path: Path, *packs: tuple[str, str, str | None]) -> Path:
    for version, start, end in packs:
        text = TEXT.replace('version = "2026-01"', f'version = "{version}"')
        dates = f"valid_from = {start}" + (f"\nvalid_to = {end}" if end else "")
        (path / f"{version}.toml").write_text(
            text.replace("valid_from = 2026-01-01", dates), encoding="utf-8"
        )
    return path


def test_a_day_gets_the_pack_in_force(tmp_path: Path) -> None:
    path = folder(
        tmp_path, ("a", "2026-01-01", None), ("b", "2026-07-01", "2027-01-01"), ("c", "2027-03-01", None)
    )
    assert [pack.version for pack in load_packs(path)] == ["a", "b", "c"]
    for on, version in [
        ("2026-01-01", "a"),
        ("2026-06-30", "a"),
        ("2026-07-01", "b"),
        ("2026-12-31", "b"),
        ("2030-01-01", "c"),
    ]:
        assert load_pack(path, date.fromisoformat(on)).version == version
    for gap in (date(2025, 12, 31), date(2027, 1, 1), date(2027, 2, 28)):
        with pytest.raises(RulePackError, match=f"Got '{gap}'"):
            load_pack(path, gap)


@pytest.mark.parametrize(
    "packs",
    [
        [("a", "2026-01-01", "2026-08-01"), ("b", "2026-07-01", None)],
        [("a", "2026-01-01", None), ("b", "2026-01-01", None)],
    ],
)
def test_overlapping_packs_are_rejected(tmp_path: Path, packs: list[tuple[str, str, str | None]]) -> None:
    with pytest.raises(RulePackError, match="one pack is in force on each day"):
        load_packs(folder(tmp_path, *packs))


def test_two_packs_of_one_version_are_rejected(tmp_path: Path) -> None:
    folder(tmp_path, ("a", "2026-01-01", None))
    (tmp_path / "copy.toml").write_text(
        (tmp_path / "a.toml").read_text(encoding="utf-8").replace("2026-01-01", "2026-02-01"),
        encoding="utf-8",
    )
    with pytest.raises(RulePackError, match="a version of its own"):
        load_packs(tmp_path)


def test_one_file_can_be_loaded_by_path() -> None:
    assert load_pack(SHIPPED, date(2026, 1, 1)) == load_pack(None, date(2026, 1, 1))


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(RulePackError, match="correct the path"):
        load_packs(tmp_path / "nowhere")
    with pytest.raises(RulePackError, match=r"at least one \*\.toml"):
        load_packs(tmp_path)


def test_a_day_before_the_first_pack_names_the_periods() -> None:
    with pytest.raises(RulePackError, match="2026-01 from 2026-01-01 to open"):
        load_pack(None, date(2026, 1, 1) - timedelta(days=1))
