"""What a rule pack says about cases: deadlines in working days, reminders, when each kind of window works.

Optional in a pack: `[rectify]`; one without it goes by the defaults here, those of the shipped pack.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from shared.kernel.grades import Channel

if TYPE_CHECKING:
    from shared.rules.table import Table

_SPAN = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_MIDNIGHT: Final = 24 * 60
SHORTEST_WD: Final = 0.001
"""Windows that work round the clock may promise a first contact within minutes."""
FINDINGS: Final = ("none", "minor", "serious", "criticised")
"""Results of spot checks."""
INCIDENTS: Final = ("liability_accident", "serious_violation", "crime", "group_petition", "broken_promise")
"""Points of the veto list."""
FINDING_OPENS: Final = ("minor", "serious", "criticised")
INCIDENT_OPENS: Final = ("group_petition", "broken_promise")
PAUSE_MAX_WD: Final = 10.0
INQUIRY_WD: Final = 3.0


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """When a kind of window works.

    Attributes:
        hours: pairs of minutes of the day; the gaps between them are breaks.
        weekdays: 1 Monday … 7 Sunday.
        holidays: whether the state's holidays and exchanged working days count.
    """

    hours: tuple[tuple[int, int], ...] = ((540, 720), (780, 1020))
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    holidays: bool = True


def _kinds() -> Mapping[str, WorkingTime]:
    return MappingProxyType(
        {
            "funeral": WorkingTime(((0, _MIDNIGHT),), (1, 2, 3, 4, 5, 6, 7), holidays=False),
            "marriage": WorkingTime(weekdays=(1, 2, 3, 4, 5, 6)),
        }
    )


@dataclass(frozen=True, slots=True)
class Rectify:
    """Deadlines in working days (wd) of the window's own calendar, and what opens a case.

    Attributes:
        contact_wd: to the first contact with the citizen.
        classify_wd: to the class.
        a_wd: to the answer of a class A case, from its opening.
        b_wd: of a class B case.
        c_wd: to the explanation of a class C case.
        confirm_wd: the citizen's time to confirm or refuse; after it, silence may stand for consent.
        extension_max_wd: most that the one extension gives.
        pause_max_wd: most that the citizen is waited for, all pauses between two openings together.
        inquiry_wd: to the reply to a question of the level above.
        review_days: calendar days until a class C case is looked at again.
        reminders_percent: of a clock, at which somebody is told; 100 is always one.
        complaint_channels: a bad, verified review that came through these is a complaint, text or not.
        finding_opens: results of spot checks that open a case.
        incident_opens: kinds of incidents that do once they are verified: those that citizens wait for an
            answer to.
        working_time: of windows whose kind is not in `kinds`.
        kinds: those with a calendar of their own; not to be changed.
    """

    contact_wd: float = 1.0
    classify_wd: float = 1.0
    a_wd: float = 5.0
    b_wd: float = 15.0
    c_wd: float = 5.0
    confirm_wd: float = 5.0
    extension_max_wd: int = 15
    pause_max_wd: float = PAUSE_MAX_WD
    inquiry_wd: float = INQUIRY_WD
    review_days: int = 90
    reminders_percent: tuple[int, ...] = (50, 80, 100)
    complaint_channels: tuple[Channel, ...] = (Channel.COMPLAINT_DESK, Channel.HOTLINE)
    finding_opens: tuple[str, ...] = FINDING_OPENS
    incident_opens: tuple[str, ...] = INCIDENT_OPENS
    working_time: WorkingTime = field(default_factory=WorkingTime)
    kinds: Mapping[str, WorkingTime] = field(default_factory=_kinds)

    def working_time_of(self, kind: str | None) -> WorkingTime:
        """When windows of `kind` work; None is a bureau."""
        return self.kinds.get(kind or "", self.working_time)


def parse_rectify(table: "Table", known: Collection[str]) -> Rectify:
    """Read `[rectify]` of a pack whose window kinds are ``known``."""
    kinds: dict[str, WorkingTime] = {}
    if "kinds" in table.keys():  # noqa: SIM118 - a method of ours, not a dict
        inner = table.table("kinds")
        kinds = {kind: _working_time(inner.table(kind)) for kind in inner.keys()}  # noqa: SIM118 - the same
        inner.done()
        for kind in kinds:
            if known and kind not in known:
                inner.note(kind, kind, f"a kind of [kinds]: {', '.join(known)}", "remove or rename the table")
    found = Rectify(
        contact_wd=table.number("contact_wd", SHORTEST_WD, 30),
        classify_wd=table.number("classify_wd", SHORTEST_WD, 30),
        a_wd=table.number("a_wd", SHORTEST_WD, 250),
        b_wd=table.number("b_wd", SHORTEST_WD, 250),
        c_wd=table.number("c_wd", SHORTEST_WD, 250),
        confirm_wd=table.number("confirm_wd", SHORTEST_WD, 250),
        extension_max_wd=table.integer("extension_max_wd", 0, 250),
        pause_max_wd=_working_days(table, "pause_max_wd", PAUSE_MAX_WD),
        inquiry_wd=_working_days(table, "inquiry_wd", INQUIRY_WD),
        review_days=table.integer("review_days", 1, 400),
        reminders_percent=table.integers("reminders_percent", 1, 100),
        complaint_channels=_channels(table),
        finding_opens=_words(table, "finding_opens", FINDINGS, FINDING_OPENS),
        incident_opens=_words(table, "incident_opens", INCIDENTS, INCIDENT_OPENS),
        working_time=_working_time(table.table("working_time")),
        kinds=MappingProxyType(kinds),
    )
    table.done()
    return found


def _working_time(table: "Table") -> WorkingTime:
    found = WorkingTime(_hours(table), table.integers("weekdays", 1, 7), holidays=_flag(table, "holidays"))
    table.done()
    return found


def _working_days(table: "Table", key: str, default: float) -> float:
    """Working days; `default` if the pack does not say."""
    return table.number(key, 0.1, 250) if key in table.keys() else default  # noqa: SIM118 - a method of ours, not a dict


def _flag(table: "Table", key: str) -> bool:
    value = table.value(key, "true or false")
    if isinstance(value, bool):
        return value
    if value is not None:
        table.note(key, value, "true or false", "write it without quotes")
    return False


def _channels(table: "Table") -> tuple[Channel, ...]:
    value = table.value("complaint_channels", "a list of channels")
    names = {channel.value for channel in Channel}
    if isinstance(value, list) and all(each in names for each in value):
        return tuple(Channel(each) for each in value)
    if value is not None:
        table.note(
            "complaint_channels", value, "a list of channels", f"use some of {', '.join(sorted(names))}"
        )
    return ()


def _words(table: "Table", key: str, known: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """A list of some of `known`, which may be empty; `default` if the pack does not say."""
    if key not in table.keys():  # noqa: SIM118 - a method of ours, not a dict
        return default
    value = table.value(key, "a list of words")
    if isinstance(value, list) and all(each in known for each in value):
        return tuple(dict.fromkeys(value))
    table.note(key, value, f"a list of some of {', '.join(known)}", "correct the list")
    return default


def _hours(table: "Table") -> tuple[tuple[int, int], ...]:
    expected = 'a list of spans such as "09:00-12:00", ascending and apart, until 24:00 at the latest'
    value = table.value("hours", expected)
    matches = (
        [_SPAN.fullmatch(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []
    )
    spans = tuple(
        (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) for match in matches if match
    )
    flat = [moment for span in spans for moment in span]
    if (
        isinstance(value, list)
        and value
        and len(spans) == len(value)
        and flat[-1] <= _MIDNIGHT
        and all(earlier < later for earlier, later in pairwise(flat))
    ):
        return spans
    if value is not None:
        table.note("hours", value, expected, "correct the spans")
    return ((0, _MIDNIGHT),)
