"""What a rule pack says about screening 筛查: which ratings are held until somebody has looked at them.

Part of `Intake`. The values here are those of packs without a section ``[intake.screening]``.
"""

from dataclasses import dataclass, field
from typing import Final

from shared.kernel.grades import Channel


@dataclass(frozen=True, slots=True)
class ClusterRule:
    """Ratings of one unit that have something in common: a device, an address, a text.

    Attributes:
        within_s: seconds of receipt that are looked at together.
        most: so many are nothing unusual; with one more the excess over `keep` is held.
        keep: the first ones, which go on counting.
        all_from: from so many on none of them counts.
        usual: the three numbers grow in proportion, so that `most` is at least so many times what the unit
            usually gets in a day; 0: they never grow.
    """

    within_s: float
    most: int
    keep: int
    all_from: int
    usual: float


@dataclass(frozen=True, slots=True)
class SurgeRule:
    """Far more ratings of one unit than it usually gets.

    Attributes:
        within_s: seconds of receipt that are looked at together.
        least: so many are no surge, however few are usual.
        ratio: times the expected number.
        deviations: standard deviations above the expected number; the larger bound of the two holds.
        day_share: part of a day's ratings that may come within `within_s`.
    """

    within_s: float
    least: int
    ratio: float
    deviations: float
    day_share: float


_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Vouched:
    """Far more ratings that one channel vouches for at one unit: transactions that it claims, or staff's.

    Attributes:
        hour: at once.
        day: over a day.
        week: over whole days, what is held left out; from then on it holds what came within `day`.
    """

    hour: SurgeRule = SurgeRule(3600.0, least=30, ratio=12.0, deviations=6.0, day_share=0.3)
    day: SurgeRule = SurgeRule(_DAY_S, least=40, ratio=5.0, deviations=6.0, day_share=1.0)
    week: SurgeRule = SurgeRule(7 * _DAY_S, least=100, ratio=4.0, deviations=6.0, day_share=7.0)

    @property
    def surges(self) -> tuple[SurgeRule, SurgeRule]:
        """The rules that reach back over their whole window, the shorter first."""
        return self.hour, self.day

    @property
    def week_days(self) -> int:
        """`week` in days, today among them."""
        return max(1, int(self.week.within_s // _DAY_S))


_TOKENS: Final = Vouched(
    hour=SurgeRule(3600.0, least=60, ratio=12.0, deviations=6.0, day_share=0.3),
    day=SurgeRule(_DAY_S, least=80, ratio=5.0, deviations=6.0, day_share=1.0),
    week=SurgeRule(7 * _DAY_S, least=100, ratio=4.0, deviations=6.0, day_share=7.0),
)


@dataclass(frozen=True, slots=True)
class Familiar:
    """A terminal that has served a unit for long, which a surge of the same channel does not drag along.

    Attributes:
        since_days: it first came so many days ago, from the same network.
        on_days: it came on so many days.
        most: so many devices are remembered of one channel at one unit.
        pace: as many from familiar ones are none that a surge of others holds.
    """

    since_days: int = 14
    on_days: int = 4
    most: int = 16
    pace: SurgeRule = SurgeRule(_DAY_S, least=10, ratio=3.0, deviations=6.0, day_share=1.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual for a unit.

    Attributes:
        days: days before today that are remembered.
        peer_days: days of the average of its kind that are added to a unit's own.
        dispersion: variance beyond Poisson, as the square of a coefficient of variation.
        min_days: with fewer days watched, `fresh_day` a day are usual, or as many as are verified.
        fresh_day: see `min_days`.
        busy_damping: verified ratings that are added on both sides when today is compared with usual days.
    """

    days: int = 28
    peer_days: float = 2.0
    dispersion: float = 0.1
    min_days: int = 7
    fresh_day: float = 300.0
    busy_damping: float = 5.0


@dataclass(frozen=True, slots=True)
class Screening:
    """The rules of screening.

    Attributes:
        enabled: whether anything is held.
        exempt_imports: whether those of a bulk import are left alone.
        staff_channels: where staff take ratings down; whatever comes through them is vouched for.
        shared_device_channels: channels whose devices serve many people by design.
        text_min_chars: shorter texts, without blanks and punctuation, are alike by chance; never compared.
        act_within_s: what was received longer ago was judged then, and is not held any more.
        most_members: ratings remembered at once; beyond it the oldest are forgotten early.
        device: one private device.
        shared_device: one device of `shared_device_channels`.
        address: one network address.
        text: one and the same text.
        near_text: nearly the same text.
        hour: unverified ratings, at once.
        day: the same over a day.
        vouched: what channels vouch for.
        tokens: what one-time tokens prove, for one unit and whatever channel they are used through.
        familiar: terminals that go on counting beside a flood of their channel.
    """

    enabled: bool = True
    exempt_imports: bool = True
    staff_channels: tuple[Channel, ...] = (
        Channel.OPINION_BOX, Channel.PAPER, Channel.FORUM, Channel.VISIT, Channel.ASSESSOR,
        Channel.COMPLAINT_DESK, Channel.UNDERCOVER, Channel.IMPORT,
    )  # fmt: skip
    shared_device_channels: tuple[Channel, ...] = (Channel.TERMINAL, Channel.HOTLINE)
    text_min_chars: int = 12
    act_within_s: float = 3 * _DAY_S
    most_members: int = 500_000
    device: ClusterRule = ClusterRule(7 * _DAY_S, most=8, keep=3, all_from=20, usual=0.0)
    shared_device: ClusterRule = ClusterRule(_DAY_S, most=40, keep=20, all_from=120, usual=3.0)
    address: ClusterRule = ClusterRule(_DAY_S, most=20, keep=10, all_from=60, usual=2.0)
    text: ClusterRule = ClusterRule(_DAY_S, most=8, keep=2, all_from=20, usual=0.5)
    near_text: ClusterRule = ClusterRule(_DAY_S, most=12, keep=3, all_from=30, usual=0.75)
    hour: SurgeRule = SurgeRule(3600.0, least=20, ratio=4.0, deviations=6.0, day_share=0.3)
    day: SurgeRule = SurgeRule(_DAY_S, least=25, ratio=3.0, deviations=6.0, day_share=1.0)
    vouched: Vouched = field(default_factory=Vouched)
    tokens: Vouched = _TOKENS
    familiar: Familiar = field(default_factory=Familiar)
    baseline: Baseline = field(default_factory=Baseline)

    @property
    def surges(self) -> tuple[SurgeRule, SurgeRule]:
        """The surge rules of unverified ratings, the shorter first."""
        return self.hour, self.day

    def word_of(self, *, by_token: bool) -> Vouched:
        """The rules for what a channel vouches for, or an issuer of tokens."""
        return self.tokens if by_token else self.vouched
