"""Who is told: the channels that an alert is addressed to.

Today one receiver stands behind each channel, so every channel that is switched on gets every alert.
Responsible chains, subscriptions, quiet hours and digests find their place here: as a pure function of the
alert and the recipients' book that gives addresses, decided once, when the alert is raised.
"""

from collections.abc import Sequence

from services.notify.domain.alert import Alert


def addressees(_alert: Alert, switched_on: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that the alert goes to, in the order of `switched_on`; never one that is off."""
    return tuple(switched_on)
