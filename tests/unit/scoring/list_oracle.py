"""Lists once more, from the bytes of events: `json` and exact fractions, none of the code of the service.

What floats alone decide (intervals, bands, rank intervals) is not worked out here.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final, NamedTuple

from services.scoring.domain.lists import Row
from services.scoring.domain.ratings import Rating, Revision, State
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack
from tests.unit.scoring import full_oracle

DAY_MS: Final = 86_400_000
SOURCES: Final = ("self", "mutual", "spot_check", "social", "public")
DIMENSIONS: Final = ("service", "efficiency", "quality", "conduct", "image")
COUNTED: Final = {"corrected", "reinstated", "released"}
TIE: Final = Fraction(1, 10**7)
Counts = list[int]


class TieError(Exception):
    """A prior lies so near the middle of two decimals that floats decide how it is rounded."""


class Span(NamedTuple):
    """Days of a list and of what it is compared with, ends included, and how its head names them."""

    name: str
    window_days: int
    period: str | None
    days: tuple[int, int]
    before: tuple[int, int]


class Listed(NamedTuple):
    """A list: its head, and its rows without what floats decide."""

    head: dict[str, Any]
    rows: list[Row]


def read(events: Iterable[bytes], place: dict[str, int], rules: RulePack) -> list[full_oracle.Event]:
    """Understand events by their JSON alone."""
    return [_event(json.loads(event), place, rules) for event in events]


def _event(event: dict[str, Any], place: dict[str, int], rules: RulePack) -> full_oracle.Event:
    fact, data = event["type"].split(".")[3], event["data"]
    if fact == "submitted":
        times = {"occurred_at": event["time"], "received_at": event["receivedat"]}
        return _rating(event["id"], {**data, **times, "synthetic": event["synthetic"]}, place, rules)
    target = data["target_id"]
    states = {"quarantined": State.HELD, "excluded": State.EXCLUDED, "withdrawn": State.EXCLUDED}
    return Revision(
        data["target_revision"],
        State.COUNTED if fact in COUNTED else states[fact],
        _rating(target, data.get("submitted", data["target"]), place, rules),
        _rating(target, data.get("corrected", data["target"]), place, rules),
        event["id"],
    )


def _rating(event_id: str, data: dict[str, Any], place: dict[str, int], rules: RulePack) -> Rating:
    pair = (data.get("citizen_hmac"), data.get("transaction_hmac"))
    marks = () if data["verification"] == "transaction" else ("device_hmac", "address_hmac", "text_hmac")
    weights = {str(kind): weight for kind, weight in rules.weights_milli.items()}
    grades = bytes(data.get("dimensions", {}).get(name, 0) for name in DIMENSIONS)
    return Rating(
        bytes.fromhex(event_id.replace("-", "")),
        place[data["unit_id"]],
        data["grade"],
        weights[data["verification"]],
        _ms(data["occurred_at"]),
        _ms(data["received_at"]),
        None if None in pair else f"{pair}".encode(),
        data["synthetic"],
        SOURCES.index(data["source"]),
        {"terminal": 1, "web": 2, "app": 2, "sms": 2}.get(data["channel"], 0),
        tuple(sorted({data[mark].encode() for mark in marks if mark in data})),
        grades if any(grades) else None,
        data["verification"] == "transaction",
    )


def _ms(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def lists(
    judged: full_oracle.Judged, registry: UnitRegistry, rules: RulePack, as_of: date, spans: Sequence[Span]
) -> dict[str, Listed]:
    """Every list of the spans; no peer group may be large enough to be one of its own.

    Raises:
        TieError: a prior can't be told from fractions.
    """
    found: dict[str, Listed] = {}
    for span in spans:
        for level in Level:
            units = registry.by_level(level)
            now, before = (
                {source: _sums(judged, registry, units, source, days, rules) for source in range(5)}
                for days in (span.days, span.before)
            )
            prior, document = _prior(list(now[4].values()), rules)
            past, _ = _prior(list(before[4].values()), rules)
            for kind in (None, *(rules.kinds if level is Level.WINDOW else ())):
                members = [unit for unit in units if kind in {None, unit.kind}]
                rows = _rows(members, now, prior, rules, compared=level is not Level.PROVINCE)
                order = _ranked(members, before[4], past, rules) if level is not Level.PROVINCE else []
                head = _head(span, level, kind, rows, rules, as_of, registry)
                head["priors"] = {f"{level}.all": document} if members else {}
                found[head["list"]] = Listed(head, [_changed(row, order) for row in rows])
    return found


def _sums(
    judged: full_oracle.Judged,
    registry: UnitRegistry,
    units: Sequence[Unit],
    source: int,
    days: tuple[int, int],
    rules: RulePack,
) -> dict[str, Counts]:
    """Of each unit with everything below it."""
    place = {unit.unit_id: number for number, unit in enumerate(registry)}
    table = {number: weighed(row, rules) for number, row in judged.window(source, *days).items()}
    return {
        unit.unit_id: [
            sum(
                table.get(place[below.unit_id], (0,) * 19)[column] for below in registry.subtree(unit.unit_id)
            )
            for column in range(19)
        ]
        for unit in units
    }


def weighed(row: Sequence[int], rules: RulePack) -> tuple[int, ...]:
    """Of a unit its counts, n, k and what is left out, and its sub-grades."""
    proven, proven_good, unproven, unproven_good = row[6:10]
    floor, share = rules.unproven.floor_milli, Fraction(rules.unproven.share_milli, 1000)
    most = unproven if floor is None else max(floor, math.floor(share * proven))
    counts = min(unproven, most)
    good = math.floor(Fraction(unproven_good * counts, unproven)) if unproven else 0
    return (*row[:6], proven + counts, proven_good + good, unproven - counts, *row[13:])


def _prior(counts: list[Counts], rules: RulePack) -> tuple[tuple[Fraction, Fraction], dict[str, Any]]:
    """Mean and strength as they are used, and what the list says about them."""
    rated = [(Fraction(row[6], 1000), Fraction(row[7], 1000)) for row in counts if row[6]]
    total = sum((n for n, _ in rated), Fraction(0))
    good = sum((k for _, k in rated), Fraction(0))
    why = None
    free = len(rated) - 1
    if free < 1:
        why = "fewer than two units with ratings"
    elif good in {0, total}:
        why = "all ratings good" if good else "no rating good"
    else:
        room = total - sum((n * n for n, _ in rated), Fraction(0)) / total - free
        if room == 0:
            why = "the spread cannot be estimated: zero denominator"
    if why is not None:
        used = Fraction(str(rules.prior.mu)), Fraction(str(rules.prior.strength))
        return used, _named(used, len(rated), why)
    mu = good / total
    spread = sum((n * (k / n - mu) ** 2 for n, k in rated), Fraction(0)) / (mu * (1 - mu))
    least, most = Fraction(str(rules.prior.rho_min)), Fraction(str(rules.prior.rho_max))
    rho = (spread - free) / room
    strength = 1 / min(max(rho, least), most) - 1
    for value in (mu * 1000, strength * 10):
        if abs(value % 1 - Fraction(1, 2)) < TIE:
            raise TieError
    used = (
        max(Fraction(1, 1000), min(Fraction(999, 1000), Fraction(round(mu * 1000), 1000))),
        max(Fraction(1, 10), Fraction(round(strength * 10), 10)),
    )
    hidden = sum(row[0] for row in counts) < rules.suppression.publish_from
    return used, _named(None if hidden else used, len(rated), None)


def _named(used: tuple[Fraction, Fraction] | None, units: int, why: str | None) -> dict[str, Any]:
    return {
        "source": "estimated" if why is None else "rule_pack",
        "reason": why,
        "mu": None if used is None else float(used[0]),
        "strength": None if used is None else float(used[1]),
        "units": units,
    }


def half_up(value: Fraction, decimals: int) -> float:
    """Rounded half up, as the nearest float."""
    return float(Fraction(math.floor(value * 10**decimals + Fraction(1, 2)), 10**decimals))


def score(row: Counts, prior: tuple[Fraction, Fraction]) -> float:
    """Posterior mean x100."""
    mu, strength = prior
    mean = (mu * strength + Fraction(row[7], 1000)) / (strength + Fraction(row[6], 1000))
    return half_up(100 * mean, 4)


def index(row: Counts) -> float:
    """Mean grade on the scale 0-100."""
    return half_up(Fraction(25 * sum((grade - 1) * row[grade] for grade in range(1, 6)), row[0]), 4)


def _ranked(
    members: Sequence[Unit], counts: dict[str, Counts], prior: tuple[Fraction, Fraction], rules: RulePack
) -> list[str]:
    """Who has a rank, best first."""
    ranked = [unit.unit_id for unit in members if counts[unit.unit_id][0] >= rules.suppression.rank_from]
    return sorted(ranked, key=lambda each: (-score(counts[each], prior), -counts[each][6], each))


def _rows(
    members: Sequence[Unit],
    tables: dict[int, dict[str, Counts]],
    prior: tuple[Fraction, Fraction],
    rules: RulePack,
    *,
    compared: bool,
) -> list[Row]:
    public, least = tables[4], rules.suppression.publish_from
    order = _ranked(members, public, prior, rules) if compared else []
    shown = [unit.unit_id for unit in members if public[unit.unit_id][0] >= least]
    hidden = [unit.unit_id for unit in members if unit.unit_id not in shown]
    names: dict[str, str] = {unit.unit_id: unit.name for unit in members}
    rows: list[Row] = []
    for each in (*order, *(each for each in shown if each not in order)):
        row, rank = public[each], order.index(each) + 1 if each in order else None
        points = score(row, prior)
        sub_grades = {
            name: half_up(Fraction(row[10 + 2 * at], row[9 + 2 * at]), 3)
            for at, name in enumerate(DIMENSIONS)
            if row[9 + 2 * at] >= least
        }
        sources = {
            name: {"ratings": tables[at][each][0], "index": index(tables[at][each])}
            for at, name in enumerate(SOURCES[:4])
            if tables[at][each][0] >= least
        }
        rows.append(
            Row(
                each, names[each], "unranked" if rank is None else "ranked", rank, points, None, None, row[0],
                float(Fraction(row[6], 1000)), half_up(Fraction(row[7], row[6]), 6), None, None, None, None,
                tuple(row[1:6]), half_up(Fraction(row[4] + row[5], row[0]), 6), index(row), points,
                sub_grades or None, sources or None, None, None, float(Fraction(row[8], 1000)) or None,
            )
        )  # fmt: skip
    return [*rows, *(Row(each, names[each], "suppressed") for each in hidden)]


def _changed(row: Row, before: list[str]) -> Row:
    known = row.rank is not None and row.unit_id in before
    return row._replace(rank_change=before.index(row.unit_id) + 1 - (row.rank or 0) if known else None)


def _head(
    span: Span,
    level: Level,
    kind: str | None,
    rows: list[Row],
    rules: RulePack,
    as_of: date,
    registry: UnitRegistry,
) -> dict[str, Any]:
    ranked = [row.unit_id for row in rows if row.rank is not None]
    top, bottom = rules.lists.top, rules.lists.bottom
    there = [
        unit for each in ("window", "county", "city", "province") for unit in registry.by_level(Level(each))
    ]
    lines = [f"{unit.unit_id} {unit.level} {unit.kind} {unit.parent_id} {unit.name}" for unit in there]
    return {
        "list": f"{level}.{kind or 'all'}.{span.name}",
        "level": str(level),
        "kind": kind,
        "window_days": span.window_days,
        "period": span.period,
        "as_of": as_of.isoformat(),
        "sorted_by": "score",
        "rules": rules.hash,
        "registry": f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}",
        "publish_from": rules.suppression.publish_from,
        "rank_from": rules.suppression.rank_from,
        "composite_weights": rules.composite.by_part(),
        "units": len(rows),
        "naming": {"top": top, "bottom": bottom},
        "top": ranked[:top],
        "bottom": ranked[max(top, len(ranked) - bottom) :],
    }
