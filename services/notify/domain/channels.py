"""Channels and their endpoints: an address is ``<kind>`` or ``<kind>.<name>``, as alerts carry it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

KINDS: Final = ("console", "webhook", "email", "wecom", "dingtalk", "feishu", "sms")
"""The channels, each with a durable consumer of its own."""

RETRY_FOR_DAYS_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Delays of a webhook's attempts, 3.2 days in all, growing as the Standard Webhooks specification advises."""


class Language(StrEnum):
    """Language of an endpoint's texts."""

    ZH = "zh"
    EN = "en"


def kind_of(address: str) -> str:
    """Return the channel of an address."""
    return address.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver behind a channel.

    Attributes:
        address: ``<kind>`` or ``<kind>.<name>``, in ``AlertRaised.channels``, metrics and deliveries.
        target: where it goes, for people: a host or the like, never a secret and never a person's number.
        mark: changes when the endpoint becomes another one; a 410 disables this mark alone.
        retry_delays_s: delay after each failed attempt, in seconds.
        all_alerts: every alert goes there; otherwise only those that name it.
        concurrency: attempts under way at once.
        per_minute: most attempts in any minute; None: no limit.
        burst: attempts of these that may come at once.
    """

    address: str
    target: str
    mark: str
    retry_delays_s: tuple[float, ...]
    all_alerts: bool = True
    concurrency: int = 8
    per_minute: int | None = None
    burst: int = 5

    @property
    def kind(self) -> str:
        """The channel."""
        return kind_of(self.address)


@dataclass(frozen=True, slots=True)
class Disabled:
    """An endpoint wants no more: which one, since which alert, and why."""

    address: str
    mark: str
    alert_id: str
    reason: str
    at: str


class DisabledEndpoints:
    """A fold: which endpoints are disabled. The last word on an address and its mark counts."""

    def __init__(self) -> None:
        """Begin with none disabled."""
        self._disabled: dict[tuple[str, str], Disabled] = {}

    def disable(self, fact: Disabled) -> None:
        """Take in that an endpoint is disabled."""
        self._disabled[fact.address, fact.mark] = fact

    def enable(self, address: str, mark: str) -> None:
        """Take in that it is to be used again."""
        self._disabled.pop((address, mark), None)

    def find(self, endpoint: Endpoint) -> Disabled | None:
        """Return why `endpoint`, as it is now, is disabled; None if it is not."""
        return self._disabled.get((endpoint.address, endpoint.mark))


def attempt_due(delivered: int, age_s: float, delays_s: tuple[float, ...]) -> int:
    """Return which attempt (from 1) it is, for a message handed out `delivered` times, `age_s` old.

    The broker also counts hand-outs that ended in a crash, or because the endpoint's turn had not come. So an
    attempt is never further on than the delays make possible, and the final one is not before the message is
    as old as all of them together; a tenth is left for clocks that differ.
    """
    passed, total = 0, 0.0
    for delay in delays_s:
        total += delay
        if age_s < 0.9 * total:
            break
        passed += 1
    return max(1, min(delivered, passed + 1))
