"""What people read: an alert as text in Chinese or English, made harmless for where it is shown.

Titles and bodies come from rules, and names from the register of units. Neither may start a mail's header,
mention a whole group or pose as a link, whatever somebody wrote into a name.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.notify.domain.alert import SEVERITY_LABELS, Alert
from services.notify.domain.channels import Language
from services.notify.domain.digests import listed_by
from services.notify.domain.english import SEVERITIES_EN, english
from shared.kernel.clock import SHANGHAI

ELLIPSIS: Final = "…"

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
    "granted": ("申诉成立", "Appeal granted"),
    "period": ("评议期", "Period"),
    "nominee": ("推荐单位", "Nominated unit"),
    "awaits": ("待确认层级", "Awaits"),
    "ranked": ("参与排名数", "Units ranked"),
    "interval_high": ("区间上限", "Interval's upper end"),
    "weight": ("权重合计", "Sum of weights"),
    "proposable": ("可提约谈建议", "Enough for a proposal"),
    "command": ("查看命令", "Command"),
    "place": ("地区", "Place"),
    "kind": ("类型", "Kind"),
    "issue": ("问题分项", "Issue"),
    "count": ("差评数", "Bad reviews"),
    "usual": ("通常条数", "Usual number"),
    "days": ("参照天数", "Days before"),
    "hours": ("统计小时", "Hours covered"),
    "signal": ("信号", "Signal"),
    "statistic": ("指标", "Statistic"),
    "held": ("暂扣数", "Held"),
    "share": ("占比", "Share"),
    "service": ("服务", "Service"),
    "consumer": ("消费者", "Consumer"),
    "stream": ("事件流", "Stream"),
    "sequence": ("序号", "Sequence"),
    "first": ("首个序号", "First sequence"),
    "last": ("末个序号", "Last sequence"),
    "sequences": ("涉及消息数", "Messages concerned"),
    "error": ("错误", "Error"),
    "period_minutes": ("提醒间隔(分钟)", "Told once in, minutes"),
    "position": ("排名所到序号", "Rankings stand at"),
    "waiting": ("等待评价数", "Ratings that wait"),
    "last_sequence": ("最后序号", "Last sequence"),
    "rule": ("原提醒规则", "Rule"),
    "told_at": ("原提醒时间", "Told at"),
    "alerts": ("提醒数", "Alerts"),
    "recipient": ("接收人", "Recipient"),
}
_LABELS: Final = {
    Language.ZH: ("单位", "时间", "依据事件", "预警编号", "平台"),
    Language.EN: ("Unit", "Time", "Rests on", "Alert", "platform"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """What people read, in the order in which they read it.

    Attributes:
        title: one line.
        body: lines that say what happened and what to do.
        facts: lines below it: place, time, figures, evidence; the last one is the alert's number.
        listed: of a digest: how many alerts it answers for; its body lists them by lines that start with
            `ITEM`, and says how many more there are.
        language: of all of it.
    """

    title: str
    body: tuple[str, ...]
    facts: tuple[str, ...]
    listed: int | None = None
    language: Language = Language.ZH

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines below the title."""
        return (*self.body, *self.facts)

    def escaped(self, escape: Callable[[str], str]) -> "Text":
        """Return the text with every part made harmless, or marked up, by `escape`."""
        return replace(
            self,
            title=escape(self.title),
            body=tuple(escape(line) for line in self.body),
            facts=tuple(escape(line) for line in self.facts),
        )

    def joined(self) -> str:
        """Return title and lines as one text."""
        return "\n".join((self.title, *self.lines))


def render(alert: Alert, language: Language = Language.ZH) -> Text:
    """Return what people read of `alert`; the same alert gives the same text."""
    unit, time, evidence, number, platform = _LABELS[language]
    title, body = (alert.title, alert.body) if language is Language.ZH else english(alert)
    severity = (SEVERITY_LABELS if language is Language.ZH else SEVERITIES_EN)[alert.severity]
    known = alert.known_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")
    column = 0 if language is Language.ZH else 1
    colon = ":" if language is Language.ZH else ": "
    separator = "、" if language is Language.ZH else ", "
    return Text(
        one_line(f"[{severity}] {title}"),
        tuple(body.splitlines()),
        (
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
        listed=listed_by(alert),
        language=language,
    )


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
