"""Facts about rankings. Stream ``RANKING``, producer scoring. Public: aggregated and suppressed."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import EventData, UnitIdField
from shared.kernel.grades import Level

Points = Annotated[float, Field(ge=0, le=100)]
Status = Literal["ranked", "unranked", "suppressed"]
Band = Literal["excellent", "undecided", "below"]


class RankingRow(EventData):
    """One unit's place in one list. Everything but the name and the status is null when suppressed."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    status: Annotated[Status, Field(description="suppressed < 10 ratings, unranked < 30, else ranked.")]
    rank: Annotated[int | None, Field(description="1 is best; null unless ranked.", ge=1)] = None
    score: Annotated[Points | None, Field(description="Posterior mean of the good share, x100.")] = None
    interval_low: Annotated[Points | None, Field(description="Lower end of the 90 % interval, x100.")] = None
    interval_high: Annotated[Points | None, Field(description="Upper end of the 90 % interval, x100.")] = None
    ratings: Annotated[int | None, Field(description="Plain count of ratings counted.", ge=0)] = None
    n: Annotated[float | None, Field(description="Sum of weights, in ratings.", ge=0)] = None
    good: Annotated[float | None, Field(description="Weighted share of grades 3-5.", ge=0, le=1)] = None
    band: Annotated[Band | None, Field(description="Against the line for 'excellent'.")] = None


class RankingRevised(EventData):
    """A list changed. Coalesced: at most one a second for each list, and only when rows changed."""

    list: Annotated[
        str, Field(description="'<level>.<kind or all>.<window days>', the key in the KV bucket.")
    ]
    level: Annotated[Level, Field(description="Level of the listed units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all kinds are listed.")] = None
    window_days: Annotated[int, Field(description="Length of the rolling window, in days.", ge=1)]
    as_of: Annotated[date, Field(description="Last day of the window, Asia/Shanghai.")]
    sorted_by: Annotated[str, Field(description="The column that orders the list.")]
    list_hash: Annotated[
        str, Field(description="SHA-256 of the list's canonical JSON, 'sha256:<hex>'.", min_length=1)
    ]
    previous_hash: Annotated[str | None, Field(description="Hash before this change; null at first.")] = None
    positions: Annotated[dict[str, int], Field(description="Last sequence folded, by stream.")]
    units: Annotated[int, Field(description="Rows of the whole list.", ge=0)]
    changed_units: Annotated[int, Field(description="Rows that differ from the previous list.", ge=0)]
    changed: Annotated[
        tuple[RankingRow, ...],
        Field(description="The changed rows, best first; at most 1,500: beyond that, read the KV bucket."),
    ]


class UnitScoreChanged(EventData):
    """A unit's place moved: band, rank, or score by the rule pack's step. Once a minute at most."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    level: Annotated[Level, Field(description="Level of the unit.")]
    kind: Annotated[str | None, Field(description="Window kind; null for a bureau.")] = None
    list: Annotated[str, Field(description="List that the rank refers to.")]
    window_days: Annotated[int, Field(description="Length of the rolling window, in days.", ge=1)]
    as_of: Annotated[date, Field(description="Last day of the window, Asia/Shanghai.")]
    reasons: Annotated[
        tuple[Literal["band", "rank", "score", "published", "withdrawn"], ...],
        Field(description="What moved; 'published'/'withdrawn' when the unit crossed the suppression line."),
    ]
    rank: Annotated[int | None, Field(description="New rank.", ge=1)] = None
    previous_rank: Annotated[
        int | None, Field(description="Rank at the last event about this unit.", ge=1)
    ] = None
    day_start_rank: Annotated[
        int | None,
        Field(description="Rank when the day `as_of` began, or at the day's first event with a rank.", ge=1),
    ] = None
    score: Annotated[Points | None, Field(description="New score, x100.")] = None
    previous_score: Annotated[Points | None, Field(description="Score at the last event, x100.")] = None
    band: Annotated[Band | None, Field(description="New band.")] = None
    previous_band: Annotated[Band | None, Field(description="Band at the last event.")] = None
    ratings: Annotated[int | None, Field(description="Ratings counted.", ge=0)] = None
