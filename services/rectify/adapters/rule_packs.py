"""Rule packs from files, read once for each day."""

from datetime import date
from pathlib import Path
from typing import Final

from shared.rules import RulePack, load_pack

DAYS_KEPT: Final = 64


class FileRulePacks:
    """Plays `application.ports.RulePacks`; a pack file added later counts from the next day asked for."""

    def __init__(self, path: Path | None) -> None:
        """Read from `path`; None means the committed packs."""
        self._path = path
        self._by_day: dict[date, RulePack] = {}

    def on(self, day: date) -> RulePack:
        """See `RulePacks.on`."""
        pack = self._by_day.get(day)
        if pack is None:
            if len(self._by_day) >= DAYS_KEPT:
                self._by_day.clear()
            pack = self._by_day[day] = load_pack(self._path, day)
        return pack
