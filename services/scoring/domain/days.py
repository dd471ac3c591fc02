"""Business days of Asia/Shanghai as numbers of days since 1970-01-01."""

from datetime import date
from typing import Final

from shared.kernel.clock import SHANGHAI

DAY_MS: Final = 86_400_000
SHANGHAI_MS: Final = int(SHANGHAI.utcoffset(None).total_seconds()) * 1000
"""How far Shanghai's clocks are ahead of UTC."""
_EPOCH: Final = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Days from 1970-01-01 to ``day``."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The day with that number."""
    return date.fromordinal(number + _EPOCH)


def day_of_ms(moment_ms: int) -> int:
    """Day number, in Asia/Shanghai, of a Unix time in milliseconds."""
    return (moment_ms + SHANGHAI_MS) // DAY_MS
