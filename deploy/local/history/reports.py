"""What a recomputation found, in lines for people and as values for JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deploy.local.commands.rankings import BAND_LABELS
from deploy.local.history.recomputing import Folded, Hypothesis, PastCheck, Verdict
from services.scoring.application.what_if import ListChange, Move, PriorChange
from services.scoring.domain.lists import RankedList, Row
from shared.rules import RulePack, pack_differences

MOVES_SHOWN: Final = 3
"""Units of each list that a report on all lists names; ten of one list, and in JSON twenty or all of it."""
MOVES_SHOWN_OF_ONE: Final = 10
MOVES_IN_JSON: Final = 20
KEYS_SHOWN: Final = 5
STATUS_LABELS: Final = {"ranked": "排名", "unranked": "不排名", "suppressed": "不公布"}
HYPOTHETICAL: Final = (
    "假如（what if）：以下为假设结果，从未公布，也不会公布。Hypothetical; nothing of this was ever published."
)


def write_lists(folder: Path, lists: Mapping[str, RankedList]) -> int:
    """Write each list's canonical bytes into ``<key>.json``, whose SHA-256 is the list's hash; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, found in lists.items():
        (folder / f"{key}.json").write_bytes(found.canonical())
    return len(lists)


def folded_notes(folded: Folded) -> Iterator[str]:
    """What a reader must know about the messages that were folded."""
    if folded.first > 1:
        yield (
            f"  The messages begin at sequence {folded.first}: what was before is not in these rankings. "
            "The archive has it (--from archive)."
        )
    if folded.invalid:
        yield f"  {folded.invalid} messages are no valid feedback; they were left out, as they were then."


# --- as it was ----------------------------------------------------------------------------------------------


def past_lines(check: PastCheck, moment: str, source: str) -> list[str]:
    """A comparison with the past."""
    differing = [verdict for verdict in check.verdicts if not verdict.equal]
    equal = len(check.verdicts) - len(differing)
    result = "NOT OK" if differing else "OK"
    lines = [
        f"{result}: {len(check.verdicts)} lists as they were at {moment}, recomputed from {source}.",
        f"  {equal} equal byte for byte, {len(differing)} differing; {check.folded.ratings} ratings folded.",
        *(f"  {_difference(each)}" for each in differing),
    ]
    if check.verdicts:
        oldest = min(check.verdicts, key=lambda each: (each.record.position, each.record.as_of)).record
        newest = max(check.verdicts, key=lambda each: (each.record.position, each.record.as_of)).record
        places = list(dict.fromkeys(f"position {each.position} on {each.as_of}" for each in (oldest, newest)))
        lines.append(
            "  A list is recorded when what it shows changes, and checked where that record was computed: "
            f"{' to '.join(places)}."
        )
    if check.without_record:
        more = len(check.without_record) - KEYS_SHOWN
        shown = ", ".join(check.without_record[:KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"  Without a record by then, as nothing of them had been shown: {shown}.")
    return [*lines, *folded_notes(check.folded)]


def _difference(verdict: Verdict) -> str:
    record = verdict.record
    found = "no such list under its rules" if verdict.recomputed is None else verdict.recomputed.hash
    return (
        f"{record.list}: published {record.list_hash} at position {record.position} on {record.as_of} "
        f"under {record.rules}, recomputed {found}"
    )


def past_answer(check: PastCheck, moment: str, source: str) -> dict[str, Any]:
    """The same as values."""
    equal = sum(verdict.equal for verdict in check.verdicts)
    return {
        "ok": equal == len(check.verdicts),
        "at": moment,
        "from": source,
        "lists": len(check.verdicts),
        "equal": equal,
        "differing": [verdict.record.list for verdict in check.verdicts if not verdict.equal],
        "without_record": list(check.without_record),
        "records": {
            verdict.record.list: {
                "position": verdict.record.position,
                "as_of": str(verdict.record.as_of),
                "rules": verdict.record.rules,
                "list_hash": verdict.record.list_hash,
                "recomputed_hash": None if verdict.recomputed is None else verdict.recomputed.hash,
                "equal": verdict.equal,
            }
            for verdict in check.verdicts
        },
        **folded_answer(check.folded),
    }


def folded_answer(folded: Folded) -> dict[str, int]:
    """What was folded, as values."""
    return {"messages": folded.ratings, "invalid": folded.invalid, "first_sequence": folded.first}


# --- as it would have been ----------------------------------------------------------------------------------


def hypothesis_lines(found: Hypothesis, only: str | None) -> list[str]:
    """A readable comparison of two packs; ``only`` names one list to tell more about."""
    changes = [each for each in found.change.lists if only in {None, each.list}]
    changed = [each for each in changes if each.moves or each.priors]
    settings = pack_differences(found.own, found.other)
    lines = [
        HYPOTHETICAL,
        f"位置 FEEDBACK {found.position}，截至 {found.as_of}（{found.folded.ratings} 条评价）",
        f"原规则 {_pack(found.own)}",
        f"假设   {_pack(found.other)}",
        *(f"  {each.key}: {each.old or '无'} → {each.new or '无'}" for each in settings),
    ]
    if not settings:
        lines.append("  两份规则的内容相同")
    for change in changed:
        lines += _change_lines(change, MOVES_SHOWN if only is None else MOVES_SHOWN_OF_ONE)
    lines.append(f"共 {len(changes)} 个榜单，其中 {len(changed)} 个有变化")
    if only is None:
        lines += [f"仅原规则有的榜单：{', '.join(found.change.only_old)}"] if found.change.only_old else []
        lines += [f"仅假设规则有的榜单：{', '.join(found.change.only_new)}"] if found.change.only_new else []
    return [*lines, *folded_notes(found.folded)]


def _pack(pack: RulePack) -> str:
    return f"{pack.version} {pack.hash}"


def _change_lines(change: ListChange, shown: int) -> list[str]:
    counted = {"名次": change.ranks, "等次": change.bands, "状态": change.statuses, "得分": change.scores}
    changed = "，".join(f"{name}变化 {count}" for name, count in counted.items())
    lines = [f"{change.list}：{change.units} 个单位，{changed}"]
    lines += [f"  {_move_line(move)}" for move in change.moves[:shown]]
    if len(change.moves) > shown:
        lines.append(f"  另有 {len(change.moves) - shown} 个单位")
    return lines + [f"  {_prior_line(prior)}" for prior in change.priors]


def _move_line(move: Move) -> str:
    arrow = f" ↑{move.places}" if move.places > 0 else f" ↓{-move.places}" if move.places < 0 else ""
    parts = [
        f"{move.name}  名次 {_rank(move.old)} → {_rank(move.new)}{arrow}",
        f"得分 {_score(move.old)} → {_score(move.new)}",
    ]
    if move.differs("band"):
        parts.append(f"等次 {_band(move.old)} → {_band(move.new)}")
    if move.differs("status"):
        parts.append(f"{_status(move.old)} → {_status(move.new)}")
    return "，".join(parts)


def _rank(row: Row | None) -> str:
    return "–" if row is None or row.rank is None else str(row.rank)


def _score(row: Row | None) -> str:
    return "–" if row is None or row.score is None else f"{row.score:.2f}"


def _band(row: Row | None) -> str:
    return (BAND_LABELS.get(row.band, row.band) if row is not None else None) or "–"


def _status(row: Row | None) -> str:
    return "不在榜" if row is None else STATUS_LABELS.get(row.status, row.status)


def _prior_line(prior: PriorChange) -> str:
    if prior.old is None or prior.new is None:
        return f"先验 {prior.group}：{'仅假设规则有' if prior.old is None else '仅原规则有'}"
    names = [name for name in prior.new if prior.old.get(name) != prior.new[name]]
    parts = [f"{name} {_value(prior.old.get(name))} → {_value(prior.new[name])}" for name in names]
    return f"先验 {prior.group}：{'，'.join(parts)}"


def _value(value: object) -> str:
    return "–" if value is None else str(value)


def hypothesis_answer(found: Hypothesis, only: str | None) -> dict[str, Any]:
    """The same as values; of one list every unit that moves, of all lists the first twenty."""
    shown = MOVES_IN_JSON if only is None else None
    return {
        "hypothetical": True,
        "position": found.position,
        "as_of": str(found.as_of),
        "rules": {"version": found.own.version, "hash": found.own.hash},
        "other_rules": {"version": found.other.version, "hash": found.other.hash},
        "settings": [each._asdict() for each in pack_differences(found.own, found.other)],
        "lists": [
            {
                "list": change.list,
                "units": change.units,
                "ranks": change.ranks,
                "bands": change.bands,
                "statuses": change.statuses,
                "scores": change.scores,
                "moves": [_move_answer(move) for move in change.moves[:shown]],
                "priors": [{"group": each.group, "old": each.old, "new": each.new} for each in change.priors],
            }
            for change in found.change.lists
            if only in {None, change.list}
        ],
        "only_own": list(found.change.only_old),
        "only_other": list(found.change.only_new),
        **folded_answer(found.folded),
    }


def _move_answer(move: Move) -> dict[str, Any]:
    def of(row: Row | None) -> dict[str, Any] | None:
        return None if row is None else {n: getattr(row, n) for n in ("status", "rank", "score", "band")}

    return {"unit_id": move.unit_id, "name": move.name, "old": of(move.old), "new": of(move.new)}
