"""Ladders without a broker: a registry in memory with the stream's locks, and what happens around it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.application import sanctioning as asked
from services.rectify.application.ladder_ports import Outcome, StoredNomination, StoredSanction
from services.rectify.application.ladder_translation import (
    apply_period,
    apply_registry,
    nomination_of,
    sanction_of,
)
from services.rectify.application.laddering import KeepLadders
from services.rectify.application.sanctioning import Sanctioning
from services.rectify.domain.case import Answer, Case, Origin, Party
from services.rectify.domain.case import Outcome as CaseOutcome
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.closed_lists import RulesOfADay
from services.rectify.domain.ladder_book import LadderBook, Whereabouts
from services.rectify.domain.ladders import Ladderer
from services.rectify.domain.sanctions import STANDING, Sanction
from services.rectify.domain.strikes import CaseNews, Ladder, Strike
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, EventData, PeriodClosed, parse_envelope, spec_for_type
from shared.events.sanctions import NominationChanged, SanctionChanged
from shared.events.supervision import FindingVerified, IncidentRecorded, InspectionRecorded
from shared.kernel.ids import derived_id
from shared.kernel.units import load_units
from shared.messaging.publisher import BrokerUnavailableError
from shared.rules import RulePack
from shared.rules.ladders import Ladders
from shared.testing.builders import CITY, COUNTY, UNIT, envelope_of
from shared.testing.clock import FixedClock
from shared.testing.registry_builders import example_of
from tests.unit.rectify.lives import MONDAY, TEXT, new_case
from tests.unit.rectify.one_case import NoHolidays

UNITS = load_units()
SIGNER, COLLEAGUE, HEAD = "county-supervisor-2", "county-supervisor-1", "window-head"


class Registry:
    """Plays `LadderStore`: the stream in small, with bytes in between."""

    def __init__(self, take: Callable[[Envelope[Any], int], None]) -> None:
        self.events: list[tuple[str, Envelope[Any]]] = []
        self.lose_answers = False
        self._take = take

    def last(self, subject: str) -> int:
        return max((place for place, (each, _) in enumerate(self.events, 1) if each == subject), default=0)

    def append(self, event: Envelope[Any], subject: str) -> int:
        parsed = parse_envelope(spec_for_type(event.type).envelope, event.to_json())
        self.events.append((subject, parsed))
        self._take(parsed, len(self.events))
        return len(self.events)

    async def store(self, events: Sequence[tuple[Envelope[Any], int]]) -> list[Outcome]:
        outcomes = [self._store(event, replaces) for event, replaces in events]
        if self.lose_answers:
            self.lose_answers = False
            raise BrokerUnavailableError("the answer was lost")
        return outcomes

    def _store(self, event: Envelope[Any], replaces: int) -> Outcome:
        ids = [each.id for _, each in self.events]
        if event.id in ids:
            return Outcome(ids.index(event.id) + 1, repeated=True)
        data = event.data
        subject = spec_for_type(event.type).subject_for(data.city, data.county, event.subject)
        if replaces != self.last(subject):
            return Outcome(0, repeated=False)
        return Outcome(self.append(event, subject), repeated=False)

    def _find(self, kind: type[Any], key: str) -> tuple[int, Envelope[Any]] | None:
        found = [
            (place, each)
            for place, (_, each) in enumerate(self.events, 1)
            if isinstance(each.data, kind) and each.subject == key
        ]
        return found[-1] if found else None

    async def sanction(self, sanction_id: str) -> StoredSanction | None:
        found = self._find(SanctionChanged, sanction_id)
        if found is None:
            return None
        place, event = found
        return StoredSanction(sanction_of(event.data), place, event.correlationid, event.id)

    async def nomination(self, nomination_id: str) -> StoredNomination | None:
        found = self._find(NominationChanged, nomination_id)
        if found is None:
            return None
        place, event = found
        return StoredNomination(nomination_of(event.data), place, event.correlationid, event.id)


class Packs:
    """Plays `RulePacks`: the committed pack with other ladders."""

    def __init__(self, ladders: Ladders) -> None:
        self._pack = replace(FileRulePacks(None).on(date(2026, 6, 1)), ladders=ladders)

    def on(self, day: date) -> RulePack:
        del day
        return self._pack


class World:
    """Everything around ladders, with time under the test's control."""

    def __init__(self, ladders: Ladders | None = None) -> None:
        self.packs = Packs(ladders or Ladders())
        self.clock = FixedClock(MONDAY)
        self.cases: dict[str, Case] = {}
        self.news: list[CaseNews] = []
        self.start()

    def start(self, events: Sequence[tuple[str, Envelope[Any]]] = ()) -> None:
        """A fresh replica, which folds what there is."""

        def rules_on(day: date) -> RulesOfADay:
            pack = self.packs.on(day)
            return RulesOfADay(pack.ladders, pack.lists, "sha256:00")

        self.book = LadderBook(rules_on)
        self.store = Registry(self._fold)
        self.metrics = RectifyMetrics()
        self.ladderer = Ladderer(self.book, where, rules_on)
        self.keep = KeepLadders(self.ladderer, self, self.store, self.clock, self.metrics)
        self.people = Sanctioning(self.store, self.packs, NoHolidays(), self.clock, self.metrics)
        for subject, event in events:
            self.store.append(event, subject)
        for each in self.news:
            self.keep.changed(self.book.grounds.take(each))

    def restart(self) -> None:
        """The replica dies, and another begins with what the streams have."""
        self.start(self.store.events)

    def _fold(self, event: Envelope[Any], sequence: int) -> None:
        self.keep.changed(apply_registry(self.book, event, sequence))

    # --- as LadderBooks ---

    def require_caught_up(self) -> LadderBook:
        return self.book

    async def reach(self, sequence: int) -> None:
        assert sequence <= len(self.store.events)

    # --- what happens ---

    def settle(self, unit_id: str = UNIT) -> None:
        """Publish until nothing is due."""
        for _ in range(20):
            if not asyncio.run(self.keep.settle([unit_id])):
                return
        raise AssertionError("it never comes to rest")

    def tell(self, case_id: str, fact: str, **more: Any) -> None:  # noqa: ANN401 - fields of the news
        """One event of a case."""
        origin = more.pop("origin", Origin.RATING)
        case = self.cases.get(case_id) or new_case(case_id=case_id, origin=origin, ref=f"rating-{case_id}")
        case = replace(case, **more.pop("case", {}))
        self.cases[case_id] = case
        number = len(self.news)
        news = CaseNews(
            fact, case, derived_id("news", str(number)), self.clock.now(), f"story-{case_id}", **more
        )
        self.news.append(news)
        self.keep.changed(self.book.grounds.take(news))

    def overdue(self, case_id: str, unit_id: str = UNIT) -> None:
        """The deadline for a case's answer passes."""
        self.tell(
            case_id, "clock-reached", clock=ClockName.SOLVE, percent=100, due_at=self.clock.now(),
            case={"responsible": Party(unit_id, "窗口负责人")},
        )  # fmt: skip

    def complaint_closed(self, case_id: str, outcome: CaseOutcome = CaseOutcome.RESOLVED) -> None:
        """A complaint's case is filed."""
        answer = Answer(outcome, TEXT, self.clock.now(), on_time=True)
        self.tell(case_id, "closed", origin=Origin.COMPLAINT, case={"answer": answer})

    def incident(self, kind: str, severity: str = "major", **fields: object) -> str:
        """An incident at the unit is recorded; its id."""
        given = {"unit_id": UNIT, "city": CITY, "county": COUNTY, "kind": kind, "severity": severity}
        example = example_of(IncidentRecorded).model_dump()
        return self.supervise(IncidentRecorded.model_validate(example | given | fields))

    def criticised(self) -> str:
        """The unit is criticised in a spot check; its id."""
        data = example_of(InspectionRecorded, unit_id=UNIT, city=CITY, county=COUNTY, finding="criticised")
        return self.supervise(data)

    def verify(self, finding_id: str, revision: int, verification: str) -> None:
        """Somebody looks into a finding."""
        data = example_of(
            FindingVerified, finding_id=finding_id, unit_id=UNIT, city=CITY, county=COUNTY,
            revision=revision, verification=verification,
        )  # fmt: skip
        self.supervise(data)

    def supervise(self, data: EventData) -> str:
        """A fact of supervision is recorded; its id."""
        event = envelope_of(data, time=self.clock.now())
        self.store.append(event, f"supervision.v1.x.{CITY}.{COUNTY}")
        return event.id

    def close_list(self, data: PeriodClosed) -> frozenset[str]:
        """A period's list is closed."""
        event = envelope_of(data, time=self.clock.now())
        return apply_period(self.book, event)

    def later(self, **time: float) -> None:
        """Time passes."""
        self.clock.advance(**time)

    def ask(self, sanction: Sanction, move: str, by: str, **fields: Any) -> Sanction:  # noqa: ANN401 - of the move
        """A person's move."""
        moves: dict[str, Callable[[], asked.Asked]] = {
            "sign": lambda: asked.signing(by),
            "reject": lambda: asked.rejecting(by, "facts_wrong", ()),
            "appeal": lambda: asked.appealing(by, "procedure", ()),
            "grant": lambda: asked.deciding(by, (), granted=True),
            "refuse": lambda: asked.deciding(by, (), granted=False),
        }
        stored = asyncio.run(self.people.ask(sanction.sanction_id, moves[move](), by=by, **fields))
        return stored.sanction

    # --- what is there ---

    def standing(self, unit_id: str = UNIT) -> list[Sanction]:
        """Sanctions that are proposed or in force, the first proposed first."""
        return [each for each, _ in self.book.sanctions(unit_id) if each.status in STANDING]

    def steps(self, unit_id: str = UNIT) -> list[tuple[str, int]]:
        """Ground and step of each of them."""
        return [(each.ground.value, each.step) for each in self.standing(unit_id)]

    def strikes(self, ladder: Ladder = Ladder.U) -> list[Strike]:
        """Strikes that stand."""
        return [each for each in self.book.strikes(UNIT, ladder) if each.ended is None]

    def facts(self) -> list[str]:
        """What was published, in order."""
        return [event.type.split(".")[3] for _, event in self.store.events]


def where(unit_id: str) -> Whereabouts | None:
    """As the composition finds units."""
    if unit_id not in UNITS:
        return None
    unit = UNITS.get(unit_id)
    return Whereabouts(unit.level, unit.city, unit.county)
