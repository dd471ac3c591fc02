"""Days: tests of what changes with the business day run within one, however late they begin."""

import time
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Final

import pytest

from shared.kernel.clock import SHANGHAI, SystemClock, business_day

LONG_S: Final = 120.0
"""What is left of a day that such a test begins in: three times what the longest of them takes."""


def until_tomorrow(now: datetime) -> timedelta:
    """What is left of the business day."""
    tomorrow = business_day(now) + timedelta(days=1)
    return datetime.combine(tomorrow, time_of_day(), SHANGHAI) - now


def begin_within_one_day(seconds: float = LONG_S) -> None:
    """Return at once, or, if the business day ends within so many seconds, when the next one has begun."""
    while (left_s := until_tomorrow(SystemClock().now()).total_seconds()) < seconds:
        time.sleep(left_s + 0.01)


@pytest.fixture
def one_day() -> None:
    """Lets a test begin with enough of its day left: at midnight all lists change, flags and periods too."""
    begin_within_one_day()
