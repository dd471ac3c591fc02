"""A rule pack as values: what policy decides, frozen, with the hash that rankings and alerts carry.

Plain dataclasses, so that a service's domain may use them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Grade, Verification
from shared.rules.alerting import (
    DeadLettersRule,
    QuarantineShareRule,
    RankingStaleRule,
    RoutingRules,
    Severity,
    SurgeRule,
    TooGoodRule,
)
from shared.rules.approvals import ApprovalRules
from shared.rules.bulletin import Bulletin
from shared.rules.case_alerts import CaseAlerts, SanctionAlerts
from shared.rules.case_outcomes import OutcomeRules
from shared.rules.intake_policy import DEFAULT_CHANNELS, ChannelPolicy, Quotas, TokenRules
from shared.rules.integrity import Integrity
from shared.rules.ladders import Ladders
from shared.rules.people import People
from shared.rules.rectify import Rectify
from shared.rules.screening import Screening
from shared.rules.unproven import UnprovenCap


@dataclass(frozen=True, slots=True)
class Windows:
    """Rolling windows and time limits, in days of Asia/Shanghai.

    Attributes:
        days: lengths, ascending.
        primary_days: the one of `days` that announcements and alerts refer to.
        lateness_days: most days from occurrence to receipt that still count.
        replacement_days: how long a citizen's newer rating of one transaction replaces the older.
    """

    days: tuple[int, ...]
    primary_days: int
    lateness_days: int
    replacement_days: int


@dataclass(frozen=True, slots=True)
class Suppression:
    """Plain counts of ratings from which a unit is published, and ranked."""

    publish_from: int
    rank_from: int


@dataclass(frozen=True, slots=True)
class Bands:
    """Excellent iff P(θ ≥ `excellent_line`) ≥ `probability`, below iff ≤ 1 - `probability`, or undecided."""

    excellent_line: float
    probability: float


@dataclass(frozen=True, slots=True)
class Prior:
    """The empirical-Bayes prior's fallback and limits.

    Attributes:
        mu: mean of the fallback prior, 0 < mu < 1.
        strength: its weight M in ratings.
        rho_min: lower clamp of the intra-class correlation.
        rho_max: upper clamp.
        min_group: units from which a peer group has its own prior.
    """

    mu: float
    strength: float
    rho_min: float
    rho_max: float
    min_group: int


@dataclass(frozen=True, slots=True)
class Composite:
    """Weights of the parts of a unit's composite 综合得分, each on the scale 0-100; together 1.

    Attributes:
        public: the score from the public's ratings 群众测评.
        rectification: how the unit puts right what was complained about 整改.
        self_appraisal: index of the unit's own appraisal 自评; ``self`` in the pack and on the wire.
        mutual: index of its peers' appraisal 互评.
        spot_check: index of the spot checks 抽查评议.
        social: index of assessors and forums 社会评议.
    """

    public: float
    rectification: float
    self_appraisal: float
    mutual: float
    spot_check: float
    social: float

    def by_part(self) -> dict[str, float]:
        """The weights by the part's name on the wire."""
        return {
            "public": self.public,
            "rectification": self.rectification,
            "self": self.self_appraisal,
            "mutual": self.mutual,
            "spot_check": self.spot_check,
            "social": self.social,
        }


@dataclass(frozen=True, slots=True)
class Lists:
    """How many ranked units a list names at either end; the two never overlap, the top goes first."""

    top: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Publication:
    """When changes are announced; points on the scale 0-100, intervals in seconds."""

    score_changed_min_points: float
    score_changed_min_interval_s: float
    ranking_min_interval_s: float


@dataclass(frozen=True, slots=True)
class Intake:
    """What intake accepts; lengths in Unicode characters.

    Attributes:
        channels: what each channel is believed; not to be changed.
    """

    future_tolerance_s: float
    text_max_chars: int
    contact_max_chars: int
    channels: Mapping[Channel, ChannelPolicy] = field(default_factory=lambda: DEFAULT_CHANNELS)
    tokens: TokenRules = field(default_factory=TokenRules)
    quotas: Quotas = field(default_factory=Quotas)
    screening: Screening = field(default_factory=Screening)


@dataclass(frozen=True, slots=True)
class BadReviewRule:
    """A rating with one of `grades` raises an alert."""

    grades: tuple[Grade, ...]
    severity: Severity


@dataclass(frozen=True, slots=True)
class RankDropRule:
    """A loss of at least `places` ranks raises an alert."""

    places: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class BandChangeRule:
    """A move to another band raises an alert."""

    severity: Severity


@dataclass(frozen=True, slots=True)
class Alerts:
    """The early-warning rules."""

    bad_review: BadReviewRule
    rank_drop: RankDropRule
    band_change: BandChangeRule
    surge: SurgeRule = field(default_factory=SurgeRule)
    too_good: TooGoodRule = field(default_factory=TooGoodRule)
    quarantine_share: QuarantineShareRule = field(default_factory=QuarantineShareRule)
    ranking_stale: RankingStaleRule = field(default_factory=RankingStaleRule)
    dead_letters: DeadLettersRule = field(default_factory=DeadLettersRule)
    cases: CaseAlerts = field(default_factory=CaseAlerts)
    sanctions: SanctionAlerts = field(default_factory=SanctionAlerts)


@dataclass(frozen=True, slots=True)
class RulePack:
    """One version of the rules, in force on ``valid_from <= day < valid_to``.

    Attributes:
        version: name, e.g. ``2026-01``.
        valid_from: first day in force.
        valid_to: first day no longer in force; None: until the next pack starts.
        hash: ``sha256:<hex>`` of the canonical content; the `rules` of envelopes.
        kinds: window kind → Chinese label, in the order of publication; not to be changed.
        weights_milli: weight of one rating by verification, in thousandths; not to be changed.
    """

    version: str
    valid_from: date
    valid_to: date | None
    hash: str
    kinds: Mapping[str, str]
    weights_milli: Mapping[Verification, int]
    windows: Windows
    suppression: Suppression
    bands: Bands
    prior: Prior
    composite: Composite
    lists: Lists
    publication: Publication
    intake: Intake
    alerts: Alerts
    integrity: Integrity
    bulletin: Bulletin = field(default_factory=Bulletin)
    approvals: ApprovalRules = field(default_factory=ApprovalRules)
    outcomes: OutcomeRules = field(default_factory=OutcomeRules)
    people: People = field(default_factory=People)
    rectify: Rectify = field(default_factory=Rectify)
    routing: RoutingRules = field(default_factory=RoutingRules)
    ladders: Ladders = field(default_factory=Ladders)
    unproven: UnprovenCap = field(default_factory=UnprovenCap)

    def kind_label(self, kind: str) -> str:
        """Return the Chinese label of a window kind.

        Raises:
            InvalidValueError: this pack has no such kind; the message lists those it has.
        """
        label = self.kinds.get(kind)
        if label is None:
            raise InvalidValueError(
                kind,
                f"a window kind of rule pack {self.version}",
                f"use one of {', '.join(self.kinds)}",
                field="kind",
            )
        return label
