"""What a rule pack says about the integrity signals; part of `RulePack`.

A *probability* is the chance with which a unit may show as much without any cause; what is less likely is
flagged. About 1,200 units are looked at each day, so these are small.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ZeroVarianceRule:
    """Every rating of a unit is the same. Judged from `min_ratings` on."""

    min_ratings: int
    probability: float


@dataclass(frozen=True, slots=True)
class BurstRule:
    """Far more ratings than usual, on one day or over the last few.

    Attributes:
        min_ratings: fewer on the day (or in the run) are no burst.
        min_ratio: least ratio to the usual number.
        probability: see the module.
        baseline_days: days before the run that say what is usual.
        min_history_days: as many of these must have been watched.
        peer_days: days' worth of the peers' average that is added to the baseline.
        min_dispersion: least variance beyond Poisson, as the square of a coefficient of variation.
        run_days: length of the run, today included.
        run_ratio: the rise that the run looks for.
    """

    min_ratings: int
    min_ratio: float
    probability: float
    baseline_days: int
    min_history_days: int
    peer_days: float
    min_dispersion: float
    run_days: int
    run_ratio: float


@dataclass(frozen=True, slots=True)
class CoBurstRule:
    """Several units of one place rise on the same day.

    Attributes:
        min_units: fewer rising units are no co-burst.
        unit_probability: a unit rises if as many ratings have at most this chance.
        unit_min_ratings: and it has at least so many.
        probability: see the module.
    """

    min_units: int
    unit_probability: float
    unit_min_ratings: int
    probability: float


@dataclass(frozen=True, slots=True)
class TerminalShareRule:
    """Nearly all ratings come from the window's own terminal; `share` is what nearly all means."""

    min_ratings: int
    share: float
    probability: float


@dataclass(frozen=True, slots=True)
class SecondsBetweenRule:
    """Ratings follow one another too fast.

    Attributes:
        min_ratings: fewer on a day are not judged.
        min_pairs: fewer pairs within one minute are not flagged.
        open_minutes: minutes of a day over which ratings usually spread.
        concentration: how much likelier than in even traffic two ratings usually share a minute.
        probability: see the module.
    """

    min_ratings: int
    min_pairs: int
    open_minutes: int
    concentration: float
    probability: float


@dataclass(frozen=True, slots=True)
class OffSiteGapRule:
    """Much better at the window than out of its sight.

    Attributes:
        min_window: fewer ratings at the window are not judged.
        min_off_site: fewer off-site ratings are not judged.
        margin: how far the gap may exceed the peers', as a share.
        probability: see the module.
    """

    min_window: int
    min_off_site: int
    margin: float
    probability: float


@dataclass(frozen=True, slots=True)
class FunnelRule:
    """Outside of the limits around the peers' mean.

    Attributes:
        min_ratings: fewer are not judged.
        limit: probability within the outer limits; nobody within is flagged.
        warning: probability within the inner limits, which are only told.
        most_false_units: the limits are drawn further out until so many honest units are outside.
    """

    min_ratings: int
    limit: float
    warning: float
    most_false_units: float


@dataclass(frozen=True, slots=True)
class Integrity:
    """The signals, how often they are looked at, and how long a flag stands at least; both in seconds."""

    evaluate_every_s: float
    hold_s: float
    zero_variance: ZeroVarianceRule
    burst: BurstRule
    co_burst: CoBurstRule
    terminal_share: TerminalShareRule
    seconds_between: SecondsBetweenRule
    off_site_gap: OffSiteGapRule
    funnel: FunnelRule
