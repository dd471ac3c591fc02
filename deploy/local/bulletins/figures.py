"""The figures of a bulletin: everything that its tables and plots show, and nothing that may not be shown.

Pure: a function of what was gathered and of the rule pack, without clock or chance, so that the same
events give the same bytes. What is hidden is hidden here; the draft's folder never holds more.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from deploy.local.bulletins.small_groups import column, part, shown
from deploy.local.bulletins.sources import Board, Gathered
from services.rectify.domain.bulletins import days_of
from shared.rules import RulePack

FORM: Final = 1
"""Number of the form of the document."""
GRADES: Final = (5, 4, 3, 2, 1)
_ROW: Final = (
    "unit_id", "name", "status", "rank", "rank_low", "rank_high", "score", "interval_low", "interval_high",
    "ratings", "n", "good", "band",
)  # fmt: skip
_COUNTS: Final = ("opened", "answered", "closed")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
Json = dict[str, Any]


def figures_of(found: Gathered, pack: RulePack) -> Json:
    """Everything that the bulletin shows, as JSON."""
    head, row, before = found.own
    as_of = head["as_of"]
    period = found.span.period(date.fromisoformat(as_of))
    first, last = days_of(period)
    boards = [_board(board, pack) for board in found.boards]
    return {
        "form": FORM,
        "region": {
            **{name: found.unit[name] for name in ("division", "unit_id", "level")},
            "name": clean(found.unit["name"]),
        },
        "period": {
            "label": period,
            "asked": found.span.label,
            "first": first.isoformat(),
            "last": last.isoformat(),
            "as_of": as_of,
            "closed_on": head.get("closed_on"),
            "restatement": head.get("restatement"),
        },
        "rules": {
            "hash": head["rules"],
            "publish_from": head["publish_from"],
            "rank_from": head["rank_from"],
            "excellent_line": round(pack.bands.excellent_line * 100, 2),
            "sure": pack.bands.probability,
            "least_group": pack.bulletin.least_group,
            "plotted": pack.bulletin.plotted,
            "listed": pack.bulletin.moved,
            "least_peers": pack.prior.min_group,
        },
        "overall": {**_overall(row, before, pack.bulletin.least_group), "peers": head["units"]},
        "boards": boards,
        "trend": _trend(found.history, first.isoformat(), min(last.isoformat(), as_of)),
        "cases": _cases(found, pack.bulletin.least_group),
        "basis": {"positions": _positions(found), "lists": _lists(found)},
    }


def clean(name: str) -> str:
    """A name in one line, without characters that nobody sees or that no XML may hold."""
    kept = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in name)
    return " ".join(kept.split()) or "–"


def canonical(figures: Mapping[str, Any]) -> bytes:
    """The bytes that are kept, and hashed: UTF-8, sorted, one value a line."""
    return (json.dumps(figures, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def _overall(row: Mapping[str, Any], before: Mapping[str, Any] | None, least: int) -> Json:
    histogram = row.get("histogram")
    grades: list[Json] = []
    if histogram is not None:
        counts = column([histogram[grade - 1] for grade in GRADES], least)
        total = sum(histogram)
        grades = [
            {
                "grade": grade,
                "ratings": count,
                "share": None if count is None or not total else round(count / total, 4),
            }
            for grade, count in zip(GRADES, counts, strict=True)
        ]
    score, old = row.get("score"), None if before is None else before.get("score")
    return {
        **{name: row.get(name) for name in _ROW if name not in {"unit_id", "name"}},
        "rank_change": row.get("rank_change"),
        "index": row.get("index"),
        "score_before": old,
        "points": None if score is None or old is None else round(score - old, 2),
        **{
            f"{name}_before": None if before is None else before.get(name)
            for name in ("ratings", "good", "band", "rank")
        },
        "grades": grades,
    }


def _board(board: Board, pack: RulePack) -> Json:
    old = {row["unit_id"]: row for row in board.before or ()}
    rows = [_row(row, old.get(row["unit_id"])) for row in board.rows]
    ranked = [row for row in rows if row["status"] == "ranked"]
    top, bottom = _ends(len(ranked), pack)
    least = pack.publication.score_changed_min_points
    moved = [row for row in ranked if row["points"] is not None and abs(row["points"]) >= least]
    most = pack.bulletin.moved
    prior = board.head.get("priors") or {}
    return {
        "level": board.level,
        "list": board.head["list"],
        "units": len(rows),
        "ranked": len(ranked),
        "unranked": sum(row["status"] == "unranked" for row in rows),
        "suppressed": sum(row["status"] == "suppressed" for row in rows),
        "excellent": sum(row["band"] == "excellent" for row in ranked),
        "below": sum(row["band"] == "below" for row in ranked),
        "priors": {name: {"mu": each["mu"], "strength": each["strength"]} for name, each in prior.items()},
        "rows": rows,
        "top": [row["unit_id"] for row in ranked[:top]],
        "bottom": [row["unit_id"] for row in ranked[len(ranked) - bottom :]],
        "whole": len(ranked) <= pack.lists.top + pack.lists.bottom,
        "risen": [row["unit_id"] for row in _by_points(moved, 1)[:most]],
        "fallen": [row["unit_id"] for row in _by_points(moved, -1)[:most]],
    }


def _row(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> Json:
    if row["status"] == "suppressed":
        only = {"unit_id": row["unit_id"], "name": clean(row["name"]), "status": row["status"]}
        return {**dict.fromkeys(_ROW), **only, "score_before": None, "points": None, "clear": False}
    old = None if before is None or before["status"] != "ranked" else before
    known = old is not None and row["status"] == "ranked"
    return {
        **{name: row[name] for name in _ROW},
        "name": clean(row["name"]),
        "score_before": old["score"] if known and old else None,
        "points": round(row["score"] - old["score"], 2) if known and old else None,
        "clear": bool(
            known
            and old
            and (row["interval_low"] > old["interval_high"] or row["interval_high"] < old["interval_low"])
        ),
    }


def _ends(ranked: int, pack: RulePack) -> tuple[int, int]:
    """How many units are named at either end. Where there are few, at most half of them are."""
    if ranked > pack.lists.top + pack.lists.bottom:
        return pack.lists.top, pack.lists.bottom
    return min(pack.bulletin.named_of_few, ranked // 2), min(pack.lists.bottom, ranked // 2)


def _by_points(rows: Sequence[Json], sign: int) -> list[Json]:
    """Those that rose (1) or fell (-1), who moved most first."""
    found = [row for row in rows if row["points"] * sign > 0]
    return sorted(found, key=lambda row: (-row["points"] * sign, row["unit_id"]))


def _trend(history: Mapping[str, Any] | None, first: str, last: str) -> Json | None:
    if history is None:
        return None
    days = [point for point in history["items"] if first <= point["day"] <= last]
    points = [point for point in days if point["score"] is not None]
    if not points:
        return None
    counted = all(point["ratings_of_day"] is not None for point in days)
    return {
        "window_days": history["window_days"],
        "from": days[0]["day"],
        "whole": days[0]["day"] <= first,
        "counted": counted,
        "points": [
            {
                "day": point["day"],
                "score": point["score"],
                "low": point["interval_low"],
                "high": point["interval_high"],
                "ratings": point["ratings_of_day"] if counted else None,
            }
            for point in points
        ],
    }


def _cases(found: Gathered, least: int) -> Json | None:
    if found.cases is None:
        return None
    whole, groups = found.cases["whole"], found.cases["below"]
    columns = {name: column([group[name] for group in groups], least) for name in _COUNTS}
    below = [
        {
            "group": group["group"],
            "name": _name(group["group"], found),
            **{name: columns[name][place] for name in _COUNTS},
            **_shares(group, least),
        }
        for place, group in enumerate(groups)
    ]
    return {
        **{name: shown(whole[name], least) for name in _COUNTS},
        "unsettled": part(whole["unsettled"], whole["opened"], least),
        **_shares(whole, least),
        "below": below,
    }


def _shares(figures: Mapping[str, Any], least: int) -> Json:
    def share(name: str, of: str) -> float | None:
        count = part(figures[name], figures[of], least)
        return None if count is None or not figures[of] else round(count / figures[of], 4)

    return {
        "on_time": share("on_time", "answered"),
        "reopened": share("reopened", "answered"),
        "confirmed": share("confirmed", "closed"),
        "median_days": figures["median_days"] if figures["answered"] >= least else None,
    }


def _name(group: str, found: Gathered) -> str:
    if group == found.unit["division"]:
        return f"{clean(found.unit['name'])}（本级）"
    if group in found.names:
        return clean(found.names[group])
    rows = (row for board in found.boards for row in board.rows)
    return next((clean(row["name"]) for row in rows if row["unit_id"] == group), group)


def _positions(found: Gathered) -> dict[str, int]:
    """Up to where the figures know the streams: the furthest of all answers."""
    answers = [found.own[0], *(board.head for board in found.boards), found.history, found.cases]
    positions: dict[str, int] = {}
    for answer in answers:
        for stream, sequence in (answer or {}).get("positions", {}).items():
            positions[stream] = max(positions.get(stream, 0), sequence)
    return dict(sorted(positions.items()))


def _lists(found: Gathered) -> list[Json]:
    heads = {head["list"]: head for head in (found.own[0], *(board.head for board in found.boards))}
    return [
        {"list": key, "list_hash": heads[key]["list_hash"], "closed": heads[key].get("closed_on") is not None}
        for key in sorted(heads)
    ]
