"""From TOML text to a `RulePack`, strictly: every key known and present, every number in its range.

All problems of a pack are reported at once, each with its place, value, expectation and remedy: whoever
edits a pack should not have to run it ten times.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from shared.kernel.grades import Grade, Verification
from shared.rules.alerting import Severity, read_routing, read_warnings
from shared.rules.approvals import RANGES, ApprovalRules
from shared.rules.bulletin import read_bulletin
from shared.rules.case_alerts import read_case_alerts, read_sanction_alerts
from shared.rules.case_outcomes import read_outcomes
from shared.rules.intake_policy import (
    DEFAULT_CHANNELS,
    Quotas,
    TokenRules,
    parse_channels,
    parse_quotas,
    parse_tokens,
)
from shared.rules.integrity import (
    BurstRule,
    CoBurstRule,
    FunnelRule,
    Integrity,
    OffSiteGapRule,
    SecondsBetweenRule,
    TerminalShareRule,
    ZeroVarianceRule,
)
from shared.rules.ladders import read_ladders
from shared.rules.pack import (
    Alerts,
    BadReviewRule,
    BandChangeRule,
    Bands,
    Composite,
    Intake,
    Lists,
    Prior,
    Publication,
    RankDropRule,
    RulePack,
    Suppression,
    Windows,
)
from shared.rules.people import People, read_people
from shared.rules.rectify import Rectify, parse_rectify
from shared.rules.screening_parsing import parse_screening
from shared.rules.table import RulePackError, Table
from shared.rules.unproven import read_unproven

_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_SUM_TOLERANCE = 1e-9
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}", re.ASCII)

MAX_WINDOW_DAYS: Final = 999
"""In a list's key up to three digits are days and four are a year."""


def _kinds(table: Table) -> Mapping[str, str]:
    kinds: dict[str, str] = {}
    for key in table.keys():  # noqa: SIM118 - a method of ours, not a dict
        label = table.text(key, "a Chinese label", lambda text: 0 < len(text.strip()) <= 32)  # noqa: PLR2004 - fits a column
        if _KEY.fullmatch(key) is None:
            table.note(key, key, "a key of lower-case letters, digits and _", "rename the kind")
        kinds[key] = label
    if not kinds:
        table.note("*", {}, "at least one window kind", 'add e.g. marriage = "婚姻登记"')
    return MappingProxyType(kinds)


def _weights(table: Table) -> Mapping[Verification, int]:
    weights = {member: table.integer(member.value, 0, 1000) for member in Verification}
    if table.keys() and not any(weights.values()):
        table.note("*", 0, "at least one weight above 0, or no rating counts", "give one of them a weight")
    table.done()
    return MappingProxyType(weights)


def _windows(table: Table) -> Windows:
    windows = Windows(
        days=table.integers("days", 1, MAX_WINDOW_DAYS),
        primary_days=table.integer("primary_days", 1, MAX_WINDOW_DAYS),
        lateness_days=table.integer("lateness_days", 0, 3660),
        replacement_days=table.integer("replacement_days", 0, 3660),
    )
    if windows.primary_days not in windows.days:
        table.note(
            "primary_days",
            windows.primary_days,
            f"one of the windows {list(windows.days)}",
            "choose one of them",
        )
    table.done()
    return windows


def _suppression(table: Table) -> Suppression:
    found = Suppression(table.integer("publish_from", 1, 1_000_000), table.integer("rank_from", 1, 1_000_000))
    if found.rank_from < found.publish_from:
        table.note("rank_from", found.rank_from, f"at least publish_from ({found.publish_from})", "raise it")
    table.done()
    return found


def _bands(table: Table) -> Bands:
    bands = Bands(table.number("excellent_line", 0.01, 0.99), table.number("probability", 0.5, 0.999))
    table.done()
    return bands


def _prior(table: Table) -> Prior:
    prior = Prior(
        mu=table.number("mu", 0.01, 0.99),
        strength=table.number("strength", 0.1, 1e6),
        rho_min=table.number("rho_min", 1e-9, 0.999),
        rho_max=table.number("rho_max", 1e-9, 0.999),
        min_group=table.integer("min_group", 2, 1_000_000),
    )
    if prior.rho_max < prior.rho_min:
        table.note("rho_max", prior.rho_max, f"at least rho_min ({prior.rho_min:g})", "raise it")
    table.done()
    return prior


def _composite(table: Table) -> Composite:
    parts = ("public", "rectification", "self", "mutual", "spot_check", "social")
    weights = [table.number(part, 0, 1) for part in parts]
    table.done()
    total = math.fsum(weights)
    if table.sound and abs(total - 1) > _SUM_TOLERANCE:
        table.note("*", round(total, 9), "weights whose sum is 1", f"correct {', '.join(parts)}")
    return Composite(*weights)


def _lists(table: Table) -> Lists:
    found = Lists(table.integer("top", 0, 1000), table.integer("bottom", 0, 1000))
    table.done()
    return found


def _publication(table: Table) -> Publication:
    found = Publication(
        score_changed_min_points=table.number("score_changed_min_points", 0, 100),
        score_changed_min_interval_s=table.number("score_changed_min_interval_s", 0, 86_400),
        ranking_min_interval_s=table.number("ranking_min_interval_s", 0, 86_400),
    )
    table.done()
    return found


def _intake(table: Table) -> Intake:
    given = table.keys()
    found = Intake(
        future_tolerance_s=table.number("future_tolerance_s", 0, 86_400),
        text_max_chars=table.integer("text_max_chars", 1, 100_000),
        contact_max_chars=table.integer("contact_max_chars", 1, 10_000),
        channels=parse_channels(table.table("channels")) if "channels" in given else DEFAULT_CHANNELS,
        tokens=parse_tokens(table.table("tokens")) if "tokens" in given else TokenRules(),
        quotas=parse_quotas(table.table("quotas")) if "quotas" in given else Quotas(),
        screening=parse_screening(table.table("screening") if "screening" in given else None),
    )
    table.done()
    return found


def _alerts(table: Table) -> Alerts:
    bad, drop, band = table.table("bad_review"), table.table("rank_drop"), table.table("band_change")
    more = read_warnings(table)
    alerts = Alerts(
        bad_review=BadReviewRule(
            grades=tuple(Grade(grade) for grade in bad.integers("grades", int(min(Grade)), int(max(Grade)))),
            severity=bad.choice("severity", Severity),
        ),
        rank_drop=RankDropRule(drop.integer("places", 1, 1_000_000), drop.choice("severity", Severity)),
        band_change=BandChangeRule(band.choice("severity", Severity)),
        surge=more.surge,
        too_good=more.too_good,
        quarantine_share=more.quarantine_share,
        ranking_stale=more.ranking_stale,
        dead_letters=more.dead_letters,
        cases=read_case_alerts(table),
        sanctions=read_sanction_alerts(table),
    )
    for part in (bad, drop, band, table):
        part.done()
    return alerts


_CHANCE = (1e-15, 0.05)
_COUNT = (10, 1_000_000)
"""From ten on: what a flag says may then be told without telling on a rater."""


def _integrity(table: Table) -> Integrity:
    same, terminal = table.table("zero_variance"), table.table("terminal_share")
    found = Integrity(
        evaluate_every_s=table.number("evaluate_every_s", 0.1, 86_400),
        hold_s=table.number("hold_s", 0, 86_400),
        zero_variance=ZeroVarianceRule(
            same.integer("min_ratings", *_COUNT), same.number("probability", *_CHANCE)
        ),
        burst=_burst(table.table("burst")),
        co_burst=_co_burst(table.table("co_burst")),
        terminal_share=TerminalShareRule(
            terminal.integer("min_ratings", *_COUNT),
            terminal.number("share", 0.5, 0.9999),
            terminal.number("probability", *_CHANCE),
        ),
        seconds_between=_seconds_between(table.table("seconds_between")),
        off_site_gap=_off_site_gap(table.table("off_site_gap")),
        funnel=_funnel(table.table("funnel")),
    )
    for part in (same, terminal, table):
        part.done()
    return found


def _burst(table: Table) -> BurstRule:
    found = BurstRule(
        min_ratings=table.integer("min_ratings", *_COUNT),
        min_ratio=table.number("min_ratio", 1, 1000),
        probability=table.number("probability", *_CHANCE),
        baseline_days=table.integer("baseline_days", 7, 28),
        min_history_days=table.integer("min_history_days", 2, 28),
        peer_days=table.number("peer_days", 0.01, 1000),
        min_dispersion=table.number("min_dispersion", 1e-6, 100),
        run_days=table.integer("run_days", 1, 10),
        run_ratio=table.number("run_ratio", 1.01, 1000),
    )
    if found.min_history_days > found.baseline_days:
        table.note(
            "min_history_days",
            found.min_history_days,
            f"at most baseline_days ({found.baseline_days})",
            "lower it",
        )
    table.done()
    return found


def _co_burst(table: Table) -> CoBurstRule:
    found = CoBurstRule(
        min_units=table.integer("min_units", 2, 1000),
        unit_probability=table.number("unit_probability", 1e-6, 0.2),
        unit_min_ratings=table.integer("unit_min_ratings", 2, 1_000_000),
        probability=table.number("probability", *_CHANCE),
    )
    table.done()
    return found


def _seconds_between(table: Table) -> SecondsBetweenRule:
    found = SecondsBetweenRule(
        min_ratings=table.integer("min_ratings", *_COUNT),
        min_pairs=table.integer("min_pairs", *_COUNT),
        open_minutes=table.integer("open_minutes", 1, 1440),
        concentration=table.number("concentration", 1, 100),
        probability=table.number("probability", *_CHANCE),
    )
    table.done()
    return found


def _off_site_gap(table: Table) -> OffSiteGapRule:
    found = OffSiteGapRule(
        min_window=table.integer("min_window", *_COUNT),
        min_off_site=table.integer("min_off_site", *_COUNT),
        margin=table.number("margin", 0, 0.9),
        probability=table.number("probability", *_CHANCE),
    )
    table.done()
    return found


def _funnel(table: Table) -> FunnelRule:
    found = FunnelRule(
        min_ratings=table.integer("min_ratings", *_COUNT),
        limit=table.number("limit", 0.5, 0.999_999),
        warning=table.number("warning", 0.5, 0.999_999),
        most_false_units=table.number("most_false_units", 0.001, 1000),
    )
    if found.warning > found.limit:
        table.note("warning", found.warning, f"at most limit ({found.limit:g})", "lower it")
    table.done()
    return found


def _approvals(top: Table) -> ApprovalRules:
    if "approvals" not in top.keys():  # noqa: SIM118 - a table under strict reading, not a mapping
        return ApprovalRules()
    table = top.table("approvals")
    found = {key: table.integer(key, *RANGES[key]) for key in table.keys() if key in RANGES}  # noqa: SIM118 - as above
    table.done()
    return ApprovalRules(**found)


def content_hash(data: Mapping[str, object]) -> str:
    """Return ``sha256:<hex>`` of parsed TOML: comments, layout and key order don't matter, values do."""
    canonical = json.dumps(
        data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=date.isoformat
    )
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def parse_pack(text: str, origin: str) -> RulePack:
    """Parse and validate one pack.

    Args:
        text: TOML.
        origin: what to call it in errors, e.g. its file name.

    Raises:
        RulePackError: no TOML, or any key unknown, missing or out of range; lists all of them.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulePackError(origin, (f"not valid TOML ({error}): correct the syntax there.",)) from error
    problems: list[str] = []
    top = Table(data, "", problems)
    version = top.text(
        "version",
        "a name of at most 32 letters, digits, '.', '_', '-'",
        lambda t: bool(_VERSION.fullmatch(t)),
    )
    valid_from = top.day("valid_from", required=True)
    valid_to = top.day("valid_to", required=False)
    if valid_from and valid_to and valid_to <= valid_from:
        top.note(
            "valid_to",
            str(valid_to),
            f"a day after valid_from ({valid_from})",
            "correct the dates or drop valid_to",
        )
    kinds = _kinds(top.table("kinds"))
    weights = _weights(top.table("weights_milli"))
    windows = _windows(top.table("windows"))
    suppression = _suppression(top.table("suppression"))
    bands = _bands(top.table("bands"))
    prior = _prior(top.table("prior"))
    composite = _composite(top.table("composite"))
    lists = _lists(top.table("lists"))
    publication = _publication(top.table("publication"))
    intake = _intake(top.table("intake"))
    alerts = _alerts(top.table("alerts"))
    integrity = _integrity(top.table("integrity"))
    approvals = _approvals(top)
    outcomes = read_outcomes(top)
    routing = read_routing(top)
    people = read_people(top.table("people")) if "people" in top.keys() else People()  # noqa: SIM118 - ours
    rectify = parse_rectify(top.table("rectify"), kinds) if "rectify" in top.keys() else Rectify()  # noqa: SIM118 - a method of ours
    ladders = read_ladders(top)
    unproven = read_unproven(top)
    bulletin = read_bulletin(top)
    top.done()
    if problems or valid_from is None:
        raise RulePackError(origin, tuple(problems))
    return RulePack(
        version=version,
        valid_from=valid_from,
        valid_to=valid_to,
        hash=content_hash(data),
        kinds=kinds,
        weights_milli=weights,
        windows=windows,
        suppression=suppression,
        bands=bands,
        prior=prior,
        composite=composite,
        lists=lists,
        publication=publication,
        intake=intake,
        alerts=alerts,
        integrity=integrity,
        approvals=approvals,
        outcomes=outcomes,
        people=people,
        rectify=rectify,
        bulletin=bulletin,
        routing=routing,
        ladders=ladders,
        unproven=unproven,
    )
