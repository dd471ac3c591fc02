"""Why an alert was raised, and what came of it: events, numbers, threshold, people."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notify.application.handlers import ReadAlerts
from services.notify.application.ports import AlertStates
from services.notify.domain.alert import AlertStatus
from services.notify.domain.catalogue import FOLLOW_UPS, RULES
from services.notify.domain.follow_ups import escalations_of

THRESHOLDS = ("threshold",)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an alert rests on.

    Attributes:
        status: the alert with its state.
        label: the rule's name in Chinese.
        watches: events that the rule looks at, by class name.
        numbers: figures by name, without the threshold.
        threshold: the line that they were held against.
        escalations: follow-ups that told further people, in order.
    """

    status: AlertStatus
    label: str
    watches: tuple[str, ...]
    numbers: Mapping[str, str]
    threshold: str | None
    escalations: tuple[AlertStatus, ...]


class ExplainAlert:
    """Answers for one alert."""

    def __init__(self, read: ReadAlerts, states: AlertStates) -> None:
        """Read from `states`."""
        self._read = read
        self._states = states

    def __call__(self, alert: str) -> Explanation:
        """Explain the alert with this id.

        Raises:
            NotFoundError: see `ReadAlerts.get`.
            TransientError: not known yet.
        """
        status = self._read.get(alert)
        rule = status.alert.rule
        info = RULES.get(rule)
        steps = (self._states.get(each) for each in escalations_of(alert))
        return Explanation(
            status,
            info.label if info else FOLLOW_UPS.get(rule, rule),
            info.watches if info else ("AlertRaised",),
            {name: value for name, value in status.alert.figures.items() if name not in THRESHOLDS},
            status.alert.figures.get("threshold"),
            tuple(each for each in steps if each is not None),
        )
