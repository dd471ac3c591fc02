"""Closed periods under the packs that they were closed under: the restatements that scoring leaves to people.

Scoring restates a closed list by itself only while the pack that it was closed under is in force: another
pack is no correction (ADR 0017). Here the same is computed under the list's own pack, whichever that is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.local.broker import cli_connection
from deploy.local.errors import LocalError
from deploy.local.history.recomputing import Folded, Packs, UnknownListError
from deploy.local.history.reports import folded_answer, folded_notes
from deploy.local.history.sources import Source, fold_into
from deploy.local.layout import Layout
from services.scoring.adapters.nats_ranking_store import read_all_lists, read_books
from services.scoring.application.published import PublishedList
from services.scoring.application.recompute import diff_lists, merged
from services.scoring.application.replay import Replay, Stop
from services.scoring.domain.lists import ListKey, RankedList
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack


@dataclass(frozen=True, slots=True)
class Restated:
    """One closed list, and what all that is known today makes of it under its own pack.

    Attributes:
        standing: as it was closed, or restated last.
        rules: the pack it was closed under.
        recomputed: the same list from all events up to today.
        differences: where the two differ, in lines; none: it would not be restated.
    """

    standing: PublishedList
    rules: RulePack
    recomputed: RankedList | None
    differences: Sequence[str]


@dataclass(frozen=True, slots=True)
class ClosedCheck:
    """The closed lists of a period at one position of FEEDBACK."""

    period: str
    position: int
    lists: tuple[Restated, ...]
    folded: Folded


async def check_closed(
    source: Source, layout: Layout, packs: Packs, period: str, only: str | None, registry: UnitRegistry
) -> ClosedCheck:
    """Compute the closed lists of ``period``, or `only` one, from all events up to what is published.

    Raises:
        PingyiError: the period has not closed, a pack is unknown, something can't be read or ends too early.
    """
    async with cli_connection(layout) as client:
        live, books = await read_all_lists(client), await read_books(client)
    standing = closed_lists(live, period, only)
    position, cases = (books.position, books.cases) if books is not None else (0, 0)
    stops = stops_of_closed(standing, packs.by_hash, position, cases)
    replay = Replay(registry, stops)
    await fold_into((replay,), source, layout)
    lists = restate(standing, packs.by_hash, merged(replay.finish()))
    return ClosedCheck(period, position, lists, Folded.of(replay))


def closed_lists(
    live: Mapping[str, PublishedList], period: str, only: str | None
) -> dict[str, PublishedList]:
    """Those of the published lists that are closed and of ``period``.

    Raises:
        LocalError: none is; the message names the closed periods.
        UnknownListError: it has no such list.
    """
    closed = {key: found for key, found in live.items() if found.is_closed}
    wanted = {key: found for key, found in closed.items() if str(ListKey.parse(key).span) == period}
    if not wanted:
        periods = ", ".join(sorted({str(ListKey.parse(key).span) for key in closed}))
        expected = f"a closed period ({periods or 'none has closed yet'})"
        raise LocalError(describe(period, expected, "write it like 2026-10, 2026Q3 or 2025 after --closed"))
    if only is None:
        return wanted
    if only not in wanted:
        raise UnknownListError(describe(only, f"one of {', '.join(wanted)}", "correct --list"))
    return {only: wanted[only]}


def stops_of_closed(
    standing: Mapping[str, PublishedList], by_hash: Callable[[str], RulePack], position: int, cases: int = 0
) -> list[Stop]:
    """Where a `Replay` computes closed lists anew: all up to ``position``, on the last day they were open."""
    return [
        Stop(position, found.as_of, by_hash(str(found.head["rules"])), frozenset({key}), cases)
        for key, found in standing.items()
    ]


def restate(
    standing: Mapping[str, PublishedList],
    by_hash: Callable[[str], RulePack],
    recomputed: Mapping[str, RankedList],
) -> tuple[Restated, ...]:
    """Hold each list against the one that was recomputed."""
    return tuple(
        Restated(
            found,
            by_hash(str(found.head["rules"])),
            recomputed.get(key),
            diff_lists({key: found}, {key: recomputed[key]} if key in recomputed else {}),
        )
        for key, found in sorted(standing.items())
    )


def closed_lines(check: ClosedCheck) -> list[str]:
    """The outcome for people."""
    moved = [each for each in check.lists if each.differences]
    head = (
        f"{len(check.lists)} closed lists of {check.period}, recomputed under the packs that they were "
        f"closed under, up to FEEDBACK {check.position}: {len(check.lists) - len(moved)} as they stand, "
        f"{len(moved)} would be restated."
    )
    lines = [head]
    for each in moved:
        lines.append(
            f"{each.standing.key}: closed on {each.standing.head['closed_on']} under {each.rules.version} "
            f"{each.rules.hash}, restated {each.standing.head['restatement']} times so far"
        )
        lines += [f"  {line}" for line in each.differences]
    return [*lines, *folded_notes(check.folded)]


def closed_answer(check: ClosedCheck) -> dict[str, Any]:
    """The same as values."""
    return {
        "ok": not any(each.differences for each in check.lists),
        "period": check.period,
        "position": check.position,
        "lists": {
            each.standing.key: {
                "rules": {"version": each.rules.version, "hash": each.rules.hash},
                "closed_on": each.standing.head["closed_on"],
                "closed_hash": each.standing.head["closed_hash"],
                "restatement": each.standing.head["restatement"],
                "list_hash": each.standing.hash,
                "recomputed_hash": None if each.recomputed is None else each.recomputed.hash,
                "differences": list(each.differences),
            }
            for each in check.lists
        },
        **folded_answer(check.folded),
    }
