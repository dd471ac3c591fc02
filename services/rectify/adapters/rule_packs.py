"""Rule packs from files, read once for each day."""

from datetime import date
from pathlib import Path
from typing import Final

from services.rectify.application.ports import RulePacks
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import PermanentError
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


class SpannedRulePacks:
    """Plays `application.ports.RulePacks` for many different days of the past.

    Two days under one pack have no other pack between them, so files are read only for days outside of what
    is known. A file that is added for days in between counts from the next start.
    """

    def __init__(self, packs: RulePacks, clock: Clock) -> None:
        """Ask `packs` for what is not known yet."""
        self._packs = packs
        self._clock = clock
        self._spans: dict[str, tuple[date, date, RulePack]] = {}

    def on(self, day: date) -> RulePack:
        """See `RulePacks.on`; for a day before the first pack that of today: a finding may be of any day."""
        for first, last, pack in self._spans.values():
            if first <= day <= last:
                return pack
        try:
            pack = self._packs.on(day)
        except PermanentError:
            today = business_day(self._clock.now())
            if day == today:
                raise
            return self.on(today)
        first, last, _ = self._spans.get(pack.hash, (day, day, pack))
        self._spans[pack.hash] = (min(first, day), max(last, day), pack)
        return pack
