"""Deciding who is told of an alert, in the service's circumstances: directory, ledger, channels, calendar."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.notify.domain.alert import Alert
from services.notify.domain.directory import Directory
from services.notify.domain.duty import WorksOn, open_from
from services.notify.domain.ledger import Ledger, Telling
from services.notify.domain.routing import (
    Circumstances,
    addressees,
    channels_of,
    next_step,
    route,
    subject_of,
)
from shared.rules import RulePack


@dataclass(frozen=True, slots=True)
class Addressed:
    """Who is told of an alert, and the channels that deliver it at once."""

    tellings: tuple[Telling, ...]
    channels: tuple[str, ...]


Channels = Callable[[], tuple[str, ...]]
"""Gives the names of channels as they are at that moment."""


class Router:
    """Decides once for each alert; its event carries the decision."""

    def __init__(self, directory: Directory, ledger: Ledger, works_on: WorksOn) -> None:
        """Decide by `directory` and `ledger`; `deliver_to` says for which channels."""
        self.directory = directory
        self.ledger = ledger
        self._works_on = works_on
        self._usable: Channels = tuple
        self._default: Channels = tuple

    def deliver_to(self, usable: Channels, *, default: Channels) -> None:
        """Name the channels that are `usable` when asked, and those that get what nobody is named for."""
        self._usable, self._default = usable, default

    def first(self, alert: Alert, rules: RulePack, now: datetime) -> Addressed:
        """Return who is told of a new alert.

        Where nobody is named, and where nobody of those who are can be reached by any channel that is
        switched on, every channel gets it: better told to the wrong person than to nobody.
        """
        if self.directory.empty:
            return Addressed((), addressees(alert, self._default()))
        tellings = route(alert, self.directory, self.ledger, self._given(rules, now))
        if any(each.channels for each in tellings):
            self.ledger.decided(alert.alert_id, alert.rule, subject_of(alert), tellings)
        return self._addressed(alert, tellings)

    def next(self, alert: Alert, step: int, rules: RulePack, now: datetime) -> Addressed | None:
        """Return who is told next of an alert that waits; None at the end of the chain."""
        tellings = next_step(alert, step, self.directory, self.ledger, self._given(rules, now))
        return self._addressed(alert, tellings) if tellings else None

    def _addressed(self, alert: Alert, tellings: tuple[Telling, ...]) -> Addressed:
        if not any(each.channels for each in tellings):
            return Addressed(tellings, addressees(alert, self._default()))
        return Addressed(tellings, channels_of(tellings, self._usable()))

    def digest(self, recipient: str, now: datetime) -> Addressed | None:
        """Return how a recipient is told of what was held back; None: not now.

        In place of a recipient who is in the file no more, the operators are told.
        """
        book = self.directory.book
        person = book.recipients.get(recipient)
        if person is None:
            person = next((book.recipients[each] for each in book.operators if each in book.recipients), None)
        if person is None or open_from(person, now, self._works_on) > now:
            return None
        channels = tuple(each for each in self._usable() if each in person.channels)
        telling = Telling(person.recipient_id, "digest", None, channels, None, now)
        return Addressed((telling,), channels or self._default())

    def reachable(self, channels: Sequence[str]) -> bool:
        """Whether any of `channels` is switched on."""
        return any(each in self._usable() for each in channels)

    def _given(self, rules: RulePack, now: datetime) -> Circumstances:
        return Circumstances(now, rules.routing, self._usable(), self._works_on)
