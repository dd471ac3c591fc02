"""What the answers look like."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from shared.events import RankingRow
from shared.events.ranking import Band, Status
from shared.kernel.grades import Level


class PriorBody(BaseModel):
    """The prior of one peer group."""

    source: Annotated[
        Literal["estimated", "rule_pack"], Field(description="From the peers, or the rule pack's fallback.")
    ]
    reason: Annotated[str | None, Field(description="Why it is the fallback.")]
    mu: Annotated[float | None, Field(description="Mean good share; null where it would tell on raters.")]
    strength: Annotated[float | None, Field(description="Weight of the prior, in ratings.")]
    units: Annotated[int, Field(description="Units with ratings that it rests on.")]


class ListHead(BaseModel):
    """What a list says about itself."""

    list: Annotated[
        str,
        Field(description="'<level>.<kind or all>.<window days or period>', also its key in the bucket."),
    ]
    level: Annotated[Level, Field(description="Level of the listed units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all are listed.")]
    window_days: Annotated[int, Field(description="Length of the rolling window or of the period, in days.")]
    period: Annotated[
        str | None, Field(description="2026-11, 2026Q4 or 2026; null for a rolling window.")
    ] = None
    as_of: Annotated[
        date, Field(description="Last day of the window, or day on which the period was counted.")
    ]
    sorted_by: Annotated[str, Field(description="The column that orders the list.")]
    rules: Annotated[str, Field(description="Hash of the rule pack.")]
    registry: Annotated[
        str | None,
        Field(
            description="Hash of the units of that day, names included; null if closed by an older version."
        ),
    ] = None
    publish_from: Annotated[int, Field(description="Fewer ratings: suppressed.")]
    rank_from: Annotated[int, Field(description="Fewer ratings: shown, but unranked.")]
    positions: Annotated[dict[str, int], Field(description="Sequence that the list is valid at, by stream.")]
    computed_at: Annotated[str, Field(description="When its present content was computed, UTC.")]
    list_hash: Annotated[str, Field(description="SHA-256 of its canonical JSON.")]
    units: Annotated[int, Field(description="Rows of the whole list, or of the part below `parent`.")]
    closed_on: Annotated[
        date | None, Field(description="Day on which the period closed; null while it is open.")
    ] = None
    closed_hash: Annotated[str | None, Field(description="Hash of the list that was closed.")] = None
    restatement: Annotated[
        int | None, Field(description="How often the closed list was restated since; null while it is open.")
    ] = None
    late_missed: Annotated[
        int | None,
        Field(
            description="Ratings of the closed period that came too late to count, up to now: more may come "
            "after the close than `PeriodClosed` names. Null while it is open."
        ),
    ] = None


class RankingBody(ListHead):
    """One page of a list."""

    recomputed: Annotated[
        bool,
        Field(
            description="True for an earlier day (`at`): its ratings as they are known today, not the list "
            "that was published then."
        ),
    ] = False

    parent: Annotated[
        str | None,
        Field(description="The unit whose subordinates are shown, ranked among themselves; null: all."),
    ] = None
    naming: Annotated[
        dict[Literal["top", "bottom"], int] | None,
        Field(description="How many are named at either end; null if closed by an older version."),
    ] = None
    top: Annotated[
        list[str] | None,
        Field(description="Unit ids of the best, by rank; null for a part of a list without `naming`."),
    ] = None
    bottom: Annotated[
        list[str] | None,
        Field(description="Unit ids of the worst, by rank: candidates. Never one of `top`; null like it."),
    ] = None
    composite_weights: Annotated[
        dict[str, float], Field(description="Weight of each part of the composite.")
    ] = {}
    priors: Annotated[dict[str, PriorBody], Field(description="Prior of each peer group in the list.")]
    items: Annotated[
        list[RankingRow], Field(description="Ranked by rank, then unranked, then suppressed by unit id.")
    ]
    next: Annotated[str | None, Field(description="Cursor of the next page; null at the end.")]


class UnitWindowBody(RankingRow):
    """A unit's row in one window or period of its list."""

    list: Annotated[str, Field(description="Key of the list.")]
    window_days: Annotated[int, Field(description="Length of the rolling window or of the period, in days.")]
    period: Annotated[
        str | None, Field(description="2026-11, 2026Q4 or 2026; null for a rolling window.")
    ] = None
    as_of: Annotated[
        date, Field(description="Last day of the window, or day on which the period was counted.")
    ]
    units: Annotated[int, Field(description="Rows of the list.")]
    list_hash: Annotated[str, Field(description="Hash of the list.")]


class UnitScoreBody(BaseModel):
    """A unit's scores in all windows."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    level: Annotated[Level, Field(description="Level of the unit.")]
    kind: Annotated[str | None, Field(description="Window kind; null for a bureau.")]
    rules: Annotated[str | None, Field(description="Hash of the rule pack.")]
    positions: Annotated[
        dict[str, int], Field(description="Sequence that the scores are valid at, by stream.")
    ]
    windows: Annotated[
        list[UnitWindowBody],
        Field(description="One entry for each window, shortest first; or the one asked for."),
    ]
    successor: Annotated[
        str | None, Field(description="Merged or recoded: the unit that took over; null for all others.")
    ] = None
    predecessors: Annotated[
        tuple[str, ...], Field(description="Units that were merged into it; what they got stays theirs.")
    ] = ()


class BooksBody(BaseModel):
    """The books: accepted = counted + replaced + held + excluded + late."""

    accepted: Annotated[int, Field(description="Distinct ratings, probes left out.")]
    counted: Annotated[int, Field(description="In the statistics.")]
    replaced: Annotated[int, Field(description="A newer rating of the same service stands for them.")]
    held: Annotated[int, Field(description="Quarantined.")]
    excluded: Annotated[int, Field(description="Taken out after review.")]
    late: Annotated[int, Field(description="Received too long after they happened.")]
    balanced: Annotated[bool, Field(description="Whether the equation holds.")]
    duplicates: Annotated[int, Field(description="Repeats of accepted events; outside of the equation.")]
    synthetic: Annotated[int, Field(description="Probes and drills; outside of the equation.")]
    positions: Annotated[dict[str, int], Field(description="Last sequence taken in, by stream.")]
    computed_at: Annotated[str, Field(description="When, UTC.")]


class PointBody(BaseModel):
    """One day of a unit. All but day and status are null while it is suppressed."""

    day: Annotated[date, Field(description="Last day of the window, Asia/Shanghai.")]
    status: Annotated[Status, Field(description="As in the list of that day.")]
    ratings_of_day: Annotated[
        int | None, Field(description="Ratings of that day alone; null where hidden, see `fewer_than`.")
    ]
    ratings: Annotated[int | None, Field(description="Plain count of the window.")]
    good: Annotated[float | None, Field(description="Weighted share of grades 3-5 in the window.")]
    score: Annotated[float | None, Field(description="Posterior mean of the good share, x100.")]
    interval_low: Annotated[float | None, Field(description="Lower end of the 90 % interval, x100.")]
    interval_high: Annotated[float | None, Field(description="Upper end of the 90 % interval, x100.")]
    band: Annotated[Band | None, Field(description="Against the line for 'excellent'.")]
    rank: Annotated[int | None, Field(description="In `list` as of that day; null unless ranked.")]


class UnitHistoryBody(BaseModel):
    """A unit's rolling window as of each day, with today's knowledge."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    level: Annotated[Level, Field(description="Level of the unit.")]
    kind: Annotated[str | None, Field(description="Window kind; null for a bureau.")]
    list: Annotated[str, Field(description="The list that the ranks refer to.")]
    window_days: Annotated[int, Field(description="Length of the rolling window, in days.")]
    rules: Annotated[str, Field(description="Hash of the rule pack.")]
    positions: Annotated[dict[str, int], Field(description="Sequence that it is valid at, by stream.")]
    recomputed: Annotated[bool, Field(description="Always true: not what was published then.")] = True
    fewer_than: Annotated[
        int | None,
        Field(
            description="Days with fewer ratings (none apart) hide their own count; then all days do, for a "
            "hidden one could be found from the windows. Null: nothing is hidden."
        ),
    ]
    items: Annotated[tuple[PointBody, ...], Field(description="One for each day that is kept, oldest first.")]
    successor: Annotated[
        str | None, Field(description="Merged or recoded: the unit that took over; null for all others.")
    ] = None
    predecessors: Annotated[
        tuple[str, ...], Field(description="Units that were merged into it; what they got stays theirs.")
    ] = ()


class ContributionBody(BaseModel):
    """Ratings that entered or left a window; null where hidden."""

    ratings: Annotated[int | None, Field(description="How many.")]
    good: Annotated[int | None, Field(description="Of grades 3-5.")]
    bad: Annotated[int | None, Field(description="Of grades 1-2.")]
    mean_weight: Annotated[float | None, Field(description="What one of them weighs on average, 0-1.")]


class PeersBody(BaseModel):
    """How a unit's peers moved; null where a number would tell on raters."""

    group: Annotated[str, Field(description="Name of the peer group, as in the list's priors.")]
    mu_before: Annotated[float | None, Field(description="Mean good share of the peers on the earlier day.")]
    mu_after: Annotated[float | None, Field(description="The same today.")]
    strength_before: Annotated[float | None, Field(description="Weight of the prior then, in ratings.")]
    strength_after: Annotated[float | None, Field(description="The same today.")]


class WhyBody(BaseModel):
    """Why a unit moved."""

    entered: Annotated[ContributionBody, Field(description="Ratings of days that came into the window.")]
    left: Annotated[
        ContributionBody | None,
        Field(description="Ratings of days that fell out of it; null in a period, which loses none."),
    ]
    fewer_than: Annotated[
        int | None,
        Field(
            description="Some count is below this, or would tell one that is: what entered and what left is "
            "shown together or not at all, totals only with all their parts. Null: nothing is hidden."
        ),
    ]
    peers: Annotated[PeersBody, Field(description="The prior of the unit's peers, before and after.")]
    by_ratings: Annotated[
        float | None, Field(description="Points of the score's change from the unit's own ratings.")
    ]
    by_peers: Annotated[float | None, Field(description="Points of it from the peers' prior.")]
    left_out_before: Annotated[
        float | None, Field(description="`left_out` of the row on the earlier day; null: nothing was.")
    ]
    left_out_after: Annotated[float | None, Field(description="The same today.")]


class MoveBody(BaseModel):
    """One unit that moved. Before or after is null where the unit was not in the list or is suppressed."""

    unit_id: Annotated[str, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    status_before: Annotated[Status | None, Field(description="Null: it was not in the list.")]
    status_after: Annotated[Status | None, Field(description="Null: it no longer is.")]
    rank_before: Annotated[int | None, Field(description="Rank on the earlier day.")]
    rank_after: Annotated[int | None, Field(description="Rank today.")]
    score_before: Annotated[float | None, Field(description="Score on the earlier day, x100.")]
    score_after: Annotated[float | None, Field(description="Score today, x100.")]
    band_before: Annotated[Band | None, Field(description="Band on the earlier day.")]
    band_after: Annotated[Band | None, Field(description="Band today.")]
    places: Annotated[int | None, Field(description="Ranks climbed (+) or lost (-).")]
    points: Annotated[float | None, Field(description="Points of score gained or lost.")]
    why: Annotated[WhyBody, Field(description="What the change comes from.")]


class ChangesBody(BaseModel):
    """What moved in a list since a day, with today's knowledge of both days."""

    list: Annotated[str, Field(description="Key of the list.")]
    since: Annotated[date, Field(description="The earlier day.")]
    as_of: Annotated[date, Field(description="Today, Asia/Shanghai.")]
    rules: Annotated[str, Field(description="Hash of the rule pack.")]
    positions: Annotated[dict[str, int], Field(description="Sequence that it is valid at, by stream.")]
    recomputed: Annotated[bool, Field(description="Always true: not what was published then.")] = True
    units: Annotated[int, Field(description="Rows of the list today.")]
    moved: Annotated[int, Field(description="How many of them moved.")]
    items: Annotated[
        tuple[MoveBody, ...],
        Field(description="Changes of status first, then by places, points and unit id."),
    ]
    next: Annotated[str | None, Field(description="Cursor of the next page; null at the end.")]


class RevisedBody(BaseModel):
    """What the events `list` and `revised` of a live board carry, as JSON in `data`."""

    head: Annotated[ListHead, Field(description="The list's head as it stands now.")]
    items: Annotated[
        list[RankingRow], Field(description="Rows that changed, in the order of the list; none in `list`.")
    ]
    truncated: Annotated[
        bool, Field(description="More rows changed than an event carries, or some are gone: read the list.")
    ]
