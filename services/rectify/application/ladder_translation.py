"""Between events of ladders, which travel, and the domain's values: the only place that knows both."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from pydantic import TypeAdapter

from services.rectify.application.translation import SERVICE
from services.rectify.domain.case import Case
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.closed_lists import ClosedList, Row
from services.rectify.domain.findings import VERIFIED, Finding
from services.rectify.domain.ladder_book import Campaign, Candidate, Due, Kept, LadderBook
from services.rectify.domain.nominations import Nomination
from services.rectify.domain.sanctions import Change, Sanction
from services.rectify.domain.signed_checks import RegionFigures, SignedCheck
from services.rectify.domain.strikes import CaseNews, Strike
from shared.events import Envelope, PeriodClosed, Provenance, spec_for_type
from shared.events.cases import CaseChanged, CaseClockReached, CaseSpotChecked
from shared.events.registry import EventSpec
from shared.events.sanctions import (
    NominationChanged,
    QuarterChecked,
    SanctionChanged,
    StrikeCounted,
    StrikeWithdrawn,
    TalkCandidateNamed,
)
from shared.events.supervision import (
    CampaignOpened,
    FindingVerified,
    IncidentRecorded,
    InspectionRecorded,
)
from shared.kernel.ids import derived_id

SYSTEM: Final = "system"
_SANCTION: Final = TypeAdapter(Sanction)
_NOMINATION: Final = TypeAdapter(Nomination)
_STRIKE: Final = TypeAdapter(Strike)
_OF_A_UNIT: Final = ("unit_id", "city", "county")


def spec_of_fact(fact: str) -> EventSpec:
    """The spec of a fact about ladders, e.g. ``strike-counted``."""
    return spec_for_type(f"cn.pingyi.sanctions.{fact}.v1")


# --- events to values ------------------------------------------------------------------------------


def case_news(event: Envelope[CaseChanged], case: Case) -> CaseNews:
    """What an event of a case tells the ladders; `case` is the state after it."""
    data = event.data
    reached = data if isinstance(data, CaseClockReached) else None
    return CaseNews(
        fact=event.type.split(".")[3],
        case=case,
        event_id=event.id,
        time=event.time,
        correlation_id=event.correlationid,
        clock=None if reached is None else ClockName(reached.clock),
        percent=None if reached is None else reached.percent,
        due_at=None if reached is None else reached.due_at,
        passed=data.passed if isinstance(data, CaseSpotChecked) else None,
    )


def sanction_of(data: SanctionChanged) -> Sanction:
    """The state that an event carries."""
    state = data.sanction.model_dump()
    state |= {name: getattr(data, name) for name in (*_OF_A_UNIT, "sanction_id")}
    return _SANCTION.validate_python(state)


def nomination_of(data: NominationChanged) -> Nomination:
    """The state that an event carries."""
    state = data.nomination.model_dump()
    state |= {name: getattr(data, name) for name in (*_OF_A_UNIT, "nomination_id")}
    return _NOMINATION.validate_python(state)


def _strike_of(event: Envelope[Any], sequence: int, known: Strike | None) -> Strike | None:
    data = event.data
    if isinstance(data, StrikeCounted):
        return _STRIKE.validate_python(
            data.model_dump()
            | {
                "correlation_id": event.correlationid,
                "counted_id": event.id,
                "order": sequence,
                "sequence": sequence,
            }
        )
    if known is None:
        return None  # what was never counted can't fall away
    ended = {"ended": data.because, "rests_on": data.rests_on, "sequence": sequence}
    return _STRIKE.validate_python(_STRIKE.dump_python(known) | ended)


def apply_registry(book: LadderBook, event: Envelope[Any], sequence: int) -> frozenset[str]:
    """Fold one event of REGISTRY into the book; the units for which something may be due now."""
    data = event.data
    kept = Kept(sequence, event.id, event.correlationid)
    match data:
        case StrikeCounted() | StrikeWithdrawn():
            strike = _strike_of(event, sequence, book.strike(data.strike_id))
            if strike is not None:
                book.put_strike(strike)
        case SanctionChanged():
            book.put_sanction(sanction_of(data), kept)
        case NominationChanged():
            book.put_nomination(nomination_of(data), kept)
        case TalkCandidateNamed():
            book.put_candidate(data.candidate_id, data.unit_id)
        case InspectionRecorded() | IncidentRecorded():
            book.findings.recorded(_finding(event))
        case FindingVerified():
            unit = book.findings.verified(data.finding_id, data.revision, data.verification, event.id)
            return frozenset() if unit is None else frozenset({unit})
        case CampaignOpened():
            book.campaigns[data.campaign_id] = _campaign(data)
            return frozenset()
        case QuarterChecked():
            check = _check_of(event, sequence)
            book.checks[check.key] = check
            return frozenset()
        case _:
            return frozenset()
    return frozenset({data.unit_id})


def _check_of(event: Envelope[QuarterChecked], sequence: int) -> SignedCheck:
    data = event.data
    return SignedCheck(
        data.quarter,
        data.city,
        data.county,
        data.by,
        event.time,
        data.revision,
        tuple(RegionFigures(**each.model_dump()) for each in data.regions),
        event.id,
        sequence,
    )


def _finding(event: Envelope[Any]) -> Finding:
    data = event.data
    incident = isinstance(data, IncidentRecorded)
    return Finding(
        finding_id=event.id,
        unit_id=data.unit_id,
        incident=incident,
        what=data.kind if incident else data.finding,
        severity=data.severity if incident else None,
        occurred_at=event.time,
        verification=data.verification,
        verified_by=event.id if data.verification == VERIFIED else None,
        correlation_id=event.correlationid,
    )


def _campaign(data: CampaignOpened) -> Campaign:
    days = (data.mobilise_from, data.run_from, data.consolidate_from, data.ends)
    return Campaign(
        data.campaign_id,
        data.title,
        frozenset(each.county for each in data.targets),
        *(date.fromisoformat(day) for day in days),
    )


def apply_period(book: LadderBook, event: Envelope[PeriodClosed]) -> frozenset[str]:
    """Fold one part of a closed list into the book; the units that are named now."""
    data = event.data
    head = ClosedList(
        data.list, data.level, data.period, data.list_hash, data.first, data.last, data.closed_on, data.parts,
        event.correlationid,
    )  # fmt: skip
    rows = [
        Row(row.unit_id, row.rank, row.score, row.interval_high, row.n)
        for row in data.items
        if row.rank is not None
        and row.score is not None
        and row.interval_high is not None
        and row.n is not None
    ]
    return book.lists.take(head, data.part, rows, event.id)


# --- values to events ------------------------------------------------------------------------------


def due_event(due: Due[Any], now: datetime) -> Envelope[Any]:
    """What is due, as an event of the platform itself."""
    state = due.state
    match state:
        case Strike():
            key, fields = state.strike_id, _strike_fields(state, due)
            event_id = derived_id(due.fact, key, str(state.number))
        case Sanction():
            key, fields = state.sanction_id, _sanction_fields(state, SYSTEM)
            if due.because is not None:
                fields |= {"because": due.because}
            event_id = derived_id(f"sanction-{due.fact}", key, str(state.version))
        case Nomination():
            key, fields = state.nomination_id, _nomination_fields(state, SYSTEM)
            if due.because is not None:
                fields |= {"veto_id": due.because}
            event_id = derived_id(due.fact, key, str(state.version))
        case Candidate():
            key, fields = state.candidate_id, _candidate_fields(state)
            event_id = derived_id(due.fact, key)
        case _:  # pragma: no cover - there are no others
            raise TypeError(state)
    return _event(
        due.fact, fields, event_id, key, now, Provenance(due.correlation_id, due.causation_id), due.rules
    )


def sanction_event(
    change: Change,
    *,
    by: str,
    now: datetime,
    provenance: Provenance,
    rules: str,
    details: Mapping[str, object],
) -> Envelope[Any]:
    """What a person has decided about a sanction; `details` are the fact's own fields."""
    state = change.sanction
    asked = ",".join(f"{name}={details[name]}" for name in sorted(details))
    event_id = derived_id(f"sanction-{change.fact}", state.sanction_id, str(state.version), by, asked)
    fields = _sanction_fields(state, by) | dict(details)
    if change.fact == "veto-lifted":
        fields |= {"because": "appeal_granted"}
    return _event(change.fact, fields, event_id, state.sanction_id, now, provenance, rules)


def confirmation_event(
    state: Nomination, *, by: str, now: datetime, provenance: Provenance, rules: str
) -> Envelope[Any]:
    """A person's word for a nomination."""
    event_id = derived_id("nomination-confirmed", state.nomination_id, str(state.version), by)
    fields = _nomination_fields(state, by)
    return _event("nomination-confirmed", fields, event_id, state.nomination_id, now, provenance, rules)


def check_event(check: SignedCheck, provenance: Provenance, rules: str) -> Envelope[Any]:
    """A signed quarterly check."""
    event_id = derived_id("quarter-checked", *check.key, str(check.revision), check.by)
    same = ("quarter", "city", "county", "by", "revision")
    fields: dict[str, object] = {name: getattr(check, name) for name in same}
    fields |= {"regions": [asdict(each) for each in check.regions]}
    return _event("quarter-checked", fields, event_id, check.quarter, check.signed_at, provenance, rules)


def _event(
    fact: str,
    fields: Mapping[str, object],
    event_id: str,
    subject: str,
    now: datetime,
    provenance: Provenance,
    rules: str,
) -> Envelope[Any]:
    spec = spec_of_fact(fact)
    return spec.wrap(
        spec.data.model_validate(fields),
        event_id=event_id,
        source=SERVICE,
        subject=subject,
        time=now,
        received_at=now,
        provenance=provenance,
        rules=rules,
    )


def _strike_fields(state: Strike, due: Due[Any]) -> dict[str, object]:
    same = ("strike_id", "ladder", "case_id", "number", *_OF_A_UNIT)
    fields: dict[str, object] = {name: getattr(state, name) for name in same}
    if due.because is not None:
        return fields | {"because": due.because, "rests_on": due.rests_on}
    return fields | {
        "basis": state.basis.value, "occurred_at": state.occurred_at, "rests_on": state.rests_on,
    }  # fmt: skip


def _sanction_fields(state: Sanction, by: str) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(state, name) for name in (*_OF_A_UNIT, "sanction_id")}
    fields |= {"by": by, "sanction": _SANCTION.dump_python(state, mode="json")}
    if state.is_veto:
        fields |= {"veto": state.veto, "year": state.year}
    return fields


def _nomination_fields(state: Nomination, by: str) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(state, name) for name in (*_OF_A_UNIT, "nomination_id")}
    return fields | {"by": by, "nomination": _NOMINATION.dump_python(state, mode="json")}


def _candidate_fields(state: Candidate) -> dict[str, object]:
    place = state.place
    fields: dict[str, object] = {name: getattr(state, name) for name in (*_OF_A_UNIT, "candidate_id")}
    return fields | {
        "list": place.list,
        "period": place.period,
        "list_hash": place.list_hash,
        "closed_on": place.closed_on.isoformat(),
        "rank": place.row.rank,
        "ranked": place.ranked,
        "score": place.row.score,
        "interval_high": place.row.interval_high,
        "n": place.row.n,
        "proposable": place.proposable,
        "rests_on": place.rests_on,
    }
