"""Finding the rule pack of a day among the committed packs, a folder or one file."""

import json
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Final

from shared.kernel.errors import describe
from shared.rules.pack import RulePack
from shared.rules.parsing import parse_pack
from shared.rules.table import RulePackError

APPROVED: Final = "approved.json"
"""Which packs of a folder two people have approved; where it is there, no other pack is used."""


def read_texts(path: Path | None) -> list[tuple[str, str]]:
    """Name and text of every pack of `path` (a file or a folder; None: the committed ones), by name.

    Raises:
        RulePackError: there is no such path, or a file is not UTF-8.
    """
    if path is None:
        folder = resources.files("shared.rules") / "packs"
        entries: list[Path | Traversable] = [e for e in folder.iterdir() if e.name.endswith(".toml")]
    elif not path.exists():
        raise RulePackError(
            str(path), (describe(str(path), "a TOML file or a folder of them", "correct the path"),)
        )
    else:
        entries = list(path.glob("*.toml")) if path.is_dir() else [path]
    return [(entry.name, _text(entry)) for entry in sorted(entries, key=lambda entry: entry.name)]


def _text(entry: Path | Traversable) -> str:
    try:
        return entry.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        problem = describe(f"{entry.name} ({error})", "text in UTF-8", "save the file as UTF-8")
        raise RulePackError(entry.name, (problem,)) from error


class UnknownPackError(RulePackError):
    """No pack with the hash that was asked for is at hand."""


def order_problems(packs: tuple[RulePack, ...]) -> list[str]:
    """Say which packs are in force on one day or share a version.

    Args:
        packs: ordered by `valid_from`; one without an end overlaps only one that starts on the same day.
    """
    problems: list[str] = []
    versions: set[str] = set()
    for pack in packs:
        if pack.version in versions:
            problems.append(
                f"version: {describe(pack.version, 'a version of its own', 'rename one of the packs')}"
            )
        versions.add(pack.version)
    for earlier, later in pairwise(packs):
        ends = earlier.valid_to or later.valid_from
        if ends > later.valid_from or earlier.valid_from == later.valid_from:
            expected = (
                f"a start after {earlier.version} (from {earlier.valid_from} to {earlier.valid_to or 'open'})"
            )
            problems.append(
                f"{later.version}.valid_from: "
                + describe(
                    str(later.valid_from), expected, "move a date so that one pack is in force on each day"
                )
            )
    return problems


def approval_problems(path: Path | None, packs: Iterable[RulePack]) -> list[str]:
    """Say which packs of a folder nobody has approved; nothing where the folder has no `APPROVED` file.

    ``pingyi rules fetch`` writes the file from the events of approvals; committed packs count as approved.
    """
    if path is None or not (path / APPROVED).is_file():
        return []
    try:
        listed = json.loads((path / APPROVED).read_bytes())
        approved = {str(each["hash"]) for each in listed["packs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = f"the list that `pingyi rules fetch` wrote to {APPROVED}"
        return [describe(repr(error), expected, "fetch the approved packs again")]
    return [
        f"{pack.version}: "
        + describe(
            pack.hash, "the hash of a pack that two people have approved", "propose it, or take it away"
        )
        for pack in packs
        if pack.hash not in approved
    ]


def load_packs(path: Path | None = None) -> tuple[RulePack, ...]:
    """Read every pack of `path` (a file or a folder; None: the committed ones, once a process), by start.

    Raises:
        RulePackError: none there, one is invalid, two overlap, or one is not on the folder's list of those
            that were approved.
    """
    return _committed() if path is None else _read_packs(path)


@cache
def _committed() -> tuple[RulePack, ...]:
    return _read_packs(None)


def _read_packs(path: Path | None) -> tuple[RulePack, ...]:
    packs = tuple(
        sorted((parse_pack(text, name) for name, text in read_texts(path)), key=lambda p: p.valid_from)
    )
    if not packs:
        raise RulePackError(str(path), (describe(str(path), "at least one *.toml", "put a pack there"),))
    problems = [*order_problems(packs), *approval_problems(path, packs)]
    if problems:
        raise RulePackError(", ".join(pack.version for pack in packs), tuple(problems))
    return packs


def load_pack(path: Path | None, on: date) -> RulePack:
    """Return the pack in force on the day `on` (Asia/Shanghai).

    Raises:
        RulePackError: see `load_packs`; or no pack covers that day.
    """
    packs = load_packs(path)
    started = [pack for pack in packs if pack.valid_from <= on]
    # The last one started decides: an open-ended pack ends where the next starts, and doesn't come back.
    if started and (started[-1].valid_to is None or on < started[-1].valid_to):
        return started[-1]
    periods = ", ".join(f"{p.version} from {p.valid_from} to {p.valid_to or 'open'}" for p in packs)
    raise RulePackError(
        str(path or "packs"),
        (describe(str(on), f"a day that a pack covers ({periods})", "add a pack for it or correct the day"),),
    )


def pack_by_hash(pack_hash: str, *paths: Path | None) -> RulePack:
    """Return the pack with that content hash, wherever among `paths` it is (None: the committed ones).

    When a pack is in force does not matter here, and packs of different folders may overlap.

    Raises:
        RulePackError: none of them has it, the message names those there are; or one is invalid.
    """
    known = [parse_pack(text, name) for path in dict.fromkeys(paths) for name, text in read_texts(path)]
    for pack in known:
        if pack.hash == pack_hash:
            return pack
    there = ", ".join(f"{pack.version} ({pack.hash})" for pack in known)
    expected = f"the hash of one of the packs {there}"
    remedy = (
        "name the folder that holds that pack with --rules-dir; the repository's history has each old one"
    )
    raise UnknownPackError("with that hash", (f"Got {pack_hash}, expected {expected}: {remedy}.",))
