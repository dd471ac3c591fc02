"""The story of a rating: what was received, what it led to, and by which tie each step was found. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.kernel.clock import SHANGHAI


class Tie(StrEnum):
    """How a step is known to belong to the story."""

    ASKED = "asked"
    """It is what was asked for."""
    CORRELATION = "correlation"
    """It carries the correlation id of a step."""
    CAUSATION = "causation"
    """It names a step as its cause, or a step names it."""
    DERIVED = "derived"
    """Its id belongs to a step: a rating's revision, an alert's acknowledgement, a dead letter."""
    CASE = "case"
    """It is about the same rectification case."""
    POSITION = "position"
    """The first ranking that had folded the stream up to the step, and shows the unit anew."""
    UNIT = "unit"
    """The unit's first move after that ranking; other ratings since then may have their part in it."""
    RESTATEMENT = "restatement"
    """It names a step among the corrections that changed a closed list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a story.

    Attributes:
        stage: what it means for the rating, one word: received, counted, rank_moved, alert, delivered …
        summary: the event in a few words, without anything of a person.
        of: event id of the step that ``tie`` leads from; None for what was asked for.
    """

    index: int
    stream: str
    sequence: int
    event_id: str
    type: str
    stage: str
    summary: str
    time: datetime
    received_at: datetime
    actor: str | None
    correlation_id: str
    causation_id: str | None
    tie: Tie
    of: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """The steps in the order in which the platform learned of them.

    Attributes:
        asked: the id that was asked for.
        notes: what was left out, and why; empty if nothing was.
        size: entries in the log as it was told.
    """

    asked: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    size: int


_TIMED: Final = 1000


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """By the time that the platform received or decided each, causes first, then by place in the log.

    Streams are archived side by side: of two events of one moment, the effect may be in the log before.
    """
    found = tuple(steps)
    causes = {step.event_id: step.causation_id for step in found}
    return tuple(sorted(found, key=lambda step: (step.received_at, _effects_since(step, causes), step.index)))


def _effects_since(step: Step, causes: Mapping[str, str | None]) -> int:
    """How many steps of the story lead to this one; ids that claim a circle count as far as they go."""
    seen: set[str] = set()
    cause = step.causation_id
    while cause is not None and cause in causes and cause not in seen:
        seen.add(cause)
        cause = causes[cause]
    return len(seen)


def as_text(story: Story) -> str:
    """The story for a terminal: one line for each step, times in Asia/Shanghai, then what was left out."""
    lines = [f"{story.asked}: {len(story.steps)} events, in a log of {story.size} entries"]
    first = story.steps[0].received_at if story.steps else None
    width = max((len(step.stage) for step in story.steps), default=0)
    for step in story.steps:
        moment = step.received_at.astimezone(SHANGHAI)
        after = "" if first is None else _after((step.received_at - first).total_seconds())
        by = f", by {step.actor}" if step.actor is not None else ""
        place = f"[{step.stream} {step.sequence}, #{step.index}; {step.tie}]"
        lines.append(
            f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // _TIMED:03d} {after:>9}  "
            f"{step.stage:<{width}}  {step.summary}{by}  {place}"
        )
    return "\n".join([*lines, *(f"Note: {note}" for note in story.notes)]) + "\n"


_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0


def _after(seconds: float) -> str:
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit:
            return f"+{seconds / unit:.1f} {name}"
    return f"+{seconds:.2f} s"
