"""Recomputing offline: the same code as the live path, from the stream's messages to the lists' bytes."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from sys import maxsize
from typing import Final

from services.scoring.application.cases import CASES
from services.scoring.application.fold import Message
from services.scoring.application.published import STREAM, PublishedList
from services.scoring.application.replay import Replay, Stop, in_batches
from services.scoring.domain.lists import RankedList, Row, canonical_json
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

ROWS_SHOWN: Final = 10
"""Differing rows of one list that a diff spells out."""


def recompute(
    messages: Iterable[Message],
    registry: UnitRegistry,
    rules: RulePack,
    as_of: date,
    positions: Mapping[str, int] | None = None,
    cases: Iterable[Message] = (),
) -> dict[str, RankedList]:
    """Compute every list from nothing but the streams.

    Args:
        messages: FEEDBACK's messages in order of sequence; other subjects do not matter.
        registry: the appraised units.
        rules: the rule pack to apply.
        as_of: last day of the windows.
        positions: where to stop, e.g. ``{"FEEDBACK": 4711, "CASES": 12}``; a stream that is not named is not
            read at all. None: fold all.
        cases: CASES' messages in order of sequence.

    Returns:
        The lists by key; ``.canonical()`` are the bytes to compare, ``.hash`` their hash.
    """
    ends = (maxsize, maxsize) if positions is None else (positions.get(STREAM, 0), positions.get(CASES, 0))
    (lists,) = _fold(messages, cases, Replay(registry, (Stop(ends[0], as_of, rules, cases=ends[1]),)))
    return lists


def _fold(
    messages: Iterable[Message], cases: Iterable[Message], replay: Replay
) -> list[dict[str, RankedList]]:
    for batch in in_batches(cases):
        replay.take_cases(batch)
    for batch in in_batches(messages):
        replay.take(batch)
        if replay.done:
            break
    return replay.finish()


def recompute_like(
    messages: Iterable[Message],
    registry: UnitRegistry,
    rules_on: Callable[[date], RulePack],
    live: Mapping[str, PublishedList],
    cases: Iterable[Message] = (),
) -> dict[str, RankedList]:
    """Recompute each published list at its own positions and day, in one pass over the messages.

    Args:
        messages: FEEDBACK's messages in order of sequence.
        registry: the appraised units.
        rules_on: gives the rule pack of a day, e.g. ``partial(load_pack, None)``.
        live: what `read_all_lists` found.
        cases: CASES' messages in order of sequence.

    Returns:
        The recomputed lists of the same keys; a published key that the rules don't know is missing.
    """
    return merged(_fold(messages, cases, Replay(registry, stops_like(live, rules_on))))


def stops_like(live: Mapping[str, PublishedList], rules_on: Callable[[date], RulePack]) -> list[Stop]:
    """Where a `Replay` must stop to recompute each published list; see `recompute_like`.

    A closed list is as of the last day on which it was open, under the rules of the day on which it closed.
    """
    wanted: dict[tuple[int, date, int, date], set[str]] = {}
    for key, found in live.items():
        place = (found.position, found.as_of, found.cases, found.closed_on or found.as_of)
        wanted.setdefault(place, set()).add(key)
    packs = {day: rules_on(day) for day in {day for *_, day in wanted}}
    return [
        Stop(position, as_of, packs[day], frozenset(keys), cases)
        for (position, as_of, cases, day), keys in wanted.items()
    ]


def merged(parts: Iterable[Mapping[str, RankedList]]) -> dict[str, RankedList]:
    """The lists of several stops as one; each key is wanted at one of them only."""
    return {key: found for part in parts for key, found in part.items()}


def diff_lists(
    live: Mapping[str, PublishedList | RankedList], recomputed: Mapping[str, RankedList]
) -> list[str]:
    """Say in lines where two sets of lists differ; empty: equal byte for byte."""
    lines: list[str] = []
    for key in sorted(live.keys() | recomputed.keys()):
        if key not in live:
            lines.append(f"{key}: not published, but the stream gives it")
        elif key not in recomputed:
            lines.append(f"{key}: published, but the rules know no such list")
        elif live[key].canonical() != recomputed[key].canonical():
            lines += _difference(key, live[key], recomputed[key])
    return lines


def _difference(key: str, live: PublishedList | RankedList, recomputed: RankedList) -> list[str]:
    lines: list[str] = []
    for name, value in recomputed.head.items():
        published = live.head.get(name)
        if canonical_json(published) != canonical_json(value):
            lines.append(f"{key}: {name} is published as {published}, recomputed as {value}")
    known = {row.unit_id: (place, row) for place, row in enumerate(live.rows)}
    differing = 0
    for place, row in enumerate(recomputed.rows):
        old_place, old = known.pop(row.unit_id, (-1, None))
        if old == row and old_place == place:
            continue
        differing += 1
        if differing <= ROWS_SHOWN:
            lines.append(f"{key}: {row.unit_id} {row.name}: {_row_difference(old, row)}")
    lines += [f"{key}: {unit_id} is published, but not in the recomputed list" for unit_id in sorted(known)]
    if differing > ROWS_SHOWN:
        lines.append(f"{key}: and {differing - ROWS_SHOWN} more rows")
    return lines or [f"{key}: same values, other bytes: a number was written differently"]


def _row_difference(old: Row | None, new: Row) -> str:
    if old is None:
        return "missing in the published list"
    parts = [
        f"{name} published {before}, recomputed {after}"
        for name, before, after in zip(Row._fields, old, new, strict=True)
        if before != after
    ]
    return "; ".join(parts) or "at another place of the list"
