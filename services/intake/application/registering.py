"""Loading the registry: tables judged as a whole, what differs made durable, in force all at once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.intake.application.envelopes import SERVICE
from services.intake.application.errors import NotPendingError, RejectedError
from services.intake.application.ports import RegistryLog
from services.intake.application.prepared import RandomBytes, RequestFacts
from services.intake.domain.acceptance import Issue
from services.intake.domain.measures import Size
from services.intake.domain.submission import unix_ms
from shared.events import Envelope, EventData, spec_for_data
from shared.events.units import (
    DivisionChanged,
    RegistryLoaded,
    ResponsibilityAssigned,
    UnitChanged,
    UnitMerged,
    UnitRegistered,
    UnitState,
)
from shared.kernel.grades import Level
from shared.kernel.ids import RANDOM_BYTES, UnitId, derived_id, uuid7
from shared.kernel.regions import Division
from shared.kernel.registry_book import Merge, Office, RegistryBook, units_hash
from shared.kernel.registry_tables import divisions_of, merges_of, offices_of
from shared.kernel.unit_tables import Difference, Row, UnitsMissingError, differences, read_rows, units_of
from shared.kernel.units import ALL, OPTIONAL_COLUMNS, Unit
from shared.messaging.registry import change_of

AT_ONCE: Final = 50
SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Tables:
    """CSV texts of a load; an empty one changes nothing of its kind."""

    divisions: str = ""
    units: str = ""
    merges: str = ""
    responsibilities: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load would do."""

    divisions: tuple[Division, ...]
    units: tuple[Difference, ...]
    merges: tuple[Merge, ...]
    offices: tuple[Office, ...]

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self.divisions) + len(self.units) + len(self.merges) + len(self.offices)


class Registering:
    """Judges tables, and makes what differs durable."""

    def __init__(
        self,
        *,
        book: RegistryBook,
        log: RegistryLog,
        kinds: Callable[[], Iterable[str]],
        random: RandomBytes,
    ) -> None:
        """Use these; `kinds` are the window kinds of the rule pack in force."""
        self._book = book
        self._log = log
        self._kinds = kinds
        self._random = random

    @property
    def book(self) -> RegistryBook:
        """The registry in force.

        Raises:
            TransientError: it can't be told yet.
        """
        self._log.require_ready()
        return self._book

    def plan(self, tables: Tables) -> Plan:
        """What `tables` would change.

        Raises:
            RejectedError: faults, each with table, line and column; nothing is loaded then.
        """
        book, faults = self.book, []
        rows, divisions, wrong = divisions_of(tables.divisions, book.divisions)
        faults += [("divisions", fault) for fault in wrong]
        units: tuple[Difference, ...] = ()
        after = {unit.unit_id: unit for unit in book.units}
        if tables.units:
            lines, wrong = read_rows(tables.units, optional=OPTIONAL_COLUMNS)
            lines = [_merged(row, book.merges) for row in lines]
            found, more = units_of(lines, self._kinds(), divisions)
            faults += [("units", fault) for fault in (*wrong, *more)]
            if not faults:
                try:
                    units = differences(book.units, found)
                except UnitsMissingError as error:
                    issue = Issue("units", error.value, error.expected, error.remedy)
                    raise RejectedError((issue,)) from error
            after |= {unit.unit_id: unit for unit in found}
        merges, wrong = merges_of(tables.merges, after)
        faults += [("merges", fault) for fault in wrong]
        offices, wrong = offices_of(tables.responsibilities, after)
        faults += [("responsibilities", fault) for fault in wrong]
        if faults:
            raise RejectedError(
                tuple(
                    Issue(f"{table}:{f.line}:{f.column}", f.value, f.expected, f.remedy)
                    for table, f in faults[:SHOWN]
                )
            )
        known = set(book.merges.values())
        standing = book.offices
        return Plan(
            tuple(row for row in rows if not book.has(row)),
            units,
            tuple(each for each in merges if each not in known),
            tuple(each for each in offices if each not in standing),
        )

    async def load(self, tables: Tables, decided_by: str, facts: RequestFacts) -> int:
        """Put `tables` in force; the registry's number from then on. What is in force already is no change.

        Raises:
            RejectedError: see `plan`.
            NotPendingError: another load was first.
            TransientError: not known to be in force; send it again.
        """
        plan = self.plan(tables)
        if not len(plan):
            return self._book.number
        number = self._book.number + 1
        load_id = uuid7(unix_ms(facts.received_at), self._random(RANDOM_BYTES))
        parts = [*_events(plan, {unit.unit_id: unit for unit in self._book.units}, load_id)]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(place: int, data: EventData) -> None:
            async with gate:
                await self._publish(data, derived_id("registry-part", load_id, str(place)), facts)

        await asyncio.gather(*(one(place, data) for place, data in enumerate(parts)))
        after = RegistryBook(self._book.units)
        for data in parts:
            after.part(load_id, change_of(data))
        after.loaded(load_id, 1, len(parts))
        loaded = RegistryLoaded(
            load_id=load_id,
            number=number,
            changes=len(parts),
            units_hash=units_hash(after.units),
            decided_by=decided_by,
        )
        await self._publish(loaded, derived_id("registry-loaded", load_id), facts)
        if self._book.load_id != load_id:
            raise NotPendingError(
                Size(f"a load on top of number {number - 1}"),
                f"one on top of number {self._book.number}",
                "compare with `pingyi registry diff`, and load again",
                field="number",
            )
        return number

    async def _publish(self, data: EventData, event_id: str, facts: RequestFacts) -> None:
        city, county = getattr(data, "city", "all"), getattr(data, "county", "all")
        unit = getattr(data, "unit", None)
        envelope: Envelope[Any] = spec_for_data(type(data)).wrap(
            data,
            event_id=event_id,
            source=SERVICE,
            subject=str(getattr(data, "unit_id", getattr(unit, "unit_id", getattr(data, "load_id", "")))),
            time=facts.received_at,
            received_at=facts.received_at,
            provenance=facts.provenance,
            rules=facts.rules_hash,
        )
        await self._log.publish(envelope, city=city, county=county)


def _merged(row: Row, merges: Mapping[str, Merge]) -> Row:
    """A merge has ended its unit: a table that leaves day and successor open says nothing else."""
    merge, cells = merges.get(row.cells["unit_id"]), row.cells
    if merge is None or cells["valid_to"] not in {"", merge.on.isoformat()} or cells["successor"]:
        return row
    return Row(row.line, {**cells, "valid_to": merge.on.isoformat(), "successor": merge.into})


def _state(unit: Unit) -> UnitState:
    return UnitState(
        unit_id=unit.unit_id,
        name=unit.name,
        level=unit.level,
        kind=unit.kind,
        division=unit.division,
        city=unit.city,
        county=unit.county,
        parent_id=unit.parent_id,
        valid_from=unit.valid_from.isoformat(),
        valid_to=None if unit.valid_to is None else unit.valid_to.isoformat(),
        successor=unit.successor,
    )


def _events(plan: Plan, units: dict[UnitId, Unit], load_id: str) -> Iterable[EventData]:
    for row in plan.divisions:
        city = ALL if row.level is Level.PROVINCE else row.code[:4]
        yield DivisionChanged(
            load_id=load_id, code=row.code, name=row.name, level=row.level, parent=row.parent,
            valid_from=row.valid_from.isoformat(),
            valid_to=None if row.valid_to is None else row.valid_to.isoformat(),
            city=city, county=row.code if row.level is Level.COUNTY else ALL,
        )  # fmt: skip
    places = dict(units)
    for each in plan.units:
        unit = each.unit
        places[unit.unit_id] = unit
        common: dict[str, Any] = {"load_id": load_id, "city": unit.city, "county": unit.county}
        if each.before is None:
            yield UnitRegistered(unit=_state(unit), **common)
        else:
            yield UnitChanged(unit=_state(unit), before=_state(each.before), changed=each.changed, **common)
    for merge in plan.merges:
        unit = places[UnitId(merge.unit_id)]
        yield UnitMerged(
            load_id=load_id, unit_id=merge.unit_id, into=merge.into, on=merge.on.isoformat(),
            city=unit.city, county=unit.county,
        )  # fmt: skip
    for office in plan.offices:
        unit = places[UnitId(office.unit_id)]
        yield ResponsibilityAssigned.model_validate(
            {
                "load_id": load_id, "unit_id": office.unit_id, "role": office.role, "person": office.person,
                "valid_from": office.valid_from.isoformat(), "city": unit.city, "county": unit.county,
            }
        )  # fmt: skip
