"""The first draft of a bulletin's text, out of its figures: for a person to edit. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from deploy.local.bulletins.document import FENCE, TO_DO, plain
from deploy.local.bulletins.periods import day, issue_number, spoken
from deploy.local.bulletins.plots import plots_of
from deploy.local.bulletins.tables import BANDS, LEVELS, interval, percent, signed, tables_of

Json = Mapping[str, Any]
MASTHEAD: Final = "民主评议工作简报"
WHOLE: Final = {"province": "全省", "city": "全市", "county": "全县（市、区）"}
PEERS: Final = {"city": "设区市", "county": "县（市、区）"}
PARTS: Final = ("（一）", "（二）", "（三）")
NUMBERS: Final = ("一", "二", "三", "四", "五", "六", "七", "八")


def draft(figures: Json) -> str:
    """The whole text, see `deploy.local.bulletins.document`; the same figures give the same text."""
    names = _Names(figures)
    parts = [
        ("总体情况", _overall(figures, names)),
        ("评价走势", _trend(figures, names)),
        ("单位排名", _boards(figures, names)),
        ("典型经验", _good_practice(figures)),
        ("需要重点改进的单位", _laggards(figures)),
        ("问题整改", _cases(figures, names)),
        ("下一步工作", [f"{TO_DO}：结合上述情况，写明下一步工作要求。】"]),
        ("说明", _method(figures)),
    ]
    lines = [*_settings(figures), ""]
    shown = [(title, body) for title, body in parts if body]
    for number, (title, body) in zip(NUMBERS, shown, strict=False):
        lines += [f"## {number}、{title}", ""]
        for paragraph in body:
            lines += [paragraph, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def region_name(figures: Json) -> str:
    """The division's name, from that of its bureau."""
    name = str(figures["region"]["name"])
    for ending in ("民政局", "民政厅"):
        name = name.removesuffix(ending)
    return name


class _Names:
    """Which tables and plots there are to be shown."""

    def __init__(self, figures: Json) -> None:
        self._tables, self._plots = tables_of(figures), plots_of(figures)

    def table(self, name: str) -> list[str]:
        return [f"{{{{表:{name}}}}}"] if name in self._tables else []

    def plot(self, name: str) -> list[str]:
        return [f"{{{{图:{name}}}}}"] if name in self._plots else []


def _settings(figures: Json) -> list[str]:
    period, level = figures["period"], figures["region"]["level"]
    above = {"province": "民政部", "city": "省民政厅", "county": "市民政局"}[level]
    below = {"province": "各设区市民政局", "city": "各县（市、区）民政局", "county": "各服务窗口"}[level]
    rolling = f"近{period['asked'].removesuffix('d')}天" if period["asked"].endswith("d") else ""
    values = {
        "title": f"{region_name(figures)}{rolling or spoken(period['label'])}民政系统民主评议情况",
        "masthead": MASTHEAD,
        "issue": issue_number(period["label"]),
        "issuer": figures["region"]["name"],
        "date": period["as_of"],
        "report_to": above,
        "send_to": below,
        "print_run": "",
    }
    said = {
        "date": "签发日期，YYYY-MM-DD", "report_to": "报", "send_to": "送", "print_run": "印数，如：共印50份",
        "masthead": "报头", "issue": "期号", "issuer": "编发单位", "title": "标题",
    }  # fmt: skip
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}  # {said[name]}" for name, value in values.items()
    ]
    return [
        FENCE,
        *lines,
        FENCE,
        "",
        "> 本文件由已公布的数据自动起草，可修改文字、删减段落；改后运行 pingyi bulletin render。",
        "> 表、图来自 figures.json，勿改。以“> ”开头的行不印出；含“待补充”字样的段落须改写后方可发布。",
        "> 不得写入群众的姓名、联系方式、原话，或其他能认出个人的内容。",
    ]


def _overall(figures: Json, names: _Names) -> list[str]:
    period, overall, rules = figures["period"], figures["overall"], figures["rules"]
    first, last = date.fromisoformat(period["first"]), date.fromisoformat(period["last"])
    whole = WHOLE[figures["region"]["level"]]
    said = [f"{spoken(period['label'])}（{day(first)}至{day(last)}），{whole}"]
    if overall["score"] is None:
        said.append(f"计入的有效群众评价不足{rules['publish_from']}件，按规定不公布得分。")
    else:
        before = overall["ratings_before"]
        more = "" if before is None else f"（上期{before}件）"
        band = BANDS[overall["band"]]
        said.append(
            f"计入有效群众评价{overall['ratings']}件{more}，满意度得分{overall['score']:.2f}分"
            f"（90%区间{interval(overall['interval_low'], overall['interval_high'])}），"
            f"加权好评率{percent(overall['good'])}，等次为“{band}”"
        )
        said.append(f"，得分较上期{_change(overall['points'])}。" if overall["points"] is not None else "。")
        if overall["rank"] is not None:
            said.append(
                f"在全省{overall['peers']}个{PEERS[figures['region']['level']]}中列第{overall['rank']}位"
                f"（名次区间{overall['rank_low']}–{overall['rank_high']}）。"
            )
    paragraphs = ["".join(said)]
    units = [
        f"{LEVELS[board['level']]}单位{board['units']}个，其中样本充足、参与排名的{board['ranked']}个，"
        f"样本不足、不排名的{board['unranked']}个，样本过少、不公布的{board['suppressed']}个"
        for board in figures["boards"]
    ]
    paragraphs.append(f"参评情况：{'；'.join(units)}。")
    if period["closed_on"] is None and not period["label"].endswith("d"):
        as_of = day(date.fromisoformat(period["as_of"]))
        paragraphs.append(f"本期数据截至{as_of}，尚未封账，迟到评价和更正仍可能计入。")
    if period["restatement"]:
        paragraphs.append(f"本期封账后曾更正{period['restatement']}次，本简报采用最近一次更正后的数据。")
    return [*paragraphs, *names.table("总体情况"), *names.plot("满意度分布")]


def _change(points: float) -> str:
    if abs(points) < 0.005:  # noqa: PLR2004 - what two decimals show as 0
        return "持平"
    return f"{'上升' if points > 0 else '下降'}{abs(points):.2f}分"


def _trend(figures: Json, names: _Names) -> list[str]:
    plot = names.plot("评价走势")
    if not plot:
        return []
    points = figures["trend"]["points"]
    best, worst = (choose(points, key=lambda point: (point["score"], point["day"])) for choose in (max, min))
    if f"{best['score']:.2f}" == f"{worst['score']:.2f}":
        return [f"近7天滚动得分期间持平，均为{best['score']:.2f}分。", *plot]
    text = (
        f"近7天滚动得分期初为{points[0]['score']:.2f}分，期末为{points[-1]['score']:.2f}分；"
        f"最高为{_short(best['day'])}的{best['score']:.2f}分，"
        f"最低为{_short(worst['day'])}的{worst['score']:.2f}分。"
    )
    return [text, *plot]


def _short(text: str) -> str:
    found = date.fromisoformat(text)
    return f"{found.month}月{found.day}日"


def _boards(figures: Json, names: _Names) -> list[str]:
    found: list[str] = []
    several = len(figures["boards"]) > 1
    for part, board in zip(PARTS, figures["boards"], strict=False):
        label = LEVELS[board["level"]]
        if several:
            found.append(f"### {part}{label}单位")
        if not board["ranked"]:
            found.append(f"本期没有样本充足、可以排名的{label}单位。")
        else:
            found.append(
                f"参与排名的{board['ranked']}个{label}单位中，等次为“优秀”的{board['excellent']}个，"
                f"“未达优秀”的{board['below']}个，其余为“待定”。"
                "名次按得分排列，名次区间重叠的单位之间，差别未必真实。"
            )
        found += names.plot(f"{label}排名")
        for table in ("排名", "前列", "后列"):
            found += names.table(f"{label}{table}")
        found += names.plot(f"{label}漏斗图")
        if board["unranked"]:
            found += names.table(f"{label}不排名")
    return found


def _good_practice(figures: Json) -> list[str]:
    found, most = [], figures["rules"]["listed"]
    for board in figures["boards"]:
        by_id, label = _by_id(board), LEVELS[board["level"]]
        excellent = [row for row in by_id.values() if row["band"] == "excellent"]
        if excellent:
            found.append(
                f"- {label}单位中等次为“优秀”的：{_listed((_scored(row) for row in excellent), most)}。"
            )
        risen = [by_id[unit] for unit in board["risen"]]
        if risen:
            found.append(f"- {label}单位中得分上升较多的：{_listed((_moved(row) for row in risen), most)}。")
    if not found:
        return []
    return [
        "\n".join(found),
        f"{TO_DO}：从上述单位中选取一至三个，写明做法、成效和可供借鉴之处。】",
    ]


def _laggards(figures: Json) -> list[str]:
    found, most = [], figures["rules"]["listed"]
    for board in figures["boards"]:
        by_id, label = _by_id(board), LEVELS[board["level"]]
        # Where all are excellent somebody is last all the same, and has nothing to put right.
        bottom = [by_id[unit] for unit in board["bottom"] if by_id[unit]["band"] != "excellent"]
        if bottom:
            but = "" if len(bottom) == len(board["bottom"]) else "、等次不是“优秀”"
            named = _listed((_scored(row) for row in bottom), most)
            found.append(f"- {label}单位中排名后{len(board['bottom'])}位{but}的：{named}。")
        below = [row for row in reversed(list(by_id.values())) if row["band"] == "below"]
        if below:
            found.append(
                f"- {label}单位中等次为“未达优秀”的{len(below)}个，得分由低到高："
                f"{_listed((plain(row['name']) for row in below), most)}。"
            )
        fallen = [by_id[unit] for unit in board["fallen"]]
        if fallen:
            found.append(f"- {label}单位中得分下降较多的：{_listed((_moved(row) for row in fallen), most)}。")
    if not found:
        return []
    return [
        "\n".join(found),
        "以上为统计结果，只作为约谈和督导的候选名单；是否约谈、通报，由主管部门核实后决定。",
    ]


def _cases(figures: Json, names: _Names) -> list[str]:
    cases, least = figures["cases"], figures["rules"]["least_group"]
    if cases is None:
        return []
    if cases["opened"] == cases["answered"] == cases["closed"] == 0:
        return ["本期没有立案、答复或办结的整改件。"]
    said = [f"本期因差评、投诉和检查发现立案{_cases_count(cases['opened'], least)}，"]
    said.append(
        f"首次答复{_cases_count(cases['answered'], least)}，办结{_cases_count(cases['closed'], least)}。"
    )
    if cases["on_time"] is not None:
        said.append(f"按时答复率{percent(cases['on_time'])}。")
    if cases["median_days"] is not None:
        said.append(f"从立案到首次答复的中位数为{cases['median_days']:.1f}天。")
    if cases["confirmed"] is not None:
        said.append(f"办结件中由群众本人确认的占{percent(cases['confirmed'])}。")
    if cases["reopened"] is not None:
        said.append(f"群众不认可、重新办理的占{percent(cases['reopened'])}。")
    slow = [each for each in cases["below"] if each["on_time"] is not None and each["on_time"] < 1]
    slow.sort(key=lambda each: (each["on_time"], each["group"]))
    paragraphs = ["".join(said), *names.table("整改情况"), *names.table("各单位整改情况")]
    if slow:
        most = figures["rules"]["listed"]
        shown = _listed((f"{plain(each['name'])}（{percent(each['on_time'])}）" for each in slow), most)
        paragraphs.append(f"按时答复率较低的：{shown}。")
    return paragraphs


def _cases_count(value: int | None, least: int) -> str:
    return f"不足{least}件" if value is None else f"{value}件"


def _method(figures: Json) -> list[str]:
    rules, basis, period = figures["rules"], figures["basis"], figures["period"]
    kept = "、".join(f"{stream} {sequence}" for stream, sequence in basis["positions"].items())
    closed = "已封账" if period["closed_on"] is not None else "未封账"
    if period["label"].endswith("d"):
        closed = f"滚动窗口，截至{day(date.fromisoformat(period['as_of']))}"
    lists = "；".join(f"{each['list']} {each['list_hash'][7:23]}…" for each in basis["lists"])
    sure = f"有{percent(rules['sure'], 0)}以上把握"
    method = (
        f"得分为好评率的经验贝叶斯估计（百分制），90%区间表示其不确定程度；评价不足{rules['publish_from']}件的"
        f"单位不公布，不足{rules['rank_from']}件的不排名。“优秀”指{sure}达到{rules['excellent_line']:g}分，"
        f"“未达优秀”指{sure}达不到，其余为“待定”。涉及不足{rules['least_group']}人的数字不公布。"
        "差评和整改件不涉及评价人身份，任何单位不得打听、追查评价人。"
    )
    data = (
        f"数据依据：规则包{rules['hash'][7:23]}…；事件序号{kept}；榜单（{closed}）{lists}。"
        "凭本简报文件可运行 pingyi bulletin verify 核验是否为发布的原件。"
    )
    return [method, data]


def _by_id(board: Json) -> dict[str, Json]:
    return {row["unit_id"]: row for row in board["rows"] if row["status"] == "ranked"}


def _scored(row: Json) -> str:
    between = interval(row["interval_low"], row["interval_high"])
    return f"{plain(row['name'])}（{row['score']:.2f}分，区间{between}）"


def _moved(row: Json) -> str:
    clear = "" if row["clear"] else "，区间重叠"
    return f"{plain(row['name'])}（{signed(row['points'])}分，至{row['score']:.2f}分{clear}）"


def _listed(names: Iterable[str], most: int) -> str:
    found: Sequence[str] = list(names)
    more = f"等{len(found)}个" if len(found) > most else ""
    return "、".join(found[:most]) + more
