"""Moments of the past, as `--at` names them."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from deploy.local.errors import LocalError
from shared.kernel.clock import SHANGHAI, business_day, parse_rfc3339, rfc3339
from shared.kernel.errors import InvalidValueError, describe
from shared.messaging.streams import CASES, FEEDBACK

SEQUENCE: Final = "seq:"
_DAY_LENGTH: Final = len("2026-11-20")
_RESOLUTION: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, the end of a business day, or a position of FEEDBACK; the moment itself belongs to it.

    Attributes:
        text: as it was written.
        until: the last instant of it; None for a position.
        position: sequence of FEEDBACK; None for a time.
        cases: sequence of CASES beside it; None: as far as it had come when that rating was received.
    """

    text: str
    until: datetime | None = None
    position: int | None = None
    cases: int | None = None

    def require_past(self, now: datetime) -> None:
        """Return if it is no time to come; a day that has begun is as of now.

        Raises:
            LocalError: it is one.
        """
        whole_day = len(self.text) == _DAY_LENGTH
        if self.until is None or self.until <= now or (whole_day and self.day == business_day(now)):
            return
        expected = f"a moment of the past; it is {rfc3339(now)}"
        raise LocalError(describe(self.text, expected, "name an earlier one in --at, or leave --at out"))

    def require_reached(self, stream: str, last: int, where: str) -> None:
        """Return unless it names a later position of a stream than its ``last`` one, as ``where`` has it.

        Raises:
            LocalError: it does.
        """
        named = {FEEDBACK: self.position, CASES: self.cases}[stream]
        if named is not None and named > last:
            expected = f"a sequence of {stream} up to {last}, the last in {where}"
            raise LocalError(describe(self.text, expected, "name an earlier position or a time in --at"))

    @property
    def day(self) -> date | None:
        """The business day that a time lies in; None for a position."""
        return None if self.until is None else business_day(self.until)

    def covers(self, happened: datetime, position: int) -> bool:
        """Whether what happened then, with FEEDBACK at ``position``, lies at or before this moment."""
        if self.until is not None:
            return happened <= self.until
        return self.position is None or position <= self.position


def parse_moment(text: str) -> Moment:
    """Read RFC 3339 with an offset, ``YYYY-MM-DD`` (the end of that day in Asia/Shanghai), or ``seq:N``.

    ``seq:N/M`` names the sequence of CASES, too.

    Raises:
        LocalError: neither of them.
    """
    try:
        if text.startswith(SEQUENCE):
            digits, slash, cases = text.removeprefix(SEQUENCE).partition("/")
            whole = digits + cases
            if whole.isascii() and whole.isdecimal() and int(digits) > 0 and bool(cases) == bool(slash):
                return Moment(text, position=int(digits), cases=int(cases) if slash else None)
        elif len(text) == _DAY_LENGTH:
            midnight = datetime.combine(date.fromisoformat(text), time(), SHANGHAI)
            return Moment(text, until=midnight + timedelta(days=1) - _RESOLUTION)
        else:
            return Moment(text, until=parse_rfc3339(text))
    except (InvalidValueError, ValueError, OverflowError):
        pass
    expected = "a time with its offset (2026-11-20T12:00:00+08:00), a day (2026-11-20) or seq:4711 in --at"
    raise LocalError(describe(text, expected, "write it like one of these"))
