"""Stuffing: how far do 200 invented top grades lift a bad unit, with and without the cap on clusters?

Somebody gives one unit 200 anonymous ratings "very satisfied" from a few devices within a few quarters of
an hour. The unit stood at the 4th percentile of all ranked units; the rule is that it must not get past the
10th. The weights come from the platform's own formula (`cluster_share_milli`) and rule pack. Capped: what the
cap on clusters alone leaves. Screened: what is left after intake's screening has held what it holds, too, at
a unit that usually gets `USUAL` unverified ratings a day; most get fewer, and there it holds no less.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from services.intake.domain.screening import Hold, Screen, Seen
from services.scoring.domain.clusters import cluster_share_milli
from shared.kernel.grades import Verification
from tests.bench import simulation
from tests.bench.figures import Bound, Comparison, Figure, Goal, Series
from tests.bench.ways import RULES, Floats, Integers, ours

STUFFED: Final = 200
FROM_PERCENTILE: Final = 4.0
LIMIT: Final = 10.0
PROVINCES: Final = 200
SEED: Final = 12
SIGMA: Final = 1.0
MILLI: Final = 1000
USUAL: Final = 2
DAY_MS: Final = 86_400_000
BIN_MS: Final = 900_000
START_MS: Final = 20_000 * DAY_MS


class Attack(NamedTuple):
    """How the ratings are spread: evenly.

    Attributes:
        devices: how many different devices.
        addresses: how many network addresses those share.
        bins: over how many quarters of an hour.
    """

    devices: int
    addresses: int
    bins: int

    def weight(self) -> float:
        """Ratings that all of it weighs under the cap: each has the smaller share of its two clusters."""
        return self._weight_of(range(STUFFED))

    def screened(self) -> float:
        """Ratings that all of it weighs under the cap once screening has held what it holds."""
        screen = Screen(RULES.intake.screening)
        for number in range(30 * USUAL):
            at = START_MS - (30 * USUAL - number) * DAY_MS // USUAL
            screen.look_at(
                Seen(f"own {number}", 0, "U", "k", at, "public", "web", "anonymous", f"own {number}")
            )
        left = set(range(STUFFED))
        for number in sorted(range(STUFFED), key=lambda number: (number % self.bins, number)):
            bin_, place = number % self.bins, number // self.bins
            at = START_MS + bin_ * BIN_MS + place * self.bins * BIN_MS // STUFFED
            device, address = (number // self.bins % count for count in (self.devices, self.addresses))
            seen = Seen(
                f"{number}", 0, "U", "k", at, "public", "web", "anonymous", f"d{device}", f"a{address}"
            )
            for decided in screen.look_at(seen):
                if not decided.event_id.startswith("own"):
                    (left.discard if isinstance(decided, Hold) else left.add)(int(decided.event_id))
        return self._weight_of(left)

    def _weight_of(self, numbers: Collection[int]) -> float:
        """What those weigh by themselves; they are dealt out to bins, then devices and addresses, in turn."""
        full = RULES.weights_milli[Verification.ANONYMOUS]
        keys = {
            number: [
                (number % self.bins, kind, number // self.bins % count)
                for kind, count in (("device", self.devices), ("address", self.addresses))
            ]
            for number in numbers
        }
        sizes = Counter(key for both in keys.values() for key in both)
        total = sum(
            full * min(cluster_share_milli(sizes[key]) for key in both) // MILLI for both in keys.values()
        )
        return total / MILLI

    def __str__(self) -> str:
        """For the table."""
        return (
            f"{_count(self.devices, 'device')}, {_count(self.addresses, 'address', 'addresses')}, "
            f"{_count(self.bins, 'quarter of an hour', 'quarters of an hour')}"
        )


FEW: Final = (Attack(1, 1, 1), Attack(2, 2, 2), Attack(5, 1, 4))
"""A few devices within a few quarters of an hour: here the limit has to hold."""
MORE: Final = (Attack(3, 3, 4), Attack(5, 5, 4), Attack(20, 20, 5), Attack(STUFFED, STUFFED, 1))
"""More effort: shows how far the cap alone carries."""
UNCAPPED: Final = STUFFED * RULES.weights_milli[Verification.ANONYMOUS] / MILLI


def measure() -> tuple[Comparison, Figure]:
    """The percentiles after each attack, and the limit."""
    rows = [("every rating counts fully (no weights at all)", float(STUFFED))]
    rows.append(("weighted as anonymous, no cap", UNCAPPED))
    rows += [(f"capped: {attack}", attack.weight()) for attack in (*FEW, *MORE)]
    rows += [(f"screened: {attack}", attack.screened()) for attack in (*FEW, *MORE)]
    reached = [_percentiles(weight) for _, weight in rows]
    comparison = Comparison(
        f"Where a unit from the 4th percentile ends: {PROVINCES} simulated provinces",
        ("200 stuffed ratings", "weigh", "mean percentile after", "highest", "past the 10th"),
        tuple(
            (
                name,
                f"{weight:.1f} ratings",
                f"{found.mean():.1f} ± {found.std(ddof=1) / np.sqrt(len(found)):.1f}",
                f"{found.max():.1f}",
                f"{100 * (found > LIMIT).mean():.0f} %",
            )
            for (name, weight), found in zip(rows, reached, strict=True)
        ),
    )
    highest = max(
        float(found.max())
        for (name, _), found in zip(rows, reached, strict=True)
        if name.startswith("screened") or name in {f"capped: {attack}" for attack in FEW}
    )
    figure = Figure(
        "highest percentile after stuffing, capped from few devices or screened", "", Series((highest,)),
        goal=Goal(Bound.AT_MOST, LIMIT),
    )  # fmt: skip
    return comparison, figure


def _seen(event_id: str, at_ms: int, device: str, address: str | None = None) -> Seen:
    return Seen(event_id, 0, "U", "k", at_ms, "public", "web", "anonymous", device, address)


def _percentiles(extra: float) -> Floats:
    """Percentile of the stuffed unit in each province afterwards."""
    chance = np.random.default_rng(SEED)
    found = []
    for _ in range(PROVINCES):
        truth = simulation.draw_truth(chance)
        n, k = simulation.draw_ratings(truth, SIGMA, chance)
        unit = _at_percentile(n, k)
        n[unit] += extra
        k[unit] += extra
        found.append(_percentile_of(unit, n, k))
    return np.array(found)


def _ranked(n: Floats) -> Integers:
    return np.flatnonzero(n >= RULES.suppression.rank_from)


def _at_percentile(n: Floats, k: Floats) -> int:
    ranked = _ranked(n)
    score = ours(n, k, simulation.GROUPS).score[ranked]
    return int(ranked[np.argsort(score, kind="stable")[int(FROM_PERCENTILE / 100 * len(ranked))]])


def _percentile_of(unit: int, n: Floats, k: Floats) -> float:
    ranked = _ranked(n)
    score = ours(n, k, simulation.GROUPS).score
    return float(100 * (score[ranked] < score[unit]).sum() / len(ranked))


def _count(number: int, one: str, more: str | None = None) -> str:
    return f"{number} {one if number == 1 else more or f'{one}s'}"
