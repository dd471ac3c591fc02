"""Several keys of one pair of citizen and transaction, from when intake changed the key of its pseudonyms.

A rating names its pair by the newest key and, for a while, by the earlier ones too (ADR 0032). All keys that
ever stood beside one another mean one pair, in whatever order the ratings come.
"""

from collections.abc import Container, Mapping
from typing import Any, Final

KEY_BYTES: Final = 16
"""Length of one key of a pair."""


class Aliases:
    """Which keys mean the same pair; false while no pair has more than one.

    Memory: about 250 bytes for each pair that was rated while two keys were live, until :meth:`forget`.
    """

    def __init__(self) -> None:
        """None yet."""
        self._target: dict[bytes, bytes] = {}
        self._by_day: dict[int, list[bytes]] = {}

    def __bool__(self) -> bool:
        """Whether any pair has several keys."""
        return bool(self._target)

    def join(self, keys: bytes, day: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Note that all of ``keys`` mean one pair: the key that it goes by, and those that it went by.

        ``day`` is the day of receipt of the rating that says so.
        """
        roots = [self._root(keys[at : at + KEY_BYTES]) for at in range(0, len(keys), KEY_BYTES)]
        key = roots[0]
        others = tuple(dict.fromkeys(root for root in roots[1:] if root != key))
        for other in others:
            self._target[other] = key
            self._by_day.setdefault(day, []).append(other)
        return key, others

    def _root(self, key: bytes) -> bytes:
        target = self._target.get(key)
        while target is not None:
            key, target = target, self._target.get(target)
        return key

    def forget(self, before_day: int, known: Container[bytes]) -> None:
        """Forget what was noted before the day ``before_day``, but for pairs whose key is ``known``.

        Nothing can come any more that such a pair's ratings would have to be matched with.
        """
        for day in [day for day in self._by_day if day < before_day]:
            for key in self._by_day.pop(day):
                if self._root(key) in known:
                    self._by_day.setdefault(before_day, []).append(key)
                else:
                    del self._target[key]

    def dump(self) -> dict[str, Any]:
        """Everything; `load` takes it back."""
        return {"target": self._target, "by_day": self._by_day}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> "Aliases":
        """Take up what `dump` gave."""
        found = cls()
        found._target = dict(dumped.get("target", {}))
        found._by_day = {day: list(keys) for day, keys in dumped.get("by_day", {}).items()}
        return found
