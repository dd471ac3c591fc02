"""Examining a whole folder of rule packs at once, beyond what each needs to be loaded.

Loading stops at the first pack that cannot be used; whoever edits packs wants every finding of all of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from shared.kernel.errors import describe
from shared.kernel.units import BUREAU, Unit
from shared.rules.loading import order_problems, read_texts
from shared.rules.pack import RulePack
from shared.rules.parsing import parse_pack
from shared.rules.table import RulePackError


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in a folder of packs.

    Attributes:
        packs: those that can be used by themselves, ordered by start.
        problems: all findings, each with its place, value, expectation and remedy; empty: none.
    """

    packs: tuple[RulePack, ...]
    problems: tuple[str, ...]


def examine_packs(path: Path | None, units: Iterable[Unit]) -> Examination:
    """Check every pack of ``path`` by itself and with the others.

    Args:
        path: a file or a folder; None: the committed packs.
        units: the registry; its kinds and those of the packs must be the same.

    Returns:
        All findings: of each file what `parse_pack` says; versions that occur twice, days with two packs or
        with none between the first and the last; kinds without a label, kinds without a unit.
    """
    packs: list[RulePack] = []
    problems: list[str] = []
    try:
        texts = read_texts(path)
    except RulePackError as error:
        return Examination((), error.problems)
    for name, text in texts:
        try:
            packs.append(parse_pack(text, name))
        except RulePackError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    if not texts:
        problems.append(describe(str(path or "packs"), "at least one *.toml", "put a pack there"))
    ordered = tuple(sorted(packs, key=lambda pack: pack.valid_from))
    registered = tuple(units)
    problems += order_problems(ordered)
    problems += _gaps(ordered)
    for place, pack in enumerate(ordered):
        problems += _kind_problems(pack, _end(ordered, place), registered)
    return Examination(ordered, tuple(problems))


def _end(packs: Sequence[RulePack], place: int) -> date | None:
    """First day on which a pack is no longer in force; None: there is none."""
    ends = [packs[place].valid_to] if packs[place].valid_to else []
    if place + 1 < len(packs):
        ends.append(packs[place + 1].valid_from)
    return min((end for end in ends if end is not None), default=None)


def _gaps(packs: Sequence[RulePack]) -> list[str]:
    return [
        f"{earlier.version}.valid_to: "
        + describe(
            f"{earlier.valid_to} (no pack until {later.valid_from})",
            "a pack in force on each day between the first and the last",
            f"let {earlier.version} last until {later.version} starts, or start that earlier",
        )
        for earlier, later in pairwise(packs)
        if earlier.valid_to is not None and earlier.valid_to < later.valid_from
    ]


def _kind_problems(pack: RulePack, end: date | None, units: Sequence[Unit]) -> list[str]:
    """Kinds of registered windows that the pack, while in force, does not name, and the other way round."""
    used = {
        unit.kind
        for unit in units
        if unit.kind != BUREAU
        and (end is None or unit.valid_from < end)
        and (unit.valid_to is None or unit.valid_to > pack.valid_from)
    }
    unknown = [
        f"{pack.version}.kinds: "
        + describe(
            kind,
            "every kind of a registered window to have a label",
            "add it to [kinds], or correct the units of that kind in the registry",
        )
        for kind in sorted(used - pack.kinds.keys())
    ]
    unused = [
        f"{pack.version}.kinds.{kind}: "
        + describe(kind, "a kind that a registered window has", "remove it, or register its units first")
        for kind in pack.kinds
        if kind not in used
    ]
    return unknown + unused
