"""Visit campaigns with their coverage, and findings with their verification. Pure; folds of events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from services.intake.domain.acceptance import Issue


class Phase(StrEnum):
    """Where a campaign is on a day."""

    NOT_BEGUN = "not_begun"
    MOBILISE = "mobilise"
    RUN = "run"
    CONSOLIDATE = "consolidate"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Phases:
    """First days of the three phases, and the last day of all."""

    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: date

    def on(self, day: date) -> Phase:
        """The phase of `day`."""
        if day < self.mobilise_from:
            return Phase.NOT_BEGUN
        if day < self.run_from:
            return Phase.MOBILISE
        if day < self.consolidate_from:
            return Phase.RUN
        return Phase.CONSOLIDATE if day <= self.ends else Phase.OVER

    @property
    def issue(self) -> Issue | None:
        """What is wrong with the order of the days."""
        if self.mobilise_from <= self.run_from < self.consolidate_from <= self.ends:
            return None
        return Issue(
            "run_from",
            f"{self.mobilise_from}, {self.run_from}, {self.consolidate_from}, {self.ends}",
            "mobilise_from ≤ run_from < consolidate_from ≤ ends",
            "put the phases into their order",
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Households to visit in one county."""

    county: str
    city: str
    households: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """A visit campaign 百千万."""

    campaign_id: str
    title: str
    teams: int
    cadres: int
    targets: tuple[Target, ...]
    phases: Phases
    decided_by: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far one county, or the whole campaign, has come; `done` counts each household once."""

    target: int
    done: int
    visits: int

    @property
    def share(self) -> float:
        """Part of the target that is done, 0 to 1."""
        return min(1.0, self.done / self.target)


@dataclass(slots=True)
class _Progress:
    visits: int = 0
    households: set[str] = field(default_factory=set)
    teams: set[str] = field(default_factory=set)


class CampaignBook:
    """Every campaign with its visits."""

    def __init__(self) -> None:
        """Know nothing."""
        self._campaigns: dict[str, Campaign] = {}
        self._progress: dict[str, dict[str, _Progress]] = {}

    def __iter__(self) -> Iterator[Campaign]:
        """All campaigns, oldest first."""
        return iter(self._campaigns.values())

    def clear(self) -> None:
        """Know nothing any more."""
        self._campaigns.clear()
        self._progress.clear()

    def get(self, campaign_id: str) -> Campaign | None:
        """The campaign with that id."""
        return self._campaigns.get(campaign_id)

    def opened(self, campaign: Campaign) -> None:
        """Take a campaign in; of two with one id the first stands."""
        if campaign.campaign_id not in self._campaigns:
            self._campaigns[campaign.campaign_id] = campaign
            self._progress[campaign.campaign_id] = {each.county: _Progress() for each in campaign.targets}

    def visited(self, campaign_id: str, county: str, household: str, team: str) -> None:
        """Take a visit in; one of no campaign, or outside its counties, covers nothing."""
        progress = self._progress.get(campaign_id, {}).get(county)
        if progress is not None:
            progress.visits += 1
            progress.households.add(household)
            progress.teams.add(team)

    def coverage(
        self, campaign: Campaign, sees: Callable[[Target], bool] = lambda _: True
    ) -> Mapping[str, Coverage]:
        """How far each county has come, of those that somebody `sees`."""
        progress = self._progress[campaign.campaign_id]
        return {
            each.county: Coverage(
                each.households, len(progress[each.county].households), progress[each.county].visits
            )
            for each in campaign.targets
            if sees(each)
        }

    def share_on(self, day: date) -> float:
        """Part of the households of all campaigns under way on `day` that is visited; 1 if there is none."""
        under_way = (each for each in self if each.phases.on(day) in {Phase.RUN, Phase.CONSOLIDATE})
        sums = [whole(self.coverage(each)) for each in under_way]
        target = sum(each.target for each in sums)
        return sum(min(each.done, each.target) for each in sums) / target if target else 1.0

    def teams_out(self, campaign: Campaign, counties: Iterable[str]) -> int:
        """Teams that have made at least one visit in one of `counties`, which are of the campaign."""
        progress = self._progress[campaign.campaign_id]
        return len({team for county in counties for team in progress[county].teams})


def whole(coverage: Mapping[str, Coverage]) -> Coverage:
    """The sum over all counties."""
    return Coverage(
        sum(each.target for each in coverage.values()),
        sum(each.done for each in coverage.values()),
        sum(each.visits for each in coverage.values()),
    )


class Trust(StrEnum):
    """What is known of a finding; it counts for ladders and vetoes only when verified."""

    REPORTED = "reported"
    VERIFIED = "verified"
    REFUTED = "refuted"


@dataclass(frozen=True, slots=True)
class Finding:
    """A spot check or an incident.

    Attributes:
        family: inspection or incident.
        what: result of the inspection, kind of the incident.
        revision: how often it was looked into; the highest is in force.
    """

    finding_id: str
    family: str
    unit_id: str
    what: str
    occurred_at: datetime
    recorded_by: str
    city: str
    county: str
    trust: Trust = Trust.REPORTED
    revision: int = 0
    severity: str | None = None
    decided_by: str | None = None


class FindingBook:
    """Every finding, and what verification says of it."""

    def __init__(self) -> None:
        """Know nothing."""
        self._findings: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        """All of them, oldest first."""
        return iter(self._findings.values())

    def clear(self) -> None:
        """Know nothing any more."""
        self._findings.clear()

    @property
    def unverified(self) -> int:
        """How many nobody has verified or refuted."""
        return sum(each.trust is Trust.REPORTED for each in self)

    def get(self, finding_id: str) -> Finding | None:
        """The finding with that id."""
        return self._findings.get(finding_id)

    def recorded(self, finding: Finding) -> None:
        """Take a finding in; of two with one id the first stands."""
        self._findings.setdefault(finding.finding_id, finding)

    def verified(self, finding_id: str, revision: int, trust: Trust, decided_by: str) -> None:
        """Take in what somebody else found out; of two with one number the first stands."""
        finding = self._findings.get(finding_id)
        if finding is None or revision != finding.revision + 1 or decided_by == finding.recorded_by:
            return
        self._findings[finding_id] = replace(finding, trust=trust, revision=revision, decided_by=decided_by)
