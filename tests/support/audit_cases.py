"""What must follow from the events of cases, strikes and sanctions: reminders, timers, strikes, alerts.

A second opinion, from the JSON in the streams alone: none of the services' own rules is used here. Every
reminder of a case is announced once, not before its moment and never without one; what is ahead stands in
TIMERS; who misses a deadline gets a strike, a strike a proposal; each fact that people must hear of an alert.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shared.kernel.ids import derived_id

Reminder = tuple[str, str, int, int]
"""Case, clock, round, per cent."""
Event = Mapping[str, Any]

PERCENTS: Final = (50, 80, 100)
DECIDED_ABOVE: Final = frozenset({"review", "confirm"})
WITH_A_CITIZEN: Final = frozenset({"rating", "complaint"})
EARLY: Final = timedelta(seconds=1)
"""Broker and services have one clock in tests; what is announced before its moment by more was invented."""

BY_FACT: Final[Mapping[str, str]] = {
    "assigned": "case_assigned",
    "transfer-proposed": "case_assigned",
    "transfer-refused": "case_assigned",
    "inquired": "case_assigned",
    "strike-counted": "strike",
    "strike-withdrawn": "strike",
    "proposed": "sanction_to_decide",
    "appealed": "sanction_to_decide",
    "signed": "sanction_step",
    "appeal-decided": "sanction_step",
    "withdrawn": "sanction_step",
    "veto-imposed": "sanction_step",
    "veto-lifted": "sanction_step",
}
"""The alert of facts that always lead to one."""
RULES: Final = frozenset(BY_FACT.values()) | {
    "case_opened", "case_clock", "case_overdue", "case_reopened", "case_refused_again",
}  # fmt: skip
"""Rules whose alerts follow from these events alone."""


def fact_of(event: Event) -> str:
    """What happened: ``cn.pingyi.cases.clock-reached.v1`` → ``clock-reached``."""
    return str(event["type"]).split(".")[3]


def moment(text: str) -> datetime:
    """An instant of an event."""
    return datetime.fromisoformat(text)


def rules_on(event: Event) -> Iterator[str]:
    """The rules that raise an alert about this one fact."""
    data, fact = event["data"], fact_of(event)
    if event.get("synthetic"):
        return
    if fact in BY_FACT:
        yield BY_FACT[fact]
    elif fact == "opened" and data["case"]["origin"] not in WITH_A_CITIZEN:
        yield "case_opened"
    elif fact == "clock-reached":
        if data["clock"] not in DECIDED_ABOVE and data["percent"] in PERCENTS and not _overtaken(event):
            yield "case_clock"
        if data["percent"] == 100:
            yield "case_overdue"
    elif fact == "answer-refused" or (fact == "spot-checked" and not data["passed"]):
        yield "case_reopened"
        if data["case"]["reopened"] >= 2:
            yield "case_refused_again"


def _overtaken(event: Event) -> bool:
    """A later reminder of the same clock was due as well by then."""
    data, known = event["data"], moment(event["receivedat"])
    return any(
        mark["percent"] > data["percent"] and moment(mark["at"]) <= known
        for clock in data["case"]["clocks"] if clock["name"] == data["clock"]
        for mark in clock["marks"]
    )  # fmt: skip


def ahead(case: Mapping[str, Any]) -> dict[tuple[str, int, int], datetime]:
    """Clock, round and per cent of the reminders that a case still waits for, with their moments."""
    if case["status"] == "annulled":
        return {}
    return {
        (clock["name"], clock["round"], mark["percent"]): moment(mark["at"])
        for clock in case["clocks"]
        for mark in clock["marks"]
        if mark["percent"] not in clock["reached"]
    }


@dataclass(slots=True)
class CaseBooks:
    """A fold of CASES and REGISTRY, each in its order.

    Attributes:
        cases: newest state by case.
        announced: how often each reminder was announced.
        alerts: cause by id of each alert that is due so far.
        invented: announcements that no reminder of the case stood for, or before its moment.
        neglected: cases whose deadline for the answer was missed.
        strikes: ids of the events that counted a strike of ladder U, by case.
        proposed: ids of events that proposals rest on.
    """

    cases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    announced: Counter[Reminder] = field(default_factory=Counter)
    alerts: dict[str, str] = field(default_factory=dict)
    invented: list[str] = field(default_factory=list)
    neglected: set[str] = field(default_factory=set)
    strikes: dict[str, str] = field(default_factory=dict)
    proposed: set[str] = field(default_factory=set)

    def take(self, events: Iterable[Event]) -> None:
        """Fold some events of one stream."""
        for event in events:
            if event["type"].split(".")[2] not in {"cases", "sanctions"}:
                continue
            for rule in rules_on(event):
                self.alerts[derived_id("alert", rule, event["id"])] = event["id"]
            if event["type"].startswith("cn.pingyi.cases."):
                self._case(event)
            elif fact_of(event) == "strike-counted" and event["data"]["ladder"] == "U":
                self.strikes[event["data"]["case_id"]] = event["id"]
            elif fact_of(event) == "proposed":
                self.proposed |= set(event["data"]["sanction"]["rests_on"])

    def _case(self, event: Event) -> None:
        data, case = event["data"], event["data"]["case"]
        before = self.cases.get(data["case_id"])
        if fact_of(event) == "clock-reached":
            self._announced(event, before)
            if (data["clock"], data["percent"]) == ("solve", 100):
                self.neglected.add(data["case_id"])
        elif fact_of(event) == "answered" and not case["answer"]["on_time"]:
            self.neglected.add(data["case_id"])
        self.cases[data["case_id"]] = case

    def _announced(self, event: Event, before: Mapping[str, Any] | None) -> None:
        data = event["data"]
        rounds = {clock["name"]: clock["round"] for clock in data["case"]["clocks"]}
        which = (data["clock"], rounds[data["clock"]], data["percent"])
        self.announced[data["case_id"], *which] += 1
        due = moment(data["due_at"])
        if before is None or ahead(before).get(which) != due or moment(event["receivedat"]) < due - EARLY:
            self.invented.append(event["id"])

    def standing(self) -> dict[str, datetime]:
        """The timers that must stand, by the end of their subject."""
        return {
            f"{case_id}.{clock}-{percent}": at
            for case_id, case in self.cases.items()
            for (clock, _, percent), at in ahead(case).items()
        }

    def slept_through(self, now: datetime) -> list[str]:
        """Reminders whose moment is past, and that nobody announced."""
        return [key for key, at in self.standing().items() if at <= now]

    def without_strike(self) -> set[str]:
        """Cases whose missed deadline counts against nobody; of annulled ones it need not."""
        found = self.neglected - self.strikes.keys()
        return {case_id for case_id in found if self.cases[case_id]["status"] != "annulled"}

    def without_proposal(self) -> set[str]:
        """Cases whose strike no proposal rests on."""
        return {case_id for case_id, event_id in self.strikes.items() if event_id not in self.proposed}

    def assert_sound(self) -> None:
        """Nothing was announced twice, early or without a reason; no strike is without a missed deadline."""
        assert not [each for each, times in self.announced.items() if times > 1], "announced twice"
        assert not self.invented[:5], "announced, but no clock of the case said so"
        failed = {case_id for case_id, case in self.cases.items() if case["failed_checks"]}
        assert self.strikes.keys() <= self.neglected | failed, "a strike that nothing led to"
