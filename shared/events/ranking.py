"""Facts about rankings. Stream ``RANKING``, producer scoring. Public: aggregated and suppressed."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import EventData, UnitIdField
from shared.kernel.grades import Dimension, Level, Source

Points = Annotated[float, Field(ge=0, le=100)]
Status = Literal["ranked", "unranked", "suppressed"]
Band = Literal["excellent", "undecided", "below"]
PeriodLabel = Annotated[str, Field(pattern=r"^[0-9]{4}(-(0[1-9]|1[0-2])|Q[1-4])?$")]
ListHash = Annotated[str, Field(min_length=1)]
ROWS_IN_A_MESSAGE = 1_000
"""Rows in one message: with every column filled in, it stays below the broker's 1 MiB."""
CAUSES_IN_A_MESSAGE = 100


class SourceFigures(EventData):
    """What one of the sources beside the public says about a unit."""

    ratings: Annotated[int, Field(description="Plain count of its ratings counted.", ge=0)]
    index: Annotated[Points, Field(description="Mean grade on the scale 0-100.")]


class RankingRow(EventData):
    """One unit's place in one list. Everything but the name and the status is null when suppressed."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    status: Annotated[
        Status, Field(description="suppressed < 10 ratings, unranked < 30 or without peers, else ranked.")
    ]
    rank: Annotated[int | None, Field(description="1 is best; null unless ranked.", ge=1)] = None
    score: Annotated[Points | None, Field(description="Posterior mean of the good share, x100.")] = None
    interval_low: Annotated[Points | None, Field(description="Lower end of the 90 % interval, x100.")] = None
    interval_high: Annotated[Points | None, Field(description="Upper end of the 90 % interval, x100.")] = None
    ratings: Annotated[int | None, Field(description="Plain count of ratings counted.", ge=0)] = None
    n: Annotated[float | None, Field(description="Sum of weights, in ratings.", ge=0)] = None
    good: Annotated[float | None, Field(description="Weighted share of grades 3-5.", ge=0, le=1)] = None
    band: Annotated[Band | None, Field(description="Against the line for 'excellent'.")] = None
    rank_low: Annotated[
        int | None, Field(description="Best rank of the 90 % interval of ranks; null unless ranked.", ge=1)
    ] = None
    rank_high: Annotated[
        int | None, Field(description="Worst rank of the 90 % interval of ranks; null unless ranked.", ge=1)
    ] = None
    rank_change: Annotated[
        int | None,
        Field(
            description="Places climbed (+) or lost (-) since yesterday, or since the period before; null if "
            "unranked then or now."
        ),
    ] = None
    histogram: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...] | None,
        Field(description="Plain counts of the grades 1, 2, 3, 4 and 5.", min_length=5, max_length=5),
    ] = None
    top_two: Annotated[float | None, Field(description="Plain share of grades 4-5.", ge=0, le=1)] = None
    index: Annotated[
        Points | None, Field(description="Mean grade on the scale 0-100: 100 if all grades are 5.")
    ] = None
    composite: Annotated[
        Points | None,
        Field(description="Weighted mean of the parts that there are, by the list's composite_weights."),
    ] = None
    dimensions: Annotated[
        dict[Dimension, Annotated[float, Field(ge=1, le=5)]] | None,
        Field(description="Mean sub-grade of each dimension with enough of them; left out if there is none."),
    ] = None
    sources: Annotated[
        dict[Source, SourceFigures] | None,
        Field(description="The other sources, kept apart, with enough ratings; left out if there is none."),
    ] = None
    rectification: Annotated[
        Points | None,
        Field(
            description="How the unit puts right what was complained about: cases on time, confirmed by the "
            "citizen, not reopened. Left out if no case is settled or overdue; the composite does without."
        ),
    ] = None
    cases: Annotated[
        int | None,
        Field(description="Settled and overdue cases that it rests on; left out if fewer than 5.", ge=5),
    ] = None
    left_out: Annotated[
        float | None,
        Field(
            description="Weight of ratings without a verified transaction or token that is not in n, because "
            "they are too many beside the others; left out if there is none.",
            gt=0,
        ),
    ] = None


class RankingRevised(EventData):
    """A list that shows something changed: rows, or its priors alone. At most one a second for each list.

    Also that a list is withdrawn: the rule pack or the registry knows no such list any more. What was said of
    it before no longer holds, and its value in the KV bucket is empty.
    """

    list: Annotated[
        str,
        Field(description="'<level>.<kind or all>.<window days or period>', the key in the KV bucket."),
    ]
    level: Annotated[Level, Field(description="Level of the listed units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all kinds are listed.")] = None
    window_days: Annotated[
        int, Field(description="Length of the rolling window or of the period, in days.", ge=1)
    ]
    period: Annotated[
        PeriodLabel | None, Field(description="2026-11, 2026Q4 or 2026; null for a rolling window.")
    ] = None
    as_of: Annotated[
        date, Field(description="Last day of the window, or day on which the period was counted.")
    ]
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
        Field(description="The changed rows, best first; at most 1,000: beyond that, read the KV bucket."),
    ]
    gone: Annotated[
        tuple[UnitIdField, ...],
        Field(
            description="Units that were shown in the list and are not in it any more; at most 1,000: with "
            "as many, read the KV bucket.",
            max_length=ROWS_IN_A_MESSAGE,
        ),
    ] = ()
    withdrawn: Annotated[
        bool,
        Field(
            description="True: there is no such list any more, as none of its rows and units; `list_hash` is "
            "the hash of no bytes. It is a list again once a later revision of it says false."
        ),
    ] = False


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
        Field(
            description="What moved; 'published'/'withdrawn' when the unit crossed the suppression line, or "
            "came into or left the lists that it is compared in: it ended, or no rule ranks its kind now."
        ),
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


class PeriodClosed(EventData):
    """A calendar period ended, its time for late ratings too: this list is final and is never edited.

    A list of more than 1,000 units comes in parts with one ``list_hash``; ``items`` of parts 1, 2, … in a row
    are the whole list. The rule pack that it was made with is the envelope's ``rules``.
    """

    list: Annotated[str, Field(description="'<level>.<kind or all>.<period>', the key in the KV bucket.")]
    level: Annotated[Level, Field(description="Level of the listed units.")]
    kind: Annotated[str | None, Field(description="Window kind; null where all kinds are listed.")] = None
    period: Annotated[PeriodLabel, Field(description="Month, quarter or year: 2026-11, 2026Q4, 2026.")]
    first: Annotated[date, Field(description="First day of the period, Asia/Shanghai.")]
    last: Annotated[date, Field(description="Last day of the period, Asia/Shanghai.")]
    closed_on: Annotated[date, Field(description="Day on which it closed, Asia/Shanghai.")]
    sorted_by: Annotated[
        str, Field(description="The column that orders the list; score where an older version left it out.")
    ] = "score"
    list_hash: Annotated[
        ListHash, Field(description="SHA-256 of the whole list's canonical JSON, 'sha256:<hex>'.")
    ]
    positions: Annotated[dict[str, int], Field(description="Last sequence folded, by stream.")]
    units: Annotated[int, Field(description="Rows of the whole list.", ge=0)]
    late_missed: Annotated[
        int, Field(description="Ratings of this period that came too late to count, so far.", ge=0)
    ]
    part: Annotated[int, Field(description="Number of this part, from 1.", ge=1)]
    parts: Annotated[int, Field(description="How many parts the list has.", ge=1)]
    items: Annotated[
        tuple[RankingRow, ...],
        Field(description="The rows of this part, in the list's order.", max_length=ROWS_IN_A_MESSAGE),
    ]


class PeriodRestated(EventData):
    """A correction after the close changed a closed list; what was published as PeriodClosed still stands."""

    list: Annotated[str, Field(description="The list's key, as in PeriodClosed.")]
    period: Annotated[PeriodLabel, Field(description="Month, quarter or year: 2026-11, 2026Q4, 2026.")]
    list_hash: Annotated[ListHash, Field(description="Hash of the list as it would be closed now.")]
    closed_hash: Annotated[ListHash, Field(description="The hash in PeriodClosed.")]
    restatement: Annotated[int, Field(description="Number of this restatement of the list, from 1.", ge=1)]
    positions: Annotated[dict[str, int], Field(description="Last sequence folded, by stream.")]
    changed_units: Annotated[int, Field(description="Rows that differ from the closed list.", ge=0)]
    changed: Annotated[
        tuple[RankingRow, ...],
        Field(
            description="The rows that differ, best first; at most 1,000 of them.",
            max_length=ROWS_IN_A_MESSAGE,
        ),
    ]
    causes: Annotated[
        tuple[str, ...],
        Field(
            description="Ids of the correcting events that led to it; at most 100 of them.",
            max_length=CAUSES_IN_A_MESSAGE,
        ),
    ]
