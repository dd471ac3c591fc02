"""Which days somebody wants a bulletin of: a calendar period, or a rolling window up to what is published."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from services.rectify.domain.bulletins import days_of
from shared.kernel.errors import InvalidValueError

_ROLLING: Final = re.compile(r"([1-9][0-9]{0,2})d", re.ASCII)
_MONTH_LENGTH: Final = len("2026-10")


@dataclass(frozen=True, slots=True)
class Span:
    """What was asked for.

    Attributes:
        label: as it was written: ``2026-10``, ``2026Q4``, ``2026`` or ``30d``.
        days: length of a rolling window; None: a calendar period.
    """

    label: str
    days: int | None

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read it.

        Raises:
            InvalidValueError: it is none of these.
        """
        rolling = _ROLLING.fullmatch(text)
        if rolling is not None:
            return cls(text, int(rolling[1]))
        if re.fullmatch(r"[0-9]{4}(-[0-9]{2}|Q[1-4])?", text, re.ASCII) is None:
            raise InvalidValueError(
                text,
                "a month (2026-10), a quarter (2026Q4), a year (2026) or days of a rolling window (30d)",
                "write it like one of these",
                field="period",
            )
        days_of(text)
        return cls(text, None)

    @property
    def query(self) -> dict[str, Any]:
        """The parameters that name it to scoring."""
        return {"period": self.label} if self.days is None else {"window": str(self.days)}

    def before(self, as_of: date) -> dict[str, Any]:
        """The parameters of what it is compared with: the period before, or as many days before."""
        if self.days is not None:
            return {"window": str(self.days), "at": (as_of - timedelta(days=self.days)).isoformat()}
        return {"period": previous(self.label)}

    def period(self, as_of: date) -> str:
        """Its name in events: of a rolling window with its last day."""
        return self.label if self.days is None else f"{as_of.isoformat()}-{self.days}d"


def previous(label: str) -> str:
    """The calendar period of the same kind before `label`."""
    first, _ = days_of(label)
    before = first - timedelta(days=1)
    if "Q" in label:
        return f"{before.year:04d}Q{(before.month + 2) // 3}"
    return f"{before:%Y-%m}" if len(label) == _MONTH_LENGTH else f"{before.year:04d}"


def spoken(label: str) -> str:
    """A period in Chinese: ``2026年10月``, ``2026年第4季度``, ``2026年``, ``2026年11月26日前30天``."""
    first, last = days_of(label)
    if "Q" in label:
        return f"{first.year}年第{label[-1]}季度"
    if label.endswith("d"):
        return f"{day(last)}前{(last - first).days + 1}天"
    return f"{first.year}年{first.month}月" if len(label) == _MONTH_LENGTH else f"{first.year}年"


def day(value: date) -> str:
    """A day in Chinese, without leading zeros."""
    return f"{value.year}年{value.month}月{value.day}日"


def issue_number(label: str) -> str:
    """The usual number of the issue; a person may change it."""
    first, last = days_of(label)
    if "Q" in label:
        return f"{first.year}年第{label[-1]}期（季度）"
    if label.endswith("d"):
        return f"{last.year}年专报"
    return f"{first.year}年第{first.month}期" if len(label) == _MONTH_LENGTH else f"{first.year}年年度专刊"
