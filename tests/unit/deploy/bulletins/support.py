"""What services answer about a small region; a test states only what it is about."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from deploy.local.bulletins.figures import figures_of
from deploy.local.bulletins.periods import Span
from deploy.local.bulletins.sources import Board, Gathered
from shared.rules import RulePack
from shared.rules.loading import load_pack

DAY = date(2026, 10, 31)
PACK: RulePack = load_pack(None, DAY)
HASH = "sha256:" + "ab" * 32
CITY = {"unit_id": "U000002", "name": "南昌市民政局", "level": "city", "division": "360100"}


def row(number: int, *, name: str | None = None, status: str = "ranked", **fields: object) -> dict[str, Any]:
    """A unit's row; the first is the best."""
    unit = {"unit_id": f"U{number:06d}", "name": name or f"第{number}区民政局", "status": status}
    ranked = status == "ranked"
    if status == "suppressed":
        values: dict[str, Any] = dict.fromkeys(
            ("score", "interval_low", "interval_high", "ratings", "n", "good", "band", "histogram")
        )
    else:
        score = 98.0 - number
        values = {
            "score": score, "interval_low": score - 3.5, "interval_high": min(score + 1.5, 100.0),
            "ratings": 200 - number, "n": 150.0 - number, "good": score / 100,
            "band": "excellent" if score > 92 else "undecided" if score > 86 else "below",
            "histogram": [3, 12, 40, 60, 85 - number],
        }  # fmt: skip
    return (
        unit
        | values
        | {
            "rank": number if ranked else None,
            "rank_low": max(1, number - 2) if ranked else None,
            "rank_high": number + 2 if ranked else None,
            "rank_change": None,
            "index": 80.0,
        }
        | fields
    )


def head(key: str, **fields: object) -> dict[str, Any]:
    """A list's head."""
    level, _, period = key.split(".")
    return {
        "list": key, "level": level, "kind": None, "period": period, "as_of": "2026-11-26", "rules": HASH,
        "publish_from": 10, "rank_from": 30, "positions": {"FEEDBACK": 20_000},
        "computed_at": "2026-11-26T06:00:00.000Z", "list_hash": "sha256:" + "cd" * 32, "units": 11,
        "closed_on": None, "restatement": None,
        "priors": {"all": {"mu": 0.9, "strength": 30.0, "units": 99, "source": "estimated", "reason": None}},
    } | fields  # fmt: skip


def board(count: int = 9, *, level: str = "county", **fields: object) -> Board:
    """A list of `count` ranked units, with that of the period before."""
    rows = tuple(row(number) for number in range(1, count + 1))
    earlier = tuple(row(each, score=97.0 - each * 0.8) for each in range(1, count + 1))
    values = {"level": level, "head": head(f"{level}.all.2026-10"), "rows": rows, "before": earlier}
    return Board(**(values | fields))  # type: ignore[arg-type]  # a test's own fields


def history(days: int = 31, **fields: object) -> dict[str, Any]:
    """The region's rolling week, day by day."""
    first = date(2026, 10, 1)
    points = [
        {
            "day": (first + timedelta(days=number)).isoformat(), "status": "ranked", "score": 90 + number % 5,
            "interval_low": 87.0, "interval_high": 96.0, "ratings_of_day": 20 + number,
        }
        for number in range(days)
    ]  # fmt: skip
    return {"window_days": 7, "positions": {"FEEDBACK": 20_001}, "items": points} | fields


def case_figures(**fields: object) -> dict[str, Any]:
    """What became of the cases of one place."""
    return {
        "opened": 40, "unsettled": 12, "answered": 30, "on_time": 24, "reopened": 0, "closed": 20,
        "confirmed": 15, "median_days": 3.5,
    } | fields  # fmt: skip


def cases(*below: Mapping[str, Any], **whole: object) -> dict[str, Any]:
    """What rectify says."""
    return {"positions": {"CASES": 500}, "whole": case_figures(**whole), "below": list(below)}


def gathered(**fields: object) -> Gathered:
    """Everything about 南昌 in October 2026."""
    values: dict[str, Any] = {
        "span": Span.parse("2026-10"),
        "unit": CITY,
        "names": {"360100": "南昌市民政局", "360102": "东湖区民政局", "360103": "西湖区民政局"},
        "own": (head("city.all.2026-10"), row(2) | {"unit_id": CITY["unit_id"]}, row(2, score=95.0)),
        "boards": (board(),),
        "history": history(),
        "cases": cases(case_figures() | {"group": "360102"}),
    }
    return Gathered(**(values | fields))


def figures(**fields: object) -> dict[str, Any]:
    """The figures of what was gathered."""
    return figures_of(gathered(**fields), PACK)
