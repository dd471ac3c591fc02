"""The tables of a bulletin, made of its figures. Pure; cells are plain text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

Json = Mapping[str, Any]
LEVELS: Final = {"province": "省级", "city": "设区市", "county": "县级", "window": "窗口"}
BANDS: Final = {"excellent": "优秀", "undecided": "待定", "below": "未达优秀", None: "–"}
GRADE_LABELS: Final = {5: "非常满意", 4: "满意", 3: "基本满意", 2: "不满意", 1: "非常不满意"}
HIDDEN: Final = "＊"
NONE: Final = "–"
MINUS: Final = "−"


class Table(NamedTuple):
    """One table.

    Attributes:
        caption: above it.
        header: of its columns.
        align: ``l``, ``c`` or ``r`` for each column; the one that is ``l`` takes the room that is left.
        rows: cells.
        note: below it; empty: none.
    """

    caption: str
    header: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables_of(figures: Json) -> dict[str, Table]:
    """All tables by the name that the text calls them; those that would be empty are left out."""
    found = {"总体情况": _overall(figures)}
    for board in figures["boards"]:
        found |= _of_board(board, figures)
    if figures["cases"] is not None:
        found["整改情况"] = _cases(figures)
        if figures["cases"]["below"]:
            found["各单位整改情况"] = _cases_below(figures)
    return {name: table for name, table in found.items() if table.rows}


def number(value: float | None, form: str = ".2f") -> str:
    """A number, or a dash."""
    return NONE if value is None else format(value, form)


def percent(share: float | None, decimals: int = 1) -> str:
    """A share in per cent, or the mark of what is hidden."""
    return HIDDEN if share is None else f"{share * 100:.{decimals}f}%"


def count(value: int | None) -> str:
    """A count, or the mark of what is hidden."""
    return HIDDEN if value is None else str(value)


def interval(low: float | None, high: float | None, form: str = ".1f") -> str:
    """Both ends of an interval, or a dash."""
    return NONE if low is None or high is None else f"{low:{form}}–{high:{form}}"


def signed(change: float | None, form: str = "+.2f") -> str:
    """A change with its sign, or a dash."""
    if change is None:
        return NONE
    text = format(change, form)
    return text[1:] if not text.strip("+-0.") else text.replace("-", MINUS)


def hidden_note(least: int) -> str:
    """What the mark means."""
    return f"注：“{HIDDEN}”表示涉及不足{least}人，或可由其他数字推算，依规不公布。"


def _overall(figures: Json) -> Table:
    overall = figures["overall"]
    header = ("指标", "本期", "上期", "变化")
    if overall["score"] is None:
        return Table("总体情况", header, "lrrr", ())
    rows = [
        (
            "计入评价（件）",
            str(overall["ratings"]),
            number(overall["ratings_before"], "d"),
            signed(_difference(overall, "ratings"), "+d"),
        ),
        (
            "满意度得分（90%区间）",
            f"{overall['score']:.2f}（{interval(overall['interval_low'], overall['interval_high'])}）",
            number(overall["score_before"]),
            signed(overall["points"]),
        ),
        (
            "加权好评率",
            percent(overall["good"]),
            NONE if overall["good_before"] is None else percent(overall["good_before"]),
            NONE
            if overall["good_before"] is None
            else f"{signed(_difference(overall, 'good') * 100)}个百分点",
        ),
        ("等次", BANDS[overall["band"]], BANDS[overall["band_before"]], NONE),
    ]
    if overall["rank"] is not None:
        rows.append(
            (
                f"全省名次（共{overall['peers']}个）",
                f"第{overall['rank']}位（{overall['rank_low']}–{overall['rank_high']}）",
                NONE if overall["rank_before"] is None else f"第{overall['rank_before']}位",
                _places(_difference(overall, "rank")),
            )
        )
    if overall["score_before"] is None:
        return Table("总体情况", header[:2], "lr", tuple(row[:2] for row in rows))
    return Table("总体情况", header, "lrrr", tuple(rows))


def _difference(overall: Json, name: str) -> Any:  # noqa: ANN401 - a number of the figures' kind, or None
    before = overall[f"{name}_before"]
    return None if before is None else overall[name] - before


def _places(difference: int | None) -> str:
    if difference is None:
        return NONE
    return "持平" if difference == 0 else f"{'降' if difference > 0 else '升'}{abs(difference)}位"


def _of_board(board: Json, figures: Json) -> dict[str, Table]:
    label = LEVELS[board["level"]]
    ranked = [row for row in board["rows"] if row["status"] == "ranked"]
    by_id = {row["unit_id"]: row for row in ranked}
    found = {}
    if board["whole"]:
        found[f"{label}排名"] = _ranking(f"{label}单位排名", ranked)
    else:
        found[f"{label}前列"] = _ranking(
            f"{label}单位排名前{len(board['top'])}名", [by_id[unit] for unit in board["top"]]
        )
        found[f"{label}后列"] = _ranking(
            f"{label}单位排名后{len(board['bottom'])}名", [by_id[unit] for unit in board["bottom"]]
        )
    found[f"{label}升降"] = _moved(board, by_id)
    unranked = [row for row in board["rows"] if row["status"] == "unranked"]
    if len(unranked) <= figures["rules"]["plotted"]:
        found[f"{label}不排名"] = Table(
            f"{label}样本不足、不排名的单位（不分先后）",
            ("单位", "得分", "90%区间", "评价数"),
            "lrcr",
            tuple(
                (
                    row["name"],
                    number(row["score"]),
                    interval(row["interval_low"], row["interval_high"]),
                    number(row["ratings"], "d"),
                )
                for row in sorted(unranked, key=lambda row: str(row["unit_id"]))
            ),
        )
    return found


def _ranking(caption: str, rows: Sequence[Json]) -> Table:
    compared = ("较上期",) if any(row["points"] is not None for row in rows) else ()
    return Table(
        caption,
        ("名次", "名次区间", "单位", "得分", "90%区间", "评价数", "好评率", "等次", *compared),
        "ccl" + "rcrrc" + "r" * len(compared),
        tuple(
            (
                str(row["rank"]),
                f"{row['rank_low']}–{row['rank_high']}",
                row["name"],
                number(row["score"]),
                interval(row["interval_low"], row["interval_high"]),
                str(row["ratings"]),
                percent(row["good"]),
                BANDS[row["band"]],
                *([signed(row["points"])] if compared else []),
            )
            for row in rows
        ),
    )


def _moved(board: Json, by_id: Mapping[str, Json]) -> Table:
    rows = [by_id[unit] for unit in (*board["risen"], *reversed(board["fallen"]))]
    return Table(
        f"{LEVELS[board['level']]}得分升降较大的单位",
        ("单位", "上期得分", "本期得分", "90%区间", "变化", "区间是否分开"),
        "lrrcrc",
        tuple(
            (
                row["name"],
                number(row["score_before"]),
                number(row["score"]),
                interval(row["interval_low"], row["interval_high"]),
                signed(row["points"]),
                "是" if row["clear"] else "否",
            )
            for row in rows
        ),
        "注：“否”表示两期区间重叠，变化可能出于偶然。"
        if rows and not all(row["clear"] for row in rows)
        else "",
    )


def _cases(figures: Json) -> Table:
    cases, least = figures["cases"], figures["rules"]["least_group"]
    header = ("指标", "本期", "指标", "本期")
    if cases["opened"] == cases["answered"] == cases["closed"] == 0:
        return Table("整改情况", header, "lrlr", ())
    cells = [
        ("立案（件）", count(cases["opened"])),
        ("其中未办结（件）", count(cases["unsettled"])),
        ("首次答复（件）", count(cases["answered"])),
        ("按时答复率", _share(cases["on_time"], cases["answered"])),
        ("答复用时中位数（自然日）", _median(cases)),
        ("群众不认可、重新办理率", _share(cases["reopened"], cases["answered"])),
        ("办结（件）", count(cases["closed"])),
        ("群众本人确认率", _share(cases["confirmed"], cases["closed"])),
    ]
    rows = tuple((*left, *right) for left, right in zip(cells[::2], cells[1::2], strict=True))
    hides = any(value == HIDDEN for _, value in cells)
    return Table("整改情况", header, "lrlr", rows, hidden_note(least) if hides else "")


def _share(share: float | None, of: int | None) -> str:
    return NONE if of == 0 else percent(share)


def _median(figures: Json) -> str:
    if figures["answered"] == 0:
        return NONE
    return HIDDEN if figures["median_days"] is None else f"{figures['median_days']:.1f}"


def _cases_below(figures: Json) -> Table:
    cases, least = figures["cases"], figures["rules"]["least_group"]
    rows = tuple(
        (
            each["name"],
            count(each["opened"]),
            count(each["answered"]),
            _share(each["on_time"], each["answered"]),
            _share(each["reopened"], each["answered"]),
            _median(each),
            count(each["closed"]),
            _share(each["confirmed"], each["closed"]),
        )
        for each in cases["below"]
    )
    header = ("单位", "立案", "答复", "按时率", "重办率", "用时（天）", "办结", "确认率")
    hides = any(HIDDEN in row for row in rows)
    return Table("各单位整改情况", header, "lrrrrrrr", rows, hidden_note(least) if hides else "")
