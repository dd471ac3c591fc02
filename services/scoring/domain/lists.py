"""What a published list is: its key, its rows, its canonical bytes and their hash."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple

from services.scoring.domain.posterior import GroupPrior
from services.scoring.domain.roster import ALL_KINDS
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level

SORTED_BY: Final = "score"
RANKED: Final = "ranked"
UNRANKED: Final = "unranked"
SUPPRESSED: Final = "suppressed"
_KEY_PARTS: Final = 3
_MU_DECIMALS: Final = 6
_STRENGTH_DECIMALS: Final = 4


class ListKey(NamedTuple):
    """Which list: ``<level>.<kind or all>.<window days>``, e.g. ``window.marriage.30`` or ``city.all.7``."""

    level: Level
    kind: str | None
    window_days: int

    def __str__(self) -> str:
        """The key in the bucket and in events."""
        return f"{self.level}.{self.kind or ALL_KINDS}.{self.window_days}"

    @classmethod
    def parse(cls, text: str) -> "ListKey":
        """Read a key.

        Raises:
            InvalidValueError: not of that form.
        """
        parts = text.split(".")
        if len(parts) == _KEY_PARTS and parts[0] in set(Level) and parts[2].isdecimal():
            return cls(Level(parts[0]), None if parts[1] == ALL_KINDS else parts[1], int(parts[2]))
        raise InvalidValueError(
            text, "<level>.<kind or all>.<window days>", "write it like window.marriage.30", field="list"
        )


class Row(NamedTuple):
    """One unit's place in one list; the fields of the event `RankingRow`, in their units.

    Everything but unit, name and status is None for a suppressed unit, and `rank` for an unranked one.
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


def canonical_json(value: object) -> bytes:
    """The one way to write a value: sorted keys, no blanks, UTF-8, shortest form of each number."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def list_hash(canonical: bytes) -> str:
    """``sha256:<hex>`` of a list's canonical document."""
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def row_json(row: Row, name_json: str) -> tuple[bytes, bytes]:
    """``canonical_json`` of a row in two parts, before and after its rank; five times as fast.

    One unit stands in several lists under several ranks, so the parts are made once. A test holds this and
    ``canonical_json(row._asdict())`` together.

    Args:
        row: the row; its rank is not looked at.
        name_json: its name as canonical JSON, which the caller can keep: names do not change.
    """
    unit_id, _, status, _, score, low, high, ratings, n, good, band = row
    if score is None:
        return (
            '{"band":null,"good":null,"interval_high":null,"interval_low":null,"n":null,'
            f'"name":{name_json},"rank":'
        ).encode(), f',"ratings":null,"score":null,"status":"{status}","unit_id":"{unit_id}"}}'.encode()
    share = "null" if good is None else repr(good)
    return (
        f'{{"band":"{band}","good":{share},"interval_high":{high!r},"interval_low":{low!r},"n":{n!r},'
        f'"name":{name_json},"rank":'
    ).encode(), f',"ratings":{ratings},"score":{score!r},"status":"{status}","unit_id":"{unit_id}"}}'.encode()


@dataclass(frozen=True)
class RankedList:
    """One list as it is published, without what differs between equal computations (time, positions).

    Attributes:
        key: which list.
        as_of: last day of its window.
        rules: hash of the rule pack.
        publish_from: ratings from which a unit is published.
        rank_from: ratings from which it is ranked.
        priors: prior of each peer group in the list, by the group's name; see :func:`prior_document`.
        rows: ranked by rank, then unranked by unit id, then suppressed by unit id.
        items: canonical JSON of each row.
    """

    key: ListKey
    as_of: date
    rules: str
    publish_from: int
    rank_from: int
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
            "as_of": self.as_of.isoformat(),
            "sorted_by": SORTED_BY,
            "rules": self.rules,
            "publish_from": self.publish_from,
            "rank_from": self.rank_from,
            "priors": {group: dict(prior) for group, prior in self.priors.items()},
            "units": len(self.rows),
        }

    def canonical(self) -> bytes:
        """The document that two computations are compared by, byte for byte."""
        return b'{"head":%b,"items":[%b]}' % (canonical_json(self.head), b",".join(self.items))

    @cached_property
    def hash(self) -> str:
        """``sha256:<hex>`` of :meth:`canonical`."""
        return list_hash(self.canonical())


def prior_document(prior: GroupPrior, ratings: int, publish_from: int) -> dict[str, Any]:
    """How a list names the prior of a peer group.

    An estimate from fewer than ``publish_from`` ratings is named without its numbers: they would tell what
    single raters said.
    """
    shown = prior.fallback is not None or ratings >= publish_from
    return {
        "source": "rule_pack" if prior.fallback is not None else "estimated",
        "reason": prior.fallback,
        "mu": round(prior.mu, _MU_DECIMALS) if shown else None,
        "strength": round(prior.strength, _STRENGTH_DECIMALS) if shown else None,
        "units": prior.units,
    }


def changed_rows(new: Sequence[Row], old: Sequence[Row] | None) -> list[int]:
    """Places in ``new`` of the rows that differ from what was published before, in the order of the list.

    A suppressed row that was not there before is no change: nothing was, and nothing is said about the unit.
    """
    before = {row.unit_id: row for row in old or ()}
    return [
        place
        for place, row in enumerate(new)
        if (known := before.get(row.unit_id)) != row and not (known is None and row.status == SUPPRESSED)
    ]
