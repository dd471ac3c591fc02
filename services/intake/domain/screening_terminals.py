"""Familiar terminals 熟悉的终端: devices of the service that have sent a unit's ratings for long.

A flood that comes through a channel must not drag along what the window's own terminal sends meanwhile. That
one is known by its device and the network it stands in, both for weeks: whoever has got hold of a credential
can write any device into his ratings, but not send them from the hall.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from services.intake.domain.screening_seen import Fingerprints, Seen
from shared.rules.screening import Familiar

_FIRST: Final = 0
_LAST: Final = 1
_DAYS: Final = 2


def names_of(seen: Seen) -> tuple[str, ...]:
    """What the rating's device is known by under every live key, the oldest first; empty if unknown."""
    prints: tuple[Fingerprints | Seen, ...] = (*seen.earlier, seen)
    return tuple(f"{each.device} {each.address or ''}" for each in prints if each.device is not None)


class Terminals:
    """The devices that one channel's ratings of one unit came from, as far as they are remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """None has come yet."""
        self._known: dict[str, list[int]] = {}

    def knows(self, names: Sequence[str], day: int, rules: Familiar) -> bool:
        """Whether the device of those `names` is familiar on the day number `day`."""
        return any(
            known[_DAYS] >= rules.on_days and day - known[_FIRST] >= rules.since_days
            for known in self._records(names)
        )

    def note(self, names: Sequence[str], day: int, rules: Familiar) -> None:
        """Remember that the device of those `names` sent a rating that counts."""
        known = max(self._records(names), key=lambda each: each[_DAYS], default=None)
        if known is not None and known[_LAST] == day and names[-1] in self._known:
            return
        for name in names:
            self._known.pop(name, None)
        if known is None:
            known = [day, day, 1]
        elif known[_LAST] < day:
            known = [known[_FIRST], day, known[_DAYS] + 1]
        if len(self._known) >= rules.most:
            del self._known[min(self._known, key=lambda name: (self._known[name][_DAYS], name))]
        self._known[names[-1]] = known  # the newest key's: it is live the longest

    def _records(self, names: Sequence[str]) -> Iterator[list[int]]:
        return (self._known[name] for name in names if name in self._known)

    def dump(self) -> dict[str, Any]:
        """Everything; `load` takes it back."""
        return self._known

    def load(self, dumped: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        self._known = {name: list(known) for name, known in dumped.items()}
