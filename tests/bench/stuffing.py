"""Stuffing: how far do 200 invented top grades lift a bad unit, and what stops them?

Somebody gives one unit 200 unproven ratings "very satisfied", either from a few devices within a few quarters
of an hour, or each from a device and address of its own, over days and weeks. The unit stood at the 4th
percentile of all ranked units; the rule is that it must not get past the 10th. Three things stand against it:
the cap on clusters and the cap on unproven ratings in scoring, and between them intake's screening, here at a
unit that usually gets `USUAL` unverified ratings a day; most get fewer, and there it holds no less. Clusters,
screening and the cap are the platform's own code under its rule pack.

Of a unit's own ratings the share `PROVEN` has a verified transaction or a token, drawn for each rating; what
the others weigh is drawn by `OTHERS`, the mix of the traffic that screening is tested with. All units are
scored by what counts of them, the stuffed one and the others. All 200 are within the span that is ranked.
"""

from collections import Counter
from collections.abc import Collection
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from services.intake.domain.screening import Hold, Screen
from services.intake.domain.screening_seen import Seen
from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.clusters import cluster_share_milli
from services.scoring.domain.posterior import estimate_prior, scores
from services.scoring.domain.unproven import NO_CAP, Weighed, weighed
from shared.kernel.grades import Verification
from shared.rules.unproven import UnprovenCap
from tests.bench import simulation
from tests.bench.figures import Bound, Comparison, Figure, Goal, Series
from tests.bench.ways import RULES, Flags, Floats, Integers

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
PROVEN: Final = 2 / 3
"""Of all ratings."""
OTHERS: Final = {Verification.REAL_NAME: 1 / 8, Verification.ONSITE: 3 / 4, Verification.ANONYMOUS: 1 / 8}
"""Of those without a proof."""


class Attack(NamedTuple):
    """A few devices within a few quarters of an hour, anonymous; how the ratings are spread: evenly.

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
        attack = []
        for number in sorted(range(STUFFED), key=lambda number: (number % self.bins, number)):
            bin_, place = number % self.bins, number // self.bins
            at = START_MS + bin_ * BIN_MS + place * self.bins * BIN_MS // STUFFED
            device, address = (number // self.bins % count for count in (self.devices, self.addresses))
            attack.append(_seen(f"{number}", at, Verification.ANONYMOUS, f"d{device}", f"a{address}"))
        return self._weight_of(_let_through(attack))

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


class Drip(NamedTuple):
    """Each rating from a device and address of its own, evenly over so many days."""

    days: int
    verification: Verification

    def weight(self) -> float:
        """Ratings that all of it weighs: no two are in a cluster."""
        return self._weight_of(STUFFED)

    def screened(self) -> float:
        """Ratings that all of it weighs once screening has held what it holds."""
        attack = [
            _seen(
                f"{number}",
                START_MS + number * self.days * DAY_MS // STUFFED,
                self.verification,
                f"d{number}",
                f"a{number}",
            )
            for number in range(STUFFED)
        ]
        return self._weight_of(len(_let_through(attack)))

    def _weight_of(self, ratings: int) -> float:
        return ratings * RULES.weights_milli[self.verification] / MILLI

    def __str__(self) -> str:
        """For the table."""
        return f"{self.verification.replace('_', ' ')}, {STUFFED} devices and addresses, {self.days} days"


FEW: Final = (Attack(1, 1, 1), Attack(2, 2, 2), Attack(5, 1, 4))
"""A few devices within a few quarters of an hour: here the cap on clusters has to suffice."""
MORE: Final = (Attack(3, 3, 4), Attack(5, 5, 4), Attack(20, 20, 5), Attack(STUFFED, STUFFED, 1))
"""More effort: shows how far the cap on clusters carries by itself."""
SLOW: Final = tuple(
    Drip(days, verification)
    for verification in (Verification.ANONYMOUS, Verification.ONSITE, Verification.REAL_NAME)
    for days in (7, 14, 28, 60)
)
"""Patience: nothing about a single one of them is odd."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        weight: what the stuffed ratings weigh before the cap on unproven ones.
        cap: that cap.
        goal: whether the limit has to hold.
    """

    name: str
    weight: float
    cap: UnprovenCap
    goal: bool


def measure() -> tuple[list[Comparison], Figure]:
    """The percentiles after each attack, what the cap costs everybody else, and the limit."""
    rows = _rows()
    reached = [percentiles(row.weight, row.cap) for row in rows]
    comparison = Comparison(
        f"Where a unit from the 4th percentile ends: {PROVINCES} simulated provinces",
        ("200 stuffed ratings", "weigh", "and count", "mean percentile after", "highest", "past the 10th"),
        tuple(
            (
                row.name,
                f"{row.weight:.1f} ratings",
                f"{found.counted.mean():.1f}",
                f"{found.after.mean():.1f} ± {found.after.std(ddof=1) / np.sqrt(len(found.after)):.1f}",
                f"{found.after.max():.1f}",
                f"{100 * (found.after > LIMIT).mean():.0f} %",
            )
            for row, found in zip(rows, reached, strict=True)
        ),
    )
    highest = max(float(found.after.max()) for row, found in zip(rows, reached, strict=True) if row.goal)
    figure = Figure(
        "highest percentile after stuffing, all caps and screening", "", Series((highest,)),
        goal=Goal(Bound.AT_MOST, LIMIT),
    )  # fmt: skip
    return [comparison, cost_to_the_honest()], figure


def _rows() -> list[Row]:
    cap = RULES.unproven
    anonymous = STUFFED * RULES.weights_milli[Verification.ANONYMOUS] / MILLI
    found = [
        Row("every rating counts fully (no weights at all)", float(STUFFED), NO_CAP, goal=False),
        Row("weighted as anonymous, no cap", anonymous, NO_CAP, goal=False),
    ]
    found += [Row(f"clusters: {attack}", attack.weight(), NO_CAP, attack in FEW) for attack in (*FEW, *MORE)]
    found += [
        Row(f"and screening: {attack}", attack.screened(), NO_CAP, goal=True) for attack in (*FEW, *MORE)
    ]
    found += [Row(f"and screening: {drip}", drip.screened(), NO_CAP, goal=False) for drip in SLOW]
    found += [Row(f"and the cap: {drip}", drip.screened(), cap, goal=True) for drip in SLOW]
    return found


# --- screening ----------------------------------------------------------------------------------------------


def _let_through(attack: list[Seen]) -> set[int]:
    """The numbers of those that screening does not hold, at a unit that goes on getting its own ratings."""
    last = attack[-1].received_ms
    first = START_MS - 30 * DAY_MS
    step = DAY_MS // USUAL
    own = [_seen(f"own {at}", at, Verification.ANONYMOUS, f"own {at}") for at in range(first, last, step)]
    screen, left = Screen(RULES.intake.screening), set(range(STUFFED))
    for seen in sorted([*own, *attack], key=lambda seen: seen.received_ms):
        for decided in screen.look_at(seen):
            if not decided.event_id.startswith("own"):
                (left.discard if isinstance(decided, Hold) else left.add)(int(decided.event_id))
    return left


def _seen(
    event_id: str, at_ms: int, verification: Verification, device: str, address: str | None = None
) -> Seen:
    return Seen(event_id, 0, "U", "k", at_ms, "public", "web", str(verification), device, address)


# --- provinces ----------------------------------------------------------------------------------------------


class Province(NamedTuple):
    """A simulated province: the true good shares, and what the buckets would add up."""

    truth: Floats
    table: IntTable


class Reached(NamedTuple):
    """Of each province: what the unit weighs more than before, in ratings, and its percentile afterwards."""

    counted: Floats
    after: Floats


@cache
def provinces() -> tuple[Province, ...]:
    """The same ones for every attack."""
    chance = np.random.default_rng(SEED)
    return tuple(_province(chance) for _ in range(PROVINCES))


def _province(chance: np.random.Generator) -> Province:
    truth = simulation.draw_truth(chance)
    ratings = simulation.draw_ratings(truth, SIGMA, chance)[0].astype(np.int64)
    table = np.zeros((len(truth), WIDTH), dtype=np.int64)
    table[:, Column.RATINGS] = ratings
    proven = chance.binomial(ratings, PROVEN)
    table[:, Column.PROVEN] = MILLI * proven
    table[:, Column.PROVEN_GOOD] = MILLI * chance.binomial(proven, truth)
    others = chance.multinomial(ratings - proven, list(OTHERS.values()))
    for verification, count in zip(OTHERS, others.T, strict=True):
        weight = RULES.weights_milli[verification]
        table[:, Column.UNPROVEN] += weight * count
        table[:, Column.UNPROVEN_GOOD] += weight * chance.binomial(count, truth)
    return Province(truth, table)


def percentiles(extra: float, cap: UnprovenCap) -> Reached:
    """What becomes of a bad unit of each province that gets so much unproven weight, all of it good."""
    counted, after = [], []
    more = round(extra * MILLI)
    for province in provinces():
        before = weighed(province.table, cap)
        ranked = _ranked(before)
        order = np.argsort(_scores(before)[ranked], kind="stable")
        unit = int(ranked[order[int(FROM_PERCENTILE / 100 * len(ranked))]])
        stuffed = province.table.copy()
        stuffed[unit, [Column.UNPROVEN, Column.UNPROVEN_GOOD]] += more
        now = weighed(stuffed, cap)
        score = _scores(now)
        counted.append((now[unit, Weighed.WEIGHT] - before[unit, Weighed.WEIGHT]) / MILLI)
        after.append(100 * (score[ranked] < score[unit]).sum() / len(ranked))
    return Reached(np.array(counted), np.array(after))


def _ranked(table: IntTable) -> Integers:
    return np.flatnonzero(table[:, Weighed.RATINGS] >= RULES.suppression.rank_from)


def _scores(table: IntTable) -> Floats:
    """The platform's score of every unit under the prior of its kind."""
    weight, good, groups = table[:, Weighed.WEIGHT], table[:, Weighed.GOOD], simulation.GROUPS
    priors = [
        estimate_prior(weight[groups == each], good[groups == each], RULES.prior) for each in set(groups)
    ]
    mu, strength = (
        np.array(each)[groups] for each in zip(*((p.mu, p.strength) for p in priors), strict=True)
    )
    return scores(weight, good, mu, strength)


def cost_to_the_honest() -> Comparison:
    """What the cap does where nobody stuffs, in units that are ranked."""
    columns = {"without the cap": NO_CAP, "with the cap": RULES.unproven}
    cells = zip(*(_honest(cap) for cap in columns.values()), strict=True)
    return Comparison(
        f"What the cap on unproven ratings costs where nobody stuffs: {PROVINCES} simulated provinces",
        ("ranked units", *columns),
        tuple((name, *pair) for name, pair in zip(HONEST, cells, strict=True)),
    )


HONEST: Final = (
    "units of which something is left out",
    "weight that is left out",
    "bottom three of the province are among its worst 5 %",
    "top ten of the province are among its best 5 %",
)


def _honest(cap: UnprovenCap) -> tuple[str, ...]:
    """To HONEST, in their order: means over the provinces."""
    found = []
    for province in provinces():
        table, score = weighed(province.table, cap), _scores(weighed(province.table, cap))
        ranked: Flags = table[:, Weighed.RATINGS] >= RULES.suppression.rank_from
        left_out, weight = table[ranked, Weighed.LEFT_OUT], table[ranked, Weighed.WEIGHT]
        found.append(
            (
                (left_out > 0).mean(),
                left_out.sum() / (left_out + weight).sum(),
                simulation.right_share(score, province.truth, ranked),
                simulation.right_share(-score, -province.truth, ranked, simulation.TOP),
            )
        )
    return tuple(f"{100 * share:.1f} %" for share in np.mean(found, axis=0))


def _count(number: int, one: str, more: str | None = None) -> str:
    return f"{number} {one if number == 1 else more or f'{one}s'}"
