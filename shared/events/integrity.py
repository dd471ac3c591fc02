"""Facts about ratings that look made up. Stream ``INTEGRITY``, producer scoring. Never public.

A stream of its own: whoever may read a stream at all may read each of its messages by sequence, so nothing
that outsiders must not see can live in ``RANKING``.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import EventData, UnitIdField

Signal = Literal[
    "zero_variance", "burst", "co_burst", "terminal_share", "seconds_between", "off_site_gap", "funnel"
]


class UnitFlagged(EventData):
    """A unit's ratings crossed the line of one signal, or came back from it. An observation, no verdict."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(description="Name of the unit.")]
    signal: Annotated[Signal, Field(description="What was looked at.")]
    raised: Annotated[bool, Field(description="True: flagged; false: the flag is taken down.")]
    window_days: Annotated[int, Field(description="Days that were looked at, up to `as_of`.", ge=1)]
    as_of: Annotated[date, Field(description="Last day that was looked at, Asia/Shanghai.")]
    statistic: Annotated[float, Field(description="The number that was compared.")]
    threshold: Annotated[float, Field(description="The rule pack's line that it was compared with.")]
    expected: Annotated[float | None, Field(description="What would be usual, where the signal says so.")] = (
        None
    )
    probability: Annotated[
        float | None, Field(description="Chance of such a number without any cause.", ge=0, le=1)
    ] = None
    figures: Annotated[dict[str, str], Field(description="The numbers behind the statistic, by name.")]
