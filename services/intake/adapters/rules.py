"""Rule packs read once, the one of a day handed out."""

from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from shared.kernel.clock import business_day
from shared.rules import RulePack, load_pack, load_packs


class RulePacks:
    """Plays `ports.Rules`: a new pack comes into force at midnight without a restart."""

    def __init__(self, path: Path | None) -> None:
        """Read the packs of `path`, or the committed ones.

        Raises:
            RulePackError: one is invalid.
        """
        self._path = path
        load_packs(path)
        self._of_day = lru_cache(maxsize=4)(self._load)

    def _load(self, day: date) -> RulePack:
        return load_pack(self._path, day)

    def at(self, moment: datetime) -> RulePack:
        """See `ports.Rules.at`."""
        return self._of_day(business_day(moment))
