"""The plots of a bulletin as SVG, made of its figures: few lines, print colours, no script. Pure.

The same picture goes into HTML and PDF. Whoever sees colours badly or prints in grey reads the numbers.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from html import escape
from typing import Any, Final, NamedTuple

from deploy.local.bulletins.tables import GRADE_LABELS, LEVELS

Json = Mapping[str, Any]
WIDTH: Final = 660
FONTS: Final = "'Noto Sans SC','Source Han Sans SC','Microsoft YaHei','PingFang SC',sans-serif"
INK: Final = "#222222"
GREY: Final = "#8a8a8a"
PALE: Final = "#dddddd"
COLOURS: Final = {"excellent": "#2c6e49", "undecided": "#8a6d1f", "below": "#b3261e", None: GREY}
GRADE_COLOURS: Final = {5: "#2c6e49", 4: "#6a9f79", 3: "#c9b458", 2: "#d98e4a", 1: "#b3261e"}
BLUE: Final = "#2f5d8a"
_WIDE: Final = frozenset("WFA")
_ROW: Final = 20
_DENSE_ROW: Final = 17
_MANY_ROWS: Final = 12
"""Beyond so many they stand closer: no plot is broken over pages, so a tall one leaves much of one empty."""
Z95: Final = 1.959964
Z998: Final = 3.090232


class Plot(NamedTuple):
    """One picture: `svg` is a whole document, `text` says the same to who can't see it."""

    caption: str
    svg: str
    text: str
    note: str = ""


def plots_of(figures: Json) -> dict[str, Plot]:
    """All plots by the name that the text calls them; those without anything to show are left out."""
    found: dict[str, Plot | None] = {
        "评价走势": _trend(figures),
        "满意度分布": _grades(figures),
    }
    for board in figures["boards"]:
        label = LEVELS[board["level"]]
        found[f"{label}排名"] = _ranking(board, figures)
        found[f"{label}漏斗图"] = _funnel(board, figures)
    return {name: plot for name, plot in found.items() if plot is not None}


def width_of(text: str, size: float) -> float:
    """About how wide `text` is at a font size: an em for each full-width character, else a bit over half."""
    return size * sum(1.0 if unicodedata.east_asian_width(char) in _WIDE else 0.56 for char in text)


def fitted(text: str, size: float, room: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `room`."""
    if width_of(text, size) <= room:
        return text
    kept = ""
    for char in text:
        if width_of(f"{kept}{char}…", size) > room:
            break
        kept += char
    return f"{kept}…"


class _Canvas:
    """Collects shapes; numbers are written with one decimal, so that the same figures give the same bytes."""

    def __init__(self, height: float) -> None:
        self._height = height
        self._parts: list[str] = []

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        colour: str = INK,
        width: float = 1.0,
        dash: str = "",
    ) -> None:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width:.1f}"{dashes}/>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0
    ) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
            f'fill="{colour}" fill-opacity="{opacity:.2f}"/>'
        )

    def circle(self, x: float, y: float, radius: float, colour: str, *, hollow: bool = False) -> None:
        fill = "#ffffff" if hollow else colour
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{colour}" '
            f'stroke-width="1.4"/>'
        )

    def path(self, points: Sequence[tuple[float, float]], colour: str, *, width: float = 0.0,
             fill: bool = False, dash: str = "") -> None:  # fmt: skip
        drawn = " ".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))
        style = (
            f'fill="{colour}" fill-opacity="0.18" stroke="none"'
            if fill
            else f'fill="none" stroke="{colour}" stroke-width="{width:.1f}"'
            + (f' stroke-dasharray="{dash}"' if dash else "")
        )
        self._parts.append(f'<path d="{drawn}{" Z" if fill else ""}" {style}/>')

    def text(
        self, x: float, y: float, text: str, size: float = 12, colour: str = INK, anchor: str = "start"
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height:.0f}" '
            f'width="{WIDTH}" height="{self._height:.0f}" font-family="{FONTS}">{"".join(self._parts)}</svg>'
        )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from `low` to `high`, at most `most` of them."""
    step = next(
        (each for each in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0) if (high - low) / each <= most),
        200.0,
    )
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _ranking(board: Json, figures: Json) -> Plot | None:
    ranked = [row for row in board["rows"] if row["status"] == "ranked"]
    if len(ranked) < 2:  # noqa: PLR2004 - one unit alone is no ranking
        return None
    most, label = figures["rules"]["plotted"], LEVELS[board["level"]]
    half = most // 2
    shown: list[Json | None] = (
        list(ranked) if len(ranked) <= most else [*ranked[:half], None, *ranked[len(ranked) - half :]]
    )
    low = min(row["interval_low"] for row in ranked if row in shown)
    line = figures["rules"]["excellent_line"]
    low, top, names = math.floor(min(low, line) / 5) * 5.0, 26.0, 168.0
    x = _scale(low, 100.0, names + 42, WIDTH - 118)
    step = _ROW if len(shown) <= _MANY_ROWS else _DENSE_ROW
    canvas = _Canvas(top + step * len(shown) + 34)
    bottom = top + step * len(shown)
    for tick in _ticks(low, 100.0):
        canvas.line(x(tick), top - 4, x(tick), bottom, PALE, 0.8)
        canvas.text(x(tick), bottom + 15, f"{tick:g}", 11, GREY, "middle")
    canvas.line(x(line), top - 8, x(line), bottom, COLOURS["excellent"], 1.2, "5 3")
    canvas.text(x(line), top - 12, f"优秀线 {line:g}", 11, COLOURS["excellent"], "middle")
    canvas.text(WIDTH - 4, top - 12, "得分（90%区间）", 11, GREY, "end")
    for place, row in enumerate(shown):
        y = top + step * place + step / 2
        if row is None:
            canvas.text(names + 30, y + 4, f"⋮  其余{len(ranked) - 2 * half}个单位略", 11, GREY)
            continue
        colour = COLOURS[row["band"]]
        canvas.text(22, y + 4, str(row["rank"]), 12, GREY, "end")
        canvas.text(30, y + 4, fitted(row["name"], 12, names), 12)
        canvas.line(x(row["interval_low"]), y, x(row["interval_high"]), y, colour, 2.4)
        for end in ("interval_low", "interval_high"):
            canvas.line(x(row[end]), y - 3.5, x(row[end]), y + 3.5, colour, 1.4)
        canvas.circle(x(row["score"]), y, 3.8, colour, hollow=row["band"] == "undecided")
        values = f"{row['score']:.1f}（{row['interval_low']:.1f}–{row['interval_high']:.1f}）"
        canvas.text(WIDTH - 4, y + 4, values, 11, INK, "end")
    canvas.text((x(low) + x(100.0)) / 2, bottom + 31, "满意度得分", 11, GREY, "middle")
    return Plot(
        f"{label}单位得分与90%区间",
        canvas.svg(),
        f"{label}单位共{len(ranked)}个参与排名，第1名{ranked[0]['name']}，最后一名{ranked[-1]['name']}。",
        "注：圆点为得分，横线为90%区间，空心点表示等次待定；区间重叠的单位，名次差别未必真实。",
    )


def _trend(figures: Json) -> Plot | None:
    trend = figures["trend"]
    if trend is None or len(trend["points"]) < 2:  # noqa: PLR2004 - one day alone is no trend
        return None
    points = trend["points"]
    days = [date.fromisoformat(point["day"]) for point in points]
    low = math.floor(min(point["low"] for point in points) / 2) * 2.0
    high = min(100.0, math.ceil(max(point["high"] for point in points) / 2) * 2.0)
    counted = trend["counted"]
    height = 292.0 if counted else 216.0
    canvas = _Canvas(height)
    left, right, top, bottom = 46.0, WIDTH - 16.0, 14.0, 176.0
    x = _scale(days[0].toordinal(), days[-1].toordinal(), left + 20, right - 20)
    y = _scale(low, high, bottom, top)
    for tick in _ticks(low, high, 5):
        canvas.line(left, y(tick), right, y(tick), PALE, 0.8)
        canvas.text(left - 6, y(tick) + 4, f"{tick:g}", 11, GREY, "end")
    upper = [(x(day.toordinal()), y(point["high"])) for day, point in zip(days, points, strict=True)]
    lower = [(x(day.toordinal()), y(point["low"])) for day, point in zip(days, points, strict=True)]
    canvas.path([*upper, *reversed(lower)], BLUE, fill=True)
    middle = [(x(day.toordinal()), y(point["score"])) for day, point in zip(days, points, strict=True)]
    canvas.path(middle, BLUE, width=2.0)
    for place in (middle[0], middle[-1]):
        canvas.circle(*place, 3.2, BLUE)
    canvas.text(middle[-1][0] + 6, middle[-1][1] + 4, f"{points[-1]['score']:.1f}", 11, BLUE)
    end = bottom
    if counted:
        most = max(point["ratings"] for point in points) or 1
        base, peak = 252.0, 196.0
        bar = min(16.0, (right - left - 16) / max((days[-1] - days[0]).days, 1) * 0.7)
        for day, point in zip(days, points, strict=True):
            tall = (base - peak) * point["ratings"] / most
            canvas.rect(x(day.toordinal()) - bar / 2, base - tall, bar, tall, GREY, 0.7)
        canvas.line(left, base, right, base, GREY)
        canvas.text(left - 6, peak + 8, str(most), 11, GREY, "end")
        canvas.text(left - 6, base + 3, "0", 11, GREY, "end")
        end = base
    for day in _days_marked(days):
        canvas.text(x(day.toordinal()), end + 18, f"{day.month}月{day.day}日", 11, GREY, "middle")
    said = f"近{trend['window_days']}天滚动得分与90%区间"
    canvas.text(left, end + 36, f"上：{said}；下：当日评价件数" if counted else said, 11, GREY)
    whole = "" if trend["whole"] else f"注：仅能回溯至{trend['from']}。"
    hidden = "" if counted else "注：部分日期评价件数过少，每日件数依规不公布。"
    return Plot(
        "满意度逐日走势",
        canvas.svg(),
        f"从{points[0]['day']}的{points[0]['score']:.1f}分到{points[-1]['day']}的{points[-1]['score']:.1f}分。",
        whole + hidden,
    )


def _days_marked(days: Sequence[date]) -> list[date]:
    """At most six of the days, first and last among them."""
    step = max(1, math.ceil((len(days) - 1) / 5))
    marked = list(days[::step])
    if days[-1] not in marked:
        if len(marked) > 1 and (days[-1] - marked[-1]).days < (marked[1] - marked[0]).days / 2:
            marked.pop()
        marked.append(days[-1])
    return marked


def _grades(figures: Json) -> Plot | None:
    grades = figures["overall"]["grades"]
    if not any(grade["ratings"] for grade in grades):
        return None
    canvas = _Canvas(26.0 * len(grades) + 10)
    most = max(grade["share"] or 0 for grade in grades) or 1
    left, right = 96.0, WIDTH - 130.0
    for place, grade in enumerate(grades):
        y = 8 + 26.0 * place
        canvas.text(left - 8, y + 14, GRADE_LABELS[grade["grade"]], 12, INK, "end")
        if grade["ratings"] is None:
            canvas.text(left + 4, y + 14, "件数过少，依规不公布", 11, GREY)
            continue
        length = (right - left) * grade["share"] / most
        canvas.rect(left, y, length, 18, GRADE_COLOURS[grade["grade"]])
        canvas.text(
            left + length + 6, y + 14, f"{grade['ratings']}件（{grade['share'] * 100:.1f}%）", 11, INK
        )
    said = "，".join(
        f"{GRADE_LABELS[grade['grade']]}{grade['share'] * 100:.1f}%"
        for grade in grades
        if grade["share"] is not None
    )
    return Plot("五级评价分布", canvas.svg(), said)


def _funnel(board: Json, figures: Json) -> Plot | None:
    """Beta-binomial limits of 95 and 99.8 % around the peers' mean, approximated (DOMAIN §4.7)."""
    rows = [row for row in board["rows"] if row["status"] != "suppressed" and row["n"]]
    priors = list(board["priors"].values())
    if (
        len(rows) < figures["rules"]["least_peers"]
        or len(priors) != 1
        or priors[0]["mu"] is None
        or not priors[0]["strength"]
    ):
        return None
    mu, spread = priors[0]["mu"], 1 / (priors[0]["strength"] + 1)
    least, most = min(row["n"] for row in rows), max(row["n"] for row in rows)
    left, right, top, bottom = 46.0, WIDTH - 16.0, 12.0, 236.0
    x = _scale(math.log(least * 0.9), math.log(most * 1.1), left, right)
    usual = sorted(row["n"] for row in rows)[len(rows) // 2]
    lowest = min(*(row["good"] for row in rows), mu - Z998 * _sd(mu, spread, usual))
    low = math.floor(max(lowest, 0) * 20) * 5.0
    y = _scale(low, 100.0, bottom, top)
    canvas = _Canvas(bottom + 36)
    for tick in _ticks(low, 100.0, 5):
        canvas.line(left, y(tick), right, y(tick), PALE, 0.8)
        canvas.text(left - 6, y(tick) + 4, f"{tick:g}", 11, GREY, "end")
    canvas.line(left, y(mu * 100), right, y(mu * 100), INK, 1.0, "6 3")
    steps = [
        math.exp(math.log(least * 0.9) + (math.log(most * 1.1 / (least * 0.9))) * i / 60) for i in range(61)
    ]
    for z, dash in ((Z95, "4 3"), (Z998, "")):
        for sign in (-1, 1):
            limit = [(n, 100 * (mu + sign * z * _sd(mu, spread, n))) for n in steps]
            inside = [(x(math.log(n)), y(share)) for n, share in limit if low <= share <= 100]  # noqa: PLR2004 - per cent
            canvas.path(inside, GREY, width=1.1, dash=dash)
    for row in rows:
        beyond = abs(row["good"] - mu) > Z998 * _sd(mu, spread, row["n"])
        colour = COLOURS["below" if row["good"] < mu else "excellent"] if beyond else BLUE
        canvas.circle(x(math.log(row["n"])), y(row["good"] * 100), 3.0, colour, hollow=not beyond)
    for n in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000):
        if least * 0.9 <= n <= most * 1.1:
            canvas.text(x(math.log(n)), bottom + 16, str(n), 11, GREY, "middle")
    canvas.text(
        (left + right) / 2, bottom + 32, "加权评价数（对数刻度）；纵轴：好评率（%）", 11, GREY, "middle"
    )
    out = sum(abs(row["good"] - mu) > Z998 * _sd(mu, spread, row["n"]) for row in rows)
    return Plot(
        f"{LEVELS[board['level']]}单位漏斗图",
        canvas.svg(),
        f"{len(rows)}个单位中有{out}个在99.8%控制限之外。",
        "注：虚线为95%控制限，实线为99.8%控制限；实心点在99.8%控制限之外，值得专门了解。",
    )


def _sd(mu: float, spread: float, n: float) -> float:
    """Standard deviation of a share of `n` ratings that share a beta-distributed chance."""
    return math.sqrt(mu * (1 - mu) / n * (1 + max(n - 1, 0) * spread))
