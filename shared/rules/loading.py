"""Finding the rule pack of a day among the committed packs, a folder or one file."""

from datetime import date
from importlib import resources
from itertools import pairwise
from pathlib import Path

from shared.kernel.errors import describe
from shared.rules.pack import RulePack
from shared.rules.parsing import RulePackError, parse_pack


def _texts(path: Path | None) -> list[tuple[str, str]]:
    if path is None:
        folder = resources.files("shared.rules") / "packs"
        files = [(entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".toml")]
        return [
            (name, entry.read_text(encoding="utf-8")) for name, entry in sorted(files, key=lambda f: f[0])
        ]
    if not path.exists():
        raise RulePackError(
            str(path), (describe(str(path), "a TOML file or a folder of them", "correct the path"),)
        )
    paths = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    return [(entry.name, entry.read_text(encoding="utf-8")) for entry in paths]


def check_order(packs: tuple[RulePack, ...]) -> None:
    """Check that no two packs are in force on one day or share a version.

    Args:
        packs: ordered by `valid_from`.

    Raises:
        RulePackError: they do; a pack without an end overlaps only one that starts on the same day.
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
    if problems:
        raise RulePackError(", ".join(pack.version for pack in packs), tuple(problems))


def load_packs(path: Path | None = None) -> tuple[RulePack, ...]:
    """Read every pack of `path` (a file or a folder; None: the committed ones), ordered by start.

    Raises:
        RulePackError: none there, one is invalid, or two overlap.
    """
    packs = tuple(sorted((parse_pack(text, name) for name, text in _texts(path)), key=lambda p: p.valid_from))
    if not packs:
        raise RulePackError(str(path), (describe(str(path), "at least one *.toml", "put a pack there"),))
    check_order(packs)
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
