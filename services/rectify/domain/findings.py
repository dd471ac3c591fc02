"""Findings of supervision, as far as they veto awards 一票否决: incidents and spot checks, once verified."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.rules.ladders import Ladders

VERIFIED: Final = "verified"
CRITICISED: Final = "criticised"


@dataclass(frozen=True, slots=True)
class Finding:
    """An incident or a spot check.

    Attributes:
        incident: False: a spot check.
        what: kind of the incident, or the finding of the spot check.
        severity: of an incident.
        verification: reported, verified or refuted.
        verified_by: event since which it is verified; its own id if it came so; None: it is not.
        revision: of its verification; the highest is in force.
        correlation_id: of the event that recorded it.
    """

    finding_id: str
    unit_id: str
    incident: bool
    what: str
    severity: str | None
    occurred_at: datetime
    verification: str
    verified_by: str | None
    correlation_id: str
    revision: int = 0

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Ids of the events that a veto for it rests on."""
        return tuple(dict.fromkeys((self.finding_id, *((self.verified_by,) if self.verified_by else ()))))

    def veto(self, rules: Ladders) -> str | None:
        """Which veto it leads to; None: none, or not while it is not verified."""
        if self.verification != VERIFIED:
            return None
        if self.incident:
            return self.what if rules.vetoes_for(self.what, self.severity) else None
        return CRITICISED if self.what == CRITICISED else None


class FindingBook:
    """All findings: a fold over supervision's events."""

    def __init__(self) -> None:
        """Start without any."""
        self._findings: dict[str, Finding] = {}
        self._by_unit: dict[str, list[str]] = {}

    def get(self, finding_id: str) -> Finding | None:
        """One finding; None: unknown."""
        return self._findings.get(finding_id)

    def of_unit(self, unit_id: str) -> Iterator[Finding]:
        """Those about a unit, in the order in which they were recorded."""
        return (self._findings[each] for each in self._by_unit.get(unit_id, ()))

    def recorded(self, finding: Finding) -> None:
        """Take a finding in; a repeat changes nothing."""
        if finding.finding_id not in self._findings:
            self._findings[finding.finding_id] = finding
            self._by_unit.setdefault(finding.unit_id, []).append(finding.finding_id)

    def verified(self, finding_id: str, revision: int, verification: str, event_id: str) -> str | None:
        """Take the word of whoever looked into it; the unit that it is about, None if nothing changes."""
        known = self._findings.get(finding_id)
        if known is None or revision <= known.revision:
            return None
        since = None
        if verification == VERIFIED:
            # Whoever says the same once more changes nothing of what rests on it.
            since = known.verified_by if known.verification == VERIFIED else event_id
        self._findings[finding_id] = replace(
            known, revision=revision, verification=verification, verified_by=since
        )
        return known.unit_id
