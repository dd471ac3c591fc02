"""A unit with a history, for tests of screening."""

from typing import Any

from services.intake.domain.screening import Hold, Release, Screen
from services.intake.domain.screening_seen import Seen
from shared.rules.screening import Screening

DAY_MS = 86_400_000
MORNING_MS = 20_400 * DAY_MS + 2 * 3_600_000  # ten o'clock in Shanghai
RULES = Screening()
UNIT = "U000112"
TOKEN: dict[str, Any] = {"verification": "transaction", "by_token": True}
STAFFS: dict[str, Any] = {"verification": "real_name", "channel": "visit"}
CLAIM: dict[str, Any] = {"verification": "transaction", "channel": "terminal", "device": "the terminal"}


class Desk:
    """A screen with a month of history of a unit, unless it is `new`, and what it decided."""

    def __init__(
        self, rules: Screening = RULES, *, unverified: int = 2, verified: int = 4, new: bool = False
    ) -> None:
        self.screen = Screen(rules)
        self.held: dict[str, Hold] = {}
        self._number = 0
        for day in range(0 if new else 30, 0, -1):
            for number in range(unverified + verified):
                at = MORNING_MS - day * DAY_MS + number * 600_000
                if number < unverified:
                    self.rate(at)
                else:  # by a token, or claimed by the terminal
                    self.rate(at, **(TOKEN if number % 2 else CLAIM))
        assert self.held == {}

    def rate(self, at_ms: int, *, device: str | None = None, unit_id: str = UNIT, **more: Any) -> str:  # noqa: ANN401 - fields of `Seen`
        """One rating; a device of its own unless one is given."""
        self._number += 1
        event_id = f"e{self._number}"
        seen = Seen(event_id, self._number, unit_id, "marriage", at_ms, "public", "web", "anonymous")
        seen = seen._replace(**{"device": device or f"own {self._number}", **more})
        for decided in self.screen.look_at(seen):
            if isinstance(decided, Release):
                del self.held[decided.event_id]
            else:
                assert decided.event_id not in self.held
                self.held[decided.event_id] = decided
        return event_id

    def many(self, count: int, *, every_ms: int = 60_000, **more: Any) -> list[str]:  # noqa: ANN401 - see `rate`
        return [self.rate(MORNING_MS + number * every_ms, **more) for number in range(count)]
