"""What the demonstration can play: a simulated day, or real ratings; made only when it is to be played."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from deploy.local.demo.simulation import plan_day
from shared.kernel.units import load_units

if TYPE_CHECKING:
    from deploy.local.demo.real import RealRatings


@dataclass(frozen=True, slots=True)
class Script:
    """What to play.

    Attributes:
        name: names what is played, so that a second run knows that it is there already.
        day: the day that it happens on.
        lines: makes the bodies for intake, half a second of work; not called when they are there already.
        grades: gives unit id → its grades, where the ranking is to be computed independently from them.
    """

    name: str
    day: date
    lines: Callable[[], Sequence[bytes]]
    grades: Callable[[], Mapping[str, Sequence[int]]] | None = None


def simulated_day(day: date, *, ratings: int, seed: int) -> Script:
    """The whole province on ``day``; see `plan_day`."""
    return Script(
        f"{day}-{ratings}-{seed}",
        day,
        lambda: plan_day(load_units(), day, ratings=ratings, seed=seed).lines,
    )


def insteval(day: date) -> Script:
    """InstEval as if it had happened on ``day``; see `load_insteval`.

    Its name is the same on every day: so is the data set, and its references make a repeat harmless.
    """

    @cache
    def loaded() -> "RealRatings":
        from deploy.local.demo.real import load_insteval  # noqa: PLC0415 - numpy, which no simulated day needs

        return load_insteval(load_units(), day)

    return Script("insteval", day, lambda: loaded().lines, lambda: loaded().grades)
