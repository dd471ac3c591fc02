"""What comes in from the bus about cases, ladders and closed periods, by durables of their own."""

from typing import Final

from nats.aio.client import Client

from services.notify.application.case_alerts import RaiseCaseAlerts
from services.notify.application.list_alerts import RaiseListAlerts
from services.notify.application.raising import RaiseAlerts
from services.notify.application.sanction_alerts import RaiseSanctionAlerts
from services.notify.entrypoints.case_messages import needs_a_look
from services.notify.entrypoints.events import PACE_S, context_of
from shared.events import Envelope, PeriodClosed, parse_envelope, parse_event
from shared.events.sanctions import NominationChanged, TalkCandidateNamed
from shared.kernel.units import UnitRegistry
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import FailureHandling
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import CASES, RANKING, REGISTRY

CASES_DURABLE: Final = "notify-cases"
SANCTIONS_DURABLE: Final = "notify-sanctions"
PERIODS_DURABLE: Final = "notify-periods"
CASE_DURABLES: Final = (
    (CASES, CASES_DURABLE), (REGISTRY, SANCTIONS_DURABLE), (RANKING, PERIODS_DURABLE)
)  # fmt: skip
"""(stream, durable) of every consumer that is read here; all must be provisioned."""


def case_consumers(
    client: Client, raise_alerts: RaiseAlerts, failures: FailureHandling, units: UnitRegistry
) -> dict[str, DurableConsumer]:
    """Return the pull loops by what they read."""
    raise_case = RaiseCaseAlerts(raise_alerts, units)

    def nothing_to_do(message: StoredMessage) -> bool:
        if needs_a_look(message.data):
            return False
        raise_case.passed_by()
        return True

    async def on_case(message: StoredMessage) -> None:
        event = parse_event(message.data)
        with context_of(event):
            await raise_case(event)

    raise_sanction = RaiseSanctionAlerts(raise_alerts, units)
    raise_list = RaiseListAlerts(raise_alerts, units)

    async def on_sanction(message: StoredMessage) -> None:
        event = parse_event(message.data)
        named = isinstance(event.data, NominationChanged | TalkCandidateNamed)
        with context_of(event):
            await (raise_list.on_named(event) if named else raise_sanction(event))

    async def on_period(message: StoredMessage) -> None:
        event = parse_envelope(Envelope[PeriodClosed], message.data)
        with context_of(event):
            await raise_list.on_closed(event)

    cases = DurableReader(client, CASES, CASES_DURABLE, pace_s=PACE_S)
    sanctions = DurableReader(client, REGISTRY, SANCTIONS_DURABLE, pace_s=PACE_S)
    periods = DurableReader(client, RANKING, PERIODS_DURABLE, pace_s=PACE_S)
    return {
        "cases": DurableConsumer(cases, on_case, failures, screen=nothing_to_do),
        "sanctions": DurableConsumer(sanctions, on_sanction, failures),
        "periods": DurableConsumer(periods, on_period, failures),
    }
