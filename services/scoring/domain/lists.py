"""What a published list is: its key, its rows, its canonical bytes and their hash."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple

from services.scoring.domain.posterior import GroupPrior
from services.scoring.domain.roster import ALL_KINDS
from services.scoring.domain.spans import Period, Span, parse_span
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level

SORTED_BY: Final = "score"
RANKED: Final = "ranked"
UNRANKED: Final = "unranked"
SUPPRESSED: Final = "suppressed"
RANKS_HERE: Final = b"\0"
"""Where a row's ranks go. JSON writes this byte of a name in another way, so it stands there once."""
_KEY_PARTS: Final = 3


class ListKey(NamedTuple):
    """Which list: ``<level>.<kind or all>.<span>``, e.g. ``window.marriage.30`` or ``city.all.2026Q4``."""

    level: Level
    kind: str | None
    span: Span

    def __str__(self) -> str:
        """The key in the bucket and in events."""
        return f"{self.level}.{self.kind or ALL_KINDS}.{self.span}"

    @property
    def window_days(self) -> int:
        """How many days the rolling window, or the whole period, has."""
        return self.span.days

    @property
    def period(self) -> str | None:
        """Label of the calendar period; None for a rolling window."""
        return str(self.span) if isinstance(self.span, Period) else None

    @classmethod
    def parse(cls, text: str) -> "ListKey":
        """Read a key.

        Raises:
            InvalidValueError: not of that form.
        """
        parts = text.split(".")
        if len(parts) != _KEY_PARTS or parts[0] not in set(Level) or not parts[1]:
            raise InvalidValueError(
                text, "<level>.<kind or all>.<span>", "write it like window.marriage.30", field="list"
            )
        return cls(Level(parts[0]), None if parts[1] == ALL_KINDS else parts[1], parse_span(parts[2]))


class Row(NamedTuple):
    """One unit's place in one list; the fields of the event `RankingRow`, in their units.

    Everything but unit, name and status is None for a suppressed unit; `rank` and what belongs to it is None
    for an unranked one.

    Attributes:
        rank: 1 is best.
        score: posterior mean of the good share, x100.
        interval_low: lower end of its 90 % interval, x100.
        interval_high: upper end.
        ratings: plain count.
        n: sum of weights, in ratings.
        good: weighted share of grades 3-5.
        band: against the line for "excellent".
        rank_low: best rank of the 90 % interval of ranks.
        rank_high: worst rank of it.
        rank_change: places climbed (+) or lost (-) since yesterday, or since the period before; None if the
            unit was or is unranked.
        histogram: plain counts of the grades 1 to 5.
        top_two: plain share of grades 4-5.
        index: mean grade on the scale 0-100: 0 if all are 1, 100 if all are 5.
        composite: weighted mean of the parts that there are, see `Composite`.
        dimensions: mean of each dimension's sub-grades, 1-5, by name; those with enough of them.
        sources: ratings and index of each other source, by name; those with enough ratings.
        rectification: how the unit puts right what was complained about, 0-100; None: no case counts, and
            the composite does without.
        cases: settled and overdue cases that it rests on; None: none, or too few to be shown.
        left_out: weight of unproven ratings that is not in `n` because there are so many of them; None: none.
    """

    unit_id: str
    name: str
    status: str
    rank: int | None = None
    score: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    ratings: int | None = None
    n: float | None = None
    good: float | None = None
    band: str | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    rank_change: int | None = None
    histogram: tuple[int, ...] | None = None
    top_two: float | None = None
    index: float | None = None  # type: ignore[assignment] # tuple.index: nobody searches in a row
    composite: float | None = None
    dimensions: Mapping[str, float] | None = None
    sources: Mapping[str, Mapping[str, float]] | None = None
    rectification: float | None = None
    cases: int | None = None
    left_out: float | None = None

    def document(self) -> dict[str, Any]:
        """Its members as they are published; those of `_OPTIONAL` only where there is something to say."""
        found = self._asdict()
        return {name: value for name, value in found.items() if value is not None or name not in _OPTIONAL}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Row":
        """Read a published row; what an older version left out is None, what a newer one adds is skipped.

        Raises:
            KeyError: without unit, name or status.
        """
        known = {name: document[name] for name in cls._fields if name in document}
        if known.get("histogram") is not None:
            known["histogram"] = tuple(known["histogram"])
        return cls(known.pop("unit_id"), known.pop("name"), known.pop("status"), **known)

    def at(self, rank: int, low: int, high: int, change: int | None) -> "Row":
        """The row with its place in one list."""
        # Not `_replace`: it goes by names and takes five times as long, for every ranked row of every list.
        return Row._make((*self[:3], rank, *self[4:11], low, high, change, *self[14:]))


_OPTIONAL: Final = frozenset({"dimensions", "sources", "rectification", "cases", "left_out"})
_NOBODY: Final = (0, 0, 0, 0, 0)


def canonical_json(value: object) -> bytes:
    """The one way to write a value: sorted keys, no blanks, UTF-8, shortest form of each number."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def list_hash(canonical: bytes) -> str:
    """``sha256:<hex>`` of a list's canonical document."""
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


WITHDRAWN_HASH: Final = list_hash(b"")
"""In place of a list's hash once there is no such list: that of the empty value that stands in the bucket."""


def row_json(row: Row, name_json: str) -> bytes:
    """``canonical_json`` of a row with :data:`RANKS_HERE` in place of its ranks; five times as fast.

    One unit stands in several lists under several ranks, so this is made once and :func:`item_json` puts them
    in. A test holds this and ``canonical_json(row.document())`` together.

    Args:
        row: the row; its ranks are not looked at.
        name_json: its name as canonical JSON, which the caller can keep: names do not change.
    """
    if row.score is None:
        return (
            '{"band":null,"composite":null,"good":null,"histogram":null,"index":null,"interval_high":null,'
            f'"interval_low":null,"n":null,"name":{name_json},"rank":\0'
            f',"ratings":null,"score":null,"status":"{row.status}","top_two":null,"unit_id":"{row.unit_id}"}}'
        ).encode()
    # A tuple is taken apart faster than its names are looked up, twenty times for each of 20,000 units.
    (
        unit_id, _, status, _, score, low, high, ratings, n, good, band, _, _, _, histogram, top_two, index,
        composite, dimensions, sources, put_right, cases, left_out,
    ) = row  # fmt: skip
    more = f'"dimensions":{_floats_json(dimensions)},' if dimensions is not None else ""
    apart = f'"sources":{_sources_json(sources)},' if sources is not None else ""
    one, two, three, four, five = histogram or _NOBODY
    of_weight = "null" if good is None else repr(good)
    joined = "null" if composite is None else repr(composite)
    counted = f'"cases":{cases},' if cases is not None else ""
    mended = f'"rectification":{put_right!r},' if put_right is not None else ""
    capped = f'"left_out":{left_out!r},' if left_out is not None else ""
    return (
        f'{{"band":"{band}",{counted}"composite":{joined},{more}"good":{of_weight},'
        f'"histogram":[{one},{two},{three},{four},{five}],'
        f'"index":{index!r},"interval_high":{high!r},"interval_low":{low!r},'
        f'{capped}"n":{n!r},"name":{name_json},"rank":\0'
        f',"ratings":{ratings},{mended}"score":{score!r},{apart}"status":"{status}",'
        f'"top_two":{top_two!r},"unit_id":"{unit_id}"}}'
    ).encode()


def _floats_json(values: Mapping[str, float]) -> str:
    return "{" + ",".join(f'"{name}":{values[name]!r}' for name in sorted(values)) + "}"


def _sources_json(sources: Mapping[str, Mapping[str, float]]) -> str:
    return "{" + ",".join(f'"{name}":{_floats_json(sources[name])}' for name in sorted(sources)) + "}"


def item_json(written: bytes, rank: int, low: int, high: int, change: int | None) -> bytes:
    """The canonical JSON of a ranked row from what :func:`row_json` wrote."""
    if change is None:
        ranks = b'%d,"rank_change":null,"rank_high":%d,"rank_low":%d' % (rank, high, low)
    else:
        ranks = b'%d,"rank_change":%d,"rank_high":%d,"rank_low":%d' % (rank, change, high, low)
    return written.replace(RANKS_HERE, ranks, 1)


def unranked_json(written: bytes) -> bytes:
    """The canonical JSON of a row without a rank from what :func:`row_json` wrote."""
    return written.replace(RANKS_HERE, b'null,"rank_change":null,"rank_high":null,"rank_low":null', 1)


@dataclass(frozen=True)
class RankedList:
    """One list as it is published, without what differs between equal computations (time, positions).

    Attributes:
        key: which list.
        as_of: last day of its window; a period's list has what is known on that day.
        rules: hash of the rule pack.
        registry: hash of the units of the day, see `Roster.hash`.
        publish_from: ratings from which a unit is published.
        rank_from: ratings from which it is ranked.
        composite_weights: weight of each part of the composite.
        top: how many ranked units are named at the top.
        bottom: how many of the others at the bottom.
        priors: prior of each peer group in the list, by the group's name; see :func:`prior_document`.
        rows: ranked by rank, then unranked by unit id, then suppressed by unit id.
        items: canonical JSON of each row.
    """

    key: ListKey
    as_of: date
    rules: str
    registry: str
    publish_from: int
    rank_from: int
    composite_weights: Mapping[str, float]
    top: int
    bottom: int
    priors: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Row]
    items: Sequence[bytes]

    @cached_property
    def head(self) -> dict[str, Any]:
        """What the list says about itself; part of the hash."""
        return {
            "list": str(self.key),
            "level": str(self.key.level),
            "kind": self.key.kind,
            "window_days": self.key.window_days,
            "period": self.key.period,
            "as_of": self.as_of.isoformat(),
            "sorted_by": SORTED_BY,
            "rules": self.rules,
            "registry": self.registry,
            "publish_from": self.publish_from,
            "rank_from": self.rank_from,
            "priors": {group: dict(prior) for group, prior in self.priors.items()},
            "composite_weights": dict(self.composite_weights),
            "units": len(self.rows),
            "naming": {"top": self.top, "bottom": self.bottom},
            **ends_of(self.rows, self.top, self.bottom),
        }

    def canonical(self) -> bytes:
        """The document that two computations are compared by, byte for byte."""
        return b'{"head":%b,"items":[%b]}' % (canonical_json(self.head), b",".join(self.items))

    @cached_property
    def hash(self) -> str:
        """``sha256:<hex>`` of :meth:`canonical`."""
        return list_hash(self.canonical())


class KnownRows(Sequence[Row], ABC):
    """Rows that are made when somebody looks at them, and know some things without that."""

    __slots__ = ()

    @property
    @abstractmethod
    def ranked(self) -> int:
        """How many have a rank; they come first."""

    @abstractmethod
    def differs(self, other: Sequence[Row]) -> list[bool] | None:
        """Which rows are others than the same unit's in ``other``; None: only a look at each can tell."""


def ends_of(rows: Sequence[Row], top: int, bottom: int) -> dict[str, list[str]]:
    """Unit ids of the best and of the worst ranked ones, by rank; no unit is in both.

    Args:
        rows: in the order of the list: ranked ones first.
        top: how many to name at the top.
        bottom: how many of the others to name at the bottom.
    """
    if isinstance(rows, KnownRows):
        ranked = rows.ranked
    else:
        ranked = next((place for place, row in enumerate(rows) if row.status != RANKED), len(rows))
    first = max(min(top, ranked), ranked - bottom)
    return {
        "top": [row.unit_id for row in rows[: min(top, ranked)]],
        "bottom": [row.unit_id for row in rows[first:ranked]],
    }


def prior_document(prior: GroupPrior, ratings: int, publish_from: int) -> dict[str, Any]:
    """How a list names the prior of a peer group.

    An estimate from fewer than ``publish_from`` ratings is named without its numbers: they would tell what
    single raters said.
    """
    shown = prior.fallback is not None or ratings >= publish_from
    return {
        "source": "rule_pack" if prior.fallback is not None else "estimated",
        "reason": prior.fallback,
        "mu": prior.mu if shown else None,
        "strength": prior.strength if shown else None,
        "units": prior.units,
    }


def shows_something(rows: Sequence[Row]) -> bool:
    """Whether a list, in its order, shows figures of any unit: those that are hidden come last."""
    return bool(rows) and rows[0].status != SUPPRESSED


def changed_rows(new: Sequence[Row], old: Sequence[Row] | None) -> list[int]:
    """Places in ``new`` of the rows that differ from what was published before, in the order of the list.

    A suppressed row that was not there before is no change: nothing was, and nothing is said about the unit.
    """
    differs = new.differs(old) if isinstance(new, KnownRows) and old is not None else None
    if differs is not None:
        return [place for place, differing in enumerate(differs) if differing]
    before = {row.unit_id: row for row in old or ()}
    return [
        place
        for place, row in enumerate(new)
        if (known := before.get(row.unit_id)) != row and not (known is None and row.status == SUPPRESSED)
    ]
