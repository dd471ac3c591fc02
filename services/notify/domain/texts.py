"""What people read: an alert as text in Chinese or English, made harmless for where it is shown.

Titles and bodies come from rules, and names from the register of units. Neither may start a mail's header,
mention a whole group or pose as a link, whatever somebody wrote into a name.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.notify.domain.alert import SEVERITY_LABELS, Alert
from services.notify.domain.channels import Language
from shared.kernel.clock import SHANGHAI
from shared.rules import Severity

ELLIPSIS: Final = "…"

_SEVERITIES_EN: Final = {Severity.INFO: "notice", Severity.WARNING: "warning", Severity.CRITICAL: "urgent"}

_FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "grade": ("评价等级", "Grade"),
    "threshold": ("阈值", "Threshold"),
    "rank": ("现排名", "Rank"),
    "previous_rank": ("原排名", "Rank before"),
    "day_start_rank": ("今日起始排名", "Rank when the day began"),
    "lost": ("下降位数", "Places lost"),
    "list": ("榜单", "List"),
    "window_days": ("统计天数", "Days covered"),
    "score": ("得分", "Score"),
    "ratings": ("评价数", "Ratings"),
    "band": ("现等次", "Band"),
    "previous_band": ("原等次", "Band before"),
    "probability": ("把握度", "Certainty"),
    "endpoint": ("接收端", "Endpoint"),
    "case_id": ("整改件", "Case"),
    "status": ("状态", "Status"),
    "case_class": ("类别", "Class"),
    "clock": ("时限", "Clock"),
    "percent": ("已用%", "Per cent used"),
    "due_at": ("到期时间", "Due at"),
    "refused": ("不认可次数", "Refused, times"),
    "fact": ("事项", "Fact"),
    "ground": ("事由", "Ground"),
    "step": ("步次", "Step"),
    "subject_id": ("编号", "Id"),
    "measure": ("措施", "Measure"),
    "why": ("原因", "Why"),
    "appeal_until": ("申诉截止", "Appeal until"),
}
_LABELS: Final = {
    Language.ZH: ("单位", "时间", "依据事件", "预警编号", "平台"),
    Language.EN: ("Unit", "Time", "Rests on", "Alert", "platform"),
}

_TITLES_EN: Final[Mapping[str, tuple[str, str]]] = {
    "bad_review": (
        "Bad review: {unit}",
        "A review of grade {grade} came in. Please look into it soon, put it right and answer.",
    ),
    "rank_drop": (
        "Lost {lost} places: {unit}",
        "From place {previous_rank} to place {rank} in the list over {window_days} days. Please act.",
    ),
    "band_change": ("Another band: {unit}", "From {previous_band} to {band}."),
    "stream_diverged": (
        "The audit archive and a stream differ, or agree again",
        "See docs/audit.md for what to do.",
    ),
    "case_opened": (
        "A case was opened: {unit}",
        "A finding, or somebody by hand, opened case {case_id}. Please classify it, hand it out and plan.",
    ),
    "case_assigned": (
        "A case for you: {unit}",
        "Case {case_id} was handed to you, you are asked to take it over, or it stays with you ({status}).",
    ),
    "case_clock": (
        "{percent} % of the time are used up: {unit}",
        "Case {case_id}: {percent} % of the time for '{clock}' are used up, at {due_at}. Please act.",
    ),
    "case_overdue": (
        "Overdue: {unit}",
        "Case {case_id}: the time for '{clock}' ended at {due_at}. Please see to it; it is one level down.",
    ),
    "case_reopened": (
        "The answer was not accepted: {unit}",
        "Case {case_id} is open again, for the {refused}. time. Please put it right and answer anew.",
    ),
    "case_refused_again": (
        "Refused again: {unit}",
        "The answers to case {case_id} were refused {refused} times. Please look into how it is worked on.",
    ),
    "strike": (
        "Strike: {unit}",
        "{fact} on ladder {ground} ({why}). Nothing follows before somebody one level up has signed it.",
    ),
    "sanction_to_decide": (
        "For you to decide: {unit}",
        "{fact}: {measure}, ground {ground}, step {step}. Look at the events; sign, reject or decide.",
    ),
    "sanction_step": (
        "Sanction: {unit}",
        "{fact}: {measure}, ground {ground}, step {step}. An appeal is possible until {appeal_until}.",
    ),
    "channel_disabled": (
        "A receiver of alerts wants no more: {endpoint}",
        "It answered 410 and gets nothing until its address is corrected or it is enabled again.",
    ),
}
"""Title and body for each rule; a rule without an entry shows its own Chinese text under an English frame."""


@dataclass(frozen=True, slots=True)
class Text:
    """A title, one line; and lines below it, of which the first say what happened and what to do."""

    title: str
    lines: tuple[str, ...]

    def escaped(self, escape: Callable[[str], str]) -> "Text":
        """Return the text with every part made harmless by `escape`."""
        return Text(escape(self.title), tuple(escape(line) for line in self.lines))

    def joined(self) -> str:
        """Return title and lines as one text."""
        return "\n".join((self.title, *self.lines))


def render(alert: Alert, language: Language = Language.ZH) -> Text:
    """Return what people read of `alert`; the same alert gives the same text."""
    unit, time, evidence, number, platform = _LABELS[language]
    title, body = (alert.title, alert.body) if language is Language.ZH else _english(alert)
    severity = (SEVERITY_LABELS if language is Language.ZH else _SEVERITIES_EN)[alert.severity]
    known = alert.known_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")
    column = 0 if language is Language.ZH else 1
    colon = ":" if language is Language.ZH else ": "
    separator = "、" if language is Language.ZH else ", "
    return Text(
        one_line(f"[{severity}] {title}"),
        (
            *body.splitlines(),
            "",
            f"{unit}{colon}{alert.unit_name or platform}({alert.unit_id or '-'})",
            f"{time}{colon}{known}",
            *(
                f"{_FIGURES.get(key, (key, key))[column]}{colon}{value}"
                for key, value in alert.figures.items()
            ),
            f"{evidence}{colon}{separator.join(alert.evidence)}",
            f"{number}{colon}{alert.alert_id}",
        ),
    )


def _english(alert: Alert) -> tuple[str, str]:
    known = _TITLES_EN.get(alert.rule)
    if known is None:
        return f"{alert.rule}: {alert.unit_name or alert.title}", alert.body
    values = _Values(alert.figures, unit=alert.unit_name or "-")
    return known[0].format_map(values), known[1].format_map(values)


class _Values(dict[str, str]):
    """Values of a template; what an alert does not say is a dash."""

    def __missing__(self, key: str) -> str:
        return "-"


def one_line(text: str) -> str:
    """Return `text` without any control or line-separating character: nothing in it can start a header."""
    kept = (" " if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else char for char in text)
    return " ".join("".join(kept).split())


_WIDE: Final = {char: chr(ord(char) + 0xFEE0) for char in "@<>"}
_WIDE_MARKDOWN: Final = _WIDE | {char: chr(ord(char) + 0xFEE0) for char in "*_`[]()#~|!\\"}
_NO_LINK: Final = "\uff1a//"
_PLAIN: Final = str.maketrans(_WIDE)
_MARKDOWN: Final = str.maketrans(_WIDE_MARKDOWN)


def plain(line: str) -> str:
    """Return a line for a robot's text message: it mentions nobody, and nothing in it becomes a link.

    Robots know mentions as ``<@id>``, ``<at user_id="all">`` and ``@number``, and document no escape. So
    these characters become their full-width twins, which mean nothing.
    """
    return one_line(line).translate(_PLAIN).replace("://", _NO_LINK)


def markdown(line: str) -> str:
    """Return a line for a robot's markdown message: likewise, and it is no markup."""
    return one_line(line).translate(_MARKDOWN).replace("://", _NO_LINK)


def cut(text: str, limit: int) -> str:
    """Return `text`, shortened to at most `limit` bytes of UTF-8, never inside a character as people see it.

    Combining marks, variation selectors and joined emoji stay with their base. What was cut ends in an
    ellipsis, where there is room for one.
    """
    if len(text.encode()) <= limit:
        return text
    mark = ELLIPSIS if limit >= len(ELLIPSIS.encode()) else ""
    kept = text.encode()[: limit - len(mark.encode())].decode(errors="ignore")
    while kept and _continues(text, len(kept)):
        kept = kept[:-1]
    return kept + mark


def _continues(text: str, place: int) -> bool:
    """Tell whether the character at `place` belongs to the one before it."""
    char = text[place]
    return (
        unicodedata.combining(char) != 0
        or unicodedata.category(char) in {"Mn", "Me", "Mc"}
        or char == "\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or text[place - 1] == "\u200d"
    )
