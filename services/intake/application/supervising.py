"""Campaigns, visits, spot checks and incidents: judged, made durable, answered from the books."""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.intake.application.envelopes import SERVICE
from services.intake.application.errors import KeyReusedError, RejectedError, SamePersonError
from services.intake.application.ports import RegistryLog
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.domain.acceptance import Issue
from services.intake.domain.approvals import Actor
from services.intake.domain.measures import Size
from services.intake.domain.panels import PanelBook, Seat
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.supervision import (
    Campaign,
    CampaignBook,
    Finding,
    FindingBook,
    Phase,
    Trust,
)
from shared.events import Envelope, EventData, spec_for_data
from shared.events.supervision import (
    CampaignOpened,
    CampaignTarget,
    FindingVerified,
    IncidentRecorded,
    InspectionRecorded,
    VisitRecorded,
)
from shared.events.units import AssessorEnrolled
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.ids import derived_id
from shared.kernel.regions import DivisionRegistry
from shared.kernel.units import ALL, Unit, UnitRegistry

AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit as a team reports it.

    Attributes:
        whom: the team's own reference of the household or enterprise; only its pseudonym is kept.
    """

    county: str
    team: str
    kind: str
    whom: str
    visited_at: datetime
    feedback_id: str | None = None


class Supervision:
    """Takes supervision's facts down as events."""

    def __init__(  # noqa: PLR0913 - one role each, all of them needed
        self,
        *,
        campaigns: CampaignBook,
        findings: FindingBook,
        panels: PanelBook,
        log: RegistryLog,
        pseudonyms: Pseudonyms,
        units: UnitRegistry,
        divisions: Callable[[], DivisionRegistry],
        rating: Callable[[str], object],
    ) -> None:
        """Use these; `log` keeps the books up to date, `rating` finds one as `Reviser.history` does."""
        self._campaigns = campaigns
        self._findings = findings
        self._panels = panels
        self._log = log
        self._pseudonyms = pseudonyms
        self._units = units
        self._divisions = divisions
        self._rating = rating

    @property
    def campaigns(self) -> CampaignBook:
        """Every campaign.

        Raises:
            TransientError: the books can't say yet.
        """
        self._log.require_ready()
        return self._campaigns

    @property
    def findings(self) -> FindingBook:
        """Every finding; raises like `campaigns`."""
        self._log.require_ready()
        return self._findings

    @property
    def panels(self) -> PanelBook:
        """Every seat; raises like `campaigns`."""
        self._log.require_ready()
        return self._panels

    def campaign(self, campaign_id: str) -> Campaign:
        """One campaign.

        Raises:
            NotFoundError: there is none with that id.
            TransientError: the books can't say yet.
        """
        found = self.campaigns.get(campaign_id)
        if found is None:
            raise self.missing(campaign_id)
        return found

    @staticmethod
    def missing(campaign_id: str) -> NotFoundError:
        """The error of a campaign that does not exist, or not for whoever asks."""
        return NotFoundError(
            campaign_id, "the id of a campaign", "look at GET /v1/campaigns", field="campaign_id"
        )

    def finding(self, finding_id: str) -> Finding:
        """One finding; raises like `campaign`."""
        found = self.findings.get(finding_id)
        if found is None:
            raise NotFoundError(
                finding_id, "the id of a finding", "look at GET /v1/findings", field="finding_id"
            )
        return found

    async def open_campaign(self, campaign: Campaign, facts: RequestFacts) -> Campaign:
        """Open a campaign; the same one again changes nothing.

        Raises:
            RejectedError: a county is none, or the phases are out of order.
            KeyReusedError: the id belongs to another campaign.
            TransientError: not known to be open; send it again.
        """
        issues = [each for each in (campaign.phases.issue,) if each is not None]
        counties = [each.county for each in campaign.targets]
        for place, county in enumerate(counties):
            field = f"targets[{place}].county"
            if counties.index(county) != place:
                issues.append(Issue(field, county, "each county once", "add the two targets up"))
                continue
            issue = self._place_issue(county, Level.COUNTY, field, "name each county by itself")
            issues += () if issue is None else (issue,)
        if issues:
            raise RejectedError(tuple(issues))
        earlier = self.campaigns.get(campaign.campaign_id)
        if earlier is None:
            phases = campaign.phases
            data = CampaignOpened(
                campaign_id=campaign.campaign_id,
                title=campaign.title,
                teams=campaign.teams,
                cadres=campaign.cadres,
                targets=tuple(
                    CampaignTarget(county=each.county, city=each.city, households=each.households)
                    for each in campaign.targets
                ),
                mobilise_from=phases.mobilise_from.isoformat(),
                run_from=phases.run_from.isoformat(),
                consolidate_from=phases.consolidate_from.isoformat(),
                ends=phases.ends.isoformat(),
                decided_by=campaign.decided_by,
            )
            await self._publish(data, derived_id("campaign", campaign.campaign_id), facts)
            earlier = self.campaign(campaign.campaign_id)
        if earlier != campaign:
            raise KeyReusedError(derived_id("campaign", campaign.campaign_id), "campaign_id")
        return earlier

    def _place_issue(self, code: str, level: Level, field: str, remedy: str) -> Issue | None:
        """What keeps `code` from standing for a division of a level with units: they tell who is there.

        Of a division that was recoded it is the code that its units are registered under, whatever the day.
        """
        try:
            known = self._divisions().latest(code)
        except NotFoundError as error:
            return Issue(field, error.value, error.expected, error.remedy)
        if known.level is not level:
            return Issue(field, code, f"the code of a {level}", remedy)
        city = ALL if level is Level.PROVINCE else code[:4]
        bureau = self._units.bureau(city, code if level is Level.COUNTY else ALL)
        if bureau is None or bureau.division != code:
            expected = f"the code that the units of {known.name} are registered under"
            return Issue(field, code, expected, "look at GET /v1/units, or load them first")
        return None

    async def record_visits(
        self, campaign_id: str, visits: Sequence[Visit], actor: Actor, facts: RequestFacts
    ) -> list[str]:
        """Record visits; their event ids, in order. The same visit of the same team on one day is one.

        Raises:
            NotFoundError: there is no such campaign.
            RejectedError: some can't be recorded; then none is.
            TransientError: not known to be recorded, or whether there is a rating; send them again.
        """
        campaign = self.campaign(campaign_id)
        issues = [
            issue
            for place, visit in enumerate(visits)
            if (issue := self._issue_of(visit, campaign, facts.received_at, f"visits[{place}]"))
        ]
        if issues:
            raise RejectedError(tuple(issues[:20]))
        cities = {each.county: each.city for each in campaign.targets}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(visit: Visit) -> str:
            whom = self._pseudonyms.request(f"visit:{campaign_id}:{visit.kind}", _one_spelling(visit.whom))
            data = VisitRecorded.model_validate(
                {
                    "campaign_id": campaign_id,
                    "team": visit.team,
                    "target": visit.kind,
                    "household_hmac": whom,
                    "feedback_id": visit.feedback_id,
                    "recorded_by": actor.credential,
                    "city": cities[visit.county],
                    "county": visit.county,
                }
            )
            day = business_day(visit.visited_at).isoformat()
            event_id = derived_id("visit", campaign_id, visit.team, whom, day)
            async with gate:
                await self._publish(data, event_id, facts, visit.visited_at)
            return event_id

        return list(await asyncio.gather(*map(one, visits)))

    def _issue_of(self, visit: Visit, campaign: Campaign, now: datetime, field: str) -> Issue | None:
        found = _visit_issue(visit, campaign, now, field)
        if found is not None or visit.feedback_id is None:
            return found
        try:
            self._rating(visit.feedback_id)
        except NotFoundError as error:
            return Issue(f"{field}.feedback_id", visit.feedback_id, error.expected, error.remedy)
        return None

    async def record_inspection(
        self, unit_id: str, fields: dict[str, Any], occurred_at: datetime, actor: Actor, facts: RequestFacts
    ) -> Finding:
        """Record a spot check of a unit.

        Raises:
            InvalidValueError: no such unit then, or a time to come.
            KeyReusedError: the request's key came before, with other content.
            TransientError: not known to be recorded; send it again.
        """
        return await self._record(InspectionRecorded, unit_id, fields, occurred_at, actor, facts)

    async def record_incident(
        self, unit_id: str, fields: dict[str, Any], occurred_at: datetime, actor: Actor, facts: RequestFacts
    ) -> Finding:
        """Record an incident at a unit; raises like `record_inspection`."""
        return await self._record(IncidentRecorded, unit_id, fields, occurred_at, actor, facts)

    async def _record(
        self,
        kind: type[InspectionRecorded | IncidentRecorded],
        unit_id: str,
        fields: dict[str, Any],
        occurred_at: datetime,
        actor: Actor,
        facts: RequestFacts,
    ) -> Finding:
        unit = self._unit_then(unit_id, occurred_at, facts)
        data = kind.model_validate(
            {
                **fields,
                "unit_id": unit.unit_id,
                "recorded_by": actor.credential,
                "city": unit.city,
                "county": unit.county,
            }
        )
        content = derived_id(kind.__name__, data.model_dump_json(), rfc3339(occurred_at))
        key = facts.idempotency_key
        event_id = content if key is None else derived_id(kind.__name__, actor.credential, key)
        await self._publish(data, event_id, facts, occurred_at)
        finding = self.finding(event_id)
        if key is not None and (finding.unit_id, finding.occurred_at) != (unit.unit_id, occurred_at):
            raise KeyReusedError(event_id, KEY_HEADER)
        return finding

    def _unit_then(self, unit_id: str, occurred_at: datetime, facts: RequestFacts) -> Unit:
        unit, day = self._units.get(unit_id), business_day(occurred_at)
        if not unit.exists(day):
            heir = self._units.heir(unit, day)
            such_as = "" if heir is None else f", such as its successor {heir.unit_id} ({heir.name})"
            raise InvalidValueError(
                unit_id, f"a unit that exists on {day}{such_as}", "correct unit or time", field="unit_id"
            )
        if occurred_at > facts.received_at:
            raise InvalidValueError(
                rfc3339(occurred_at),
                f"a time up to now ({rfc3339(facts.received_at)})",
                "correct it",
                field="occurred_at",
            )
        return unit

    async def verify(
        self, finding_id: str, trust: Trust, evidence: Sequence[str], actor: Actor, facts: RequestFacts
    ) -> Finding:
        """Say what became of a finding when it was looked into, by somebody else than who recorded it.

        Raises:
            NotFoundError: there is no such finding.
            SamePersonError: whoever recorded it can't verify it.
            TransientError: not known to be taken down; send it again.
        """
        finding = self.finding(finding_id)
        if actor.credential == finding.recorded_by:
            raise SamePersonError(
                Size(actor.credential),
                "another person than who recorded it",
                "let somebody else look into it",
                field="decided_by",
            )
        if (finding.trust, finding.decided_by) == (trust, actor.credential):
            return finding
        number = finding.revision + 1
        data = FindingVerified.model_validate(
            {
                "finding_id": finding_id,
                "finding": finding.family,
                "unit_id": finding.unit_id,
                "revision": number,
                "verification": trust.value,
                "evidence": tuple(evidence),
                "decided_by": actor.credential,
                "occurred_at": finding.occurred_at,
                "city": finding.city,
                "county": finding.county,
            }
        )
        await self._publish(data, derived_id("finding-verified", finding_id, str(number)), facts)
        return self.finding(finding_id)

    async def enrol(
        self, numbers: Sequence[str], seat: Seat, actor: Actor, facts: RequestFacts, *, enrolled: bool
    ) -> tuple[int, int]:
        """Give assessors, by the numbers on their cards, a seat like `seat`, or take it away.

        Returns:
            How many assessors that is about, and for how many of them it changed something.

        Raises:
            RejectedError: the division is not of the panel's level, or has no units.
            TransientError: not known to be taken down; send it again.
        """
        issue = self._place_issue(seat.division, seat.panel, "division", "correct panel or division")
        if issue is not None:
            raise RejectedError((issue,))
        city = county = "all"
        if seat.panel is not Level.PROVINCE:
            city = seat.division[:4]
        if seat.panel is Level.COUNTY:
            county = seat.division
        gate, book = asyncio.Semaphore(AT_ONCE), self.panels

        async def one(pseudonym: str) -> None:
            data = AssessorEnrolled.model_validate(
                {
                    "assessor_hmac": pseudonym,
                    "panel": seat.panel,
                    "division": seat.division,
                    "year": seat.year,
                    "group": seat.group,
                    "enrolled": enrolled,
                    "decided_by": actor.credential,
                    "city": city,
                    "county": county,
                }
            )
            # A seat can be given, taken and given again: which time it is tells a repeat from that.
            turn = str(book.turns(pseudonym, seat))
            event_id = derived_id("assessor", pseudonym, seat.division, str(seat.year), str(enrolled), turn)
            async with gate:
                await self._publish(data, event_id, facts, place=(city, county))

        wanted = dict.fromkeys(map(self._pseudonyms.assessor, numbers))
        changed = [each for each in wanted if book.would_change(each, seat, enrolled=enrolled)]
        await asyncio.gather(*map(one, changed))
        return len(wanted), len(changed)

    async def _publish(
        self,
        data: EventData,
        event_id: str,
        facts: RequestFacts,
        time: datetime | None = None,
        place: tuple[str, str] | None = None,
    ) -> None:
        spec = spec_for_data(type(data))
        city, county = place or (getattr(data, "city", "all"), getattr(data, "county", "all"))
        envelope: Envelope[Any] = spec.wrap(
            data,
            event_id=event_id,
            source=SERVICE,
            subject=str(getattr(data, "unit_id", getattr(data, "campaign_id", event_id))),
            time=time or facts.received_at,
            received_at=facts.received_at,
            provenance=facts.provenance,
            rules=facts.rules_hash,
        )
        await self._log.publish(envelope, city=city, county=county)


def _one_spelling(reference: str) -> str:
    """A team's own reference of a household, however it was typed: it is covered once."""
    return " ".join(unicodedata.normalize("NFKC", reference).casefold().split())


def _visit_issue(visit: Visit, campaign: Campaign, now: datetime, field: str) -> Issue | None:
    if visit.county not in {each.county for each in campaign.targets}:
        return Issue(
            f"{field}.county", visit.county, "a county of the campaign", "correct it, or another campaign"
        )
    if visit.visited_at > now:
        return Issue(
            f"{field}.visited_at",
            rfc3339(visit.visited_at),
            f"a time up to now ({rfc3339(now)})",
            "correct it",
        )
    phase = campaign.phases.on(business_day(visit.visited_at))
    if phase not in {Phase.RUN, Phase.CONSOLIDATE}:
        return Issue(
            f"{field}.visited_at",
            f"{rfc3339(visit.visited_at)}, when the campaign is {phase}",
            f"a day from {campaign.phases.run_from} to {campaign.phases.ends}",
            "correct the time",
        )
    return None
