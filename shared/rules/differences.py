"""Where two rule packs differ, value by value, for whoever reads a "what if"."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Final, NamedTuple

from shared.rules.pack import RulePack

IDENTITY: Final = frozenset({"version", "valid_from", "valid_to", "hash"})
"""Which pack it is and when it is in force; not what it says."""


class Setting(NamedTuple):
    """One value in two packs, as text; None: the pack has no such key."""

    key: str
    old: str | None
    new: str | None


def pack_settings(pack: RulePack) -> dict[str, str]:
    """All values of a pack by their path, e.g. ``weights_milli.onsite`` → ``400``, in the pack's order."""
    return dict(_flat(pack, ""))


def pack_differences(old: RulePack, new: RulePack) -> tuple[Setting, ...]:
    """The values that differ, in the old pack's order, then those that only the new one has."""
    before, after = pack_settings(old), pack_settings(new)
    return tuple(
        Setting(key, before.get(key), after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key) and key not in IDENTITY
    )


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if is_dataclass(value):
        parts = {each.name: getattr(value, each.name) for each in fields(value)}
    elif isinstance(value, Mapping):
        parts = {str(key): each for key, each in value.items()}
    else:
        yield path, _text(value)
        return
    for name, part in parts.items():
        yield from _flat(part, f"{path}.{name}" if path else name)


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(_text(each) for each in value)}]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))  # a grade is an enum that counts
    return "-" if value is None else str(value)
