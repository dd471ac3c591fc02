"""Recomputing rankings of the past beside a platform: as they were, and as they would have been."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final

from deploy.local.broker import cli_connection
from deploy.local.errors import LocalError
from deploy.local.history.moments import Moment
from deploy.local.history.records import Record, read_archived_records, read_streamed_records
from deploy.local.history.sources import ARCHIVE, STREAM, Source, fold_into, require_reached
from deploy.local.layout import Layout
from services.scoring.adapters.nats_ranking_store import read_all_lists
from services.scoring.application.fold import Fold
from services.scoring.application.published import PublishedList
from services.scoring.application.recompute import diff_lists, merged, stops_like
from services.scoring.application.replay import Replay, Stop
from services.scoring.application.what_if import WhatIf, what_if
from services.scoring.domain.lists import RankedList
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack, load_pack, load_packs, pack_by_hash

KEYS_SHOWN: Final = 6


class NothingRecordedError(LocalError):
    """No ranking had been published at the moment that was asked for."""


class UnknownListError(LocalError):
    """No list has the key that was asked for."""


@dataclass(frozen=True, slots=True)
class Packs:
    """The rule packs at hand: those in ``folder`` (a file or a folder; None: none) and the committed ones."""

    folder: Path | None

    def by_hash(self, pack_hash: str) -> RulePack:
        """The pack with that content hash.

        Raises:
            UnknownPackError: none has it.
        """
        return pack_by_hash(pack_hash, self.folder, None)

    def on(self, day: date) -> RulePack:
        """The pack in force on a day.

        Raises:
            RulePackError: none is, or one is invalid.
        """
        return load_pack(self.folder, day)


def read_other_pack(path: Path) -> RulePack:
    """The one pack in ``path``, whenever it is in force.

    Raises:
        RulePackError: it is invalid; all of its problems.
        LocalError: there are several.
    """
    packs = load_packs(path)
    if len(packs) > 1:
        raise LocalError(describe(str(path), "one rule pack in --rules", "name one file of that folder"))
    return packs[0]


@dataclass(frozen=True, slots=True)
class Folded:
    """What a recomputation was made from: ratings, messages that are no events, the first sequence."""

    ratings: int
    invalid: int
    first: int

    @classmethod
    def of(cls, replay: Replay) -> "Folded":
        """What a replay has seen."""
        return cls(replay.ratings, replay.invalid, replay.first)


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """The published lists against those recomputed: in how many lines they differ; none: nowhere."""

    lists: Mapping[str, RankedList]
    published: int
    differences: Sequence[str]
    folded: Folded


async def check_live(
    source: Source, layout: Layout, packs: Packs, only: str | None, registry: UnitRegistry
) -> LiveCheck:
    """Recompute every list that is published now, or `only` one, at its own position; row by row.

    Raises:
        PingyiError: something can't be read, or ends too early.
    """
    live = await _read_live(layout, only)
    replay = Replay(registry, stops_like(live, packs.on))
    # All of the stream: whoever compares the count of messages wants to see what came last, too.
    await fold_into((replay,), source, layout, to_end=source.name == STREAM)
    lists = merged(replay.finish())
    folded = Folded(replay.read, replay.invalid, replay.first)
    return LiveCheck(lists, len(live), diff_lists(live, lists), folded)


async def _read_live(layout: Layout, only: str | None) -> dict[str, PublishedList]:
    async with cli_connection(layout) as client:
        live = await read_all_lists(client)
    return {key: live[key] for key in _chosen(live, only)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One list as it was recorded and as it was recomputed; None: its own rules know no such list."""

    record: Record
    recomputed: RankedList | None

    @property
    def equal(self) -> bool:
        """Whether both are the same bytes."""
        return self.recomputed is not None and self.recomputed.hash == self.record.list_hash


@dataclass(frozen=True, slots=True)
class PastCheck:
    """The rankings of one moment against those recomputed.

    Attributes:
        verdicts: one for each list with a record, by key.
        without_record: lists of that day that had never been recorded: none of their rows was ever shown.
    """

    verdicts: tuple[Verdict, ...]
    without_record: tuple[str, ...]
    folded: Folded


async def check_past(
    source: Source, layout: Layout, packs: Packs, moment: Moment, only: str | None, registry: UnitRegistry
) -> PastCheck:
    """Recompute every list that was in force at a moment, or `only` one, where it says that it was computed.

    Raises:
        PingyiError: nothing was recorded then, a pack is unknown, something can't be read or ends too early.
    """
    keys_at = _keys_at(registry, packs)
    records = await _find_records(source, layout, moment, keys_at)
    expected = keys_at(_newest(records.values()))
    # Without a name: those in force then. Others are of kinds or periods that were gone by that time.
    chosen = expected if only is None else _chosen({*expected, *records}, only)
    wanted = [records[key] for key in sorted(chosen) if key in records]
    replay = Replay(
        registry,
        [
            Stop(each.position, each.as_of, packs.by_hash(each.rules), frozenset({each.list}), each.cases)
            for each in wanted
        ],
    )
    await fold_into((replay,), source, layout)
    lists = merged(replay.finish())
    return PastCheck(
        tuple(Verdict(record, lists.get(record.list)) for record in wanted),
        tuple(sorted(key for key in chosen if key not in records)),
        Folded.of(replay),
    )


async def _find_records(
    source: Source, layout: Layout, moment: Moment, keys_at: Callable[[Record], frozenset[str]]
) -> dict[str, Record]:
    """The newest record of each list up to the moment; what the stream no longer has, from the archive."""
    await require_reached(moment, source, layout)

    def complete(found: Mapping[str, Record]) -> bool:
        return bool(found) and found.keys() >= keys_at(_newest(found.values()))

    records: dict[str, Record] = {}
    whole = False
    if source.name != ARCHIVE:
        async with cli_connection(layout) as client:
            records, whole = await read_streamed_records(client, moment)
    if not whole and not complete(records):
        url = layout.service_url("archive")

        def both(found: Mapping[str, Record]) -> bool:
            return complete({**found, **records})

        records = {**await asyncio.to_thread(read_archived_records, url, moment, both), **records}
    if not records:
        expected = "a moment at or after the first published ranking"
        raise NothingRecordedError(describe(moment.text, expected, "name a later one in --at"))
    return {key: record for key, record in records.items() if not record.withdrawn}


def _keys_at(registry: UnitRegistry, packs: Packs) -> Callable[[Record], frozenset[str]]:
    """Gives the keys of all lists that there are on the day and under the rules of a record."""

    @cache
    def keys(rules: str, as_of: date) -> frozenset[str]:
        return frozenset(Fold(registry, packs.by_hash(rules), as_of).lists())

    return lambda record: keys(record.rules, record.as_of)


def _newest(records: Iterable[Record]) -> Record:
    return max(records, key=lambda record: (record.position, record.as_of, record.cases, record.decided_at))


def chosen_lists(lists: Mapping[str, RankedList], only: str | None) -> dict[str, RankedList]:
    """All of the lists, or `only` one.

    Raises:
        UnknownListError: there is no such list; the message names those there are.
    """
    return {key: lists[key] for key in _chosen(lists, only)}


def _chosen(known: Collection[str], only: str | None) -> list[str]:
    if only is None:
        return list(known)
    if only not in known:
        near = ", ".join(get_close_matches(only, known, n=KEYS_SHOWN, cutoff=0.0))
        expected = f"one of the {len(known)} lists, such as {near}" if known else "a list; there is none"
        raise UnknownListError(describe(only, expected, "correct --list"))
    return [only]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One place in the stream under its own pack and under another.

    Attributes:
        position: last sequence of FEEDBACK that both take into account.
        as_of: last day of the windows.
        own: the pack that was in force.
        other: the other one.
        lists: all lists under the other one.
        change: what would be different.
    """

    position: int
    as_of: date
    own: RulePack
    other: RulePack
    lists: Mapping[str, RankedList]
    change: WhatIf
    folded: Folded


async def suppose(
    source: Source,
    layout: Layout,
    packs: Packs,
    moment: Moment | None,
    other: RulePack,
    registry: UnitRegistry,
) -> Hypothesis:
    """Recompute the rankings of a moment (None: the published ones) under their own pack and another.

    The place is that of the newest ranking at that moment; lists that had not changed since are computed
    there too, so that all of them speak of the same ratings and the same day.

    Raises:
        PingyiError: nothing was recorded then, a pack is unknown, something can't be read or ends too early.
    """
    if moment is None:
        records = {key: _record_of(found) for key, found in (await _read_live(layout, None)).items()}
        if not records:
            raise NothingRecordedError(describe("no list", "published rankings", "submit ratings first"))
    else:
        records = await _find_records(source, layout, moment, _keys_at(registry, packs))
    place = _newest(records.values())
    own = packs.by_hash(place.rules)
    stops = [Stop(place.position, place.as_of, pack, cases=place.cases) for pack in (own, other)]
    replay = Replay(registry, stops)
    await fold_into((replay,), source, layout)
    old, new = replay.finish()
    return Hypothesis(place.position, place.as_of, own, other, new, what_if(old, new), Folded.of(replay))


def _record_of(found: PublishedList) -> Record:
    return Record(
        found.key,
        found.position,
        found.as_of,
        str(found.head["rules"]),
        found.hash,
        parse_rfc3339(found.head["computed_at"]),
        found.cases,
    )
