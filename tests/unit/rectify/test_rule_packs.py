"""Rules of many days of the past, without reading files for each of them."""

from dataclasses import replace
from datetime import date, timedelta

from services.rectify.adapters.rule_packs import FileRulePacks, SpannedRulePacks
from shared.kernel.errors import PermanentError
from shared.rules import RulePack
from shared.testing.clock import FixedClock

NEW_YEAR = date(2026, 1, 1)
SUMMER = date(2026, 7, 1)


class TwoPacks:
    """Plays `RulePacks`: another one from July on, none before 2026."""

    def __init__(self) -> None:
        self.read = 0
        self._winter = FileRulePacks(None).on(NEW_YEAR)

    def on(self, day: date) -> RulePack:
        self.read += 1
        if day < NEW_YEAR:
            raise PermanentError("no pack covers that day")
        return self._winter if day < SUMMER else replace(self._winter, hash="sha256:summer")


def test_every_day_has_the_pack_that_is_in_force_on_it_and_files_are_read_for_few() -> None:
    packs = TwoPacks()
    spanned = SpannedRulePacks(packs, FixedClock())
    days = [NEW_YEAR + timedelta(days=number * 37 % 365) for number in range(365)]
    for day in days:
        assert (spanned.on(day).hash == "sha256:summer") == (day >= SUMMER)
    assert packs.read < 40


def test_a_day_before_the_first_pack_goes_by_the_rules_of_today() -> None:
    spanned = SpannedRulePacks(TwoPacks(), FixedClock())
    assert spanned.on(date(2025, 3, 1)).hash == FileRulePacks(None).on(NEW_YEAR).hash
