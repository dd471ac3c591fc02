"""Flags on the bus: few, one at a time, and never in a stream that outsiders read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from services.scoring.domain.flags import Notice
from shared.events import Envelope, Provenance, UnitFlagged, spec_for_data
from shared.kernel.ids import derived_id
from shared.kernel.units import Unit, UnitRegistry
from shared.messaging.publisher import EventPublisher

log = structlog.get_logger(__name__)

SERVICE: Final = "scoring"
_SPEC: Final = spec_for_data(UnitFlagged)


class BusFlagEvents:
    """See `FlagEvents`."""

    def __init__(self, publisher: EventPublisher, registry: UnitRegistry) -> None:
        """Publish through ``publisher``; ``registry`` gives names and places."""
        self._publisher = publisher
        self._registry = registry

    async def publish(self, notices: Sequence[Notice]) -> None:
        """See :meth:`FlagEvents.publish`.

        Raises:
            BrokerUnavailableError: not known to be stored.
        """
        for notice in notices:
            if notice.finding.unit_id not in self._registry:
                log.warning("flag_of_no_unit", unit_id=notice.finding.unit_id, signal=notice.finding.signal)
                continue
            unit = self._registry.get(notice.finding.unit_id)
            await self._publisher.publish(envelope_of(notice, unit), city=unit.city, county=unit.county)


def envelope_of(notice: Notice, unit: Unit) -> Envelope[UnitFlagged]:
    """The event of one notice about ``unit``; a function of the two."""
    finding, time = notice.finding, datetime.fromtimestamp(notice.at_ms / 1000, UTC)
    event_id = derived_id(
        "unit-flagged",
        finding.unit_id,
        finding.signal,
        notice.as_of,
        "raised" if notice.raised else "taken down",
        repr(finding.statistic),
        str(notice.serial),
    )
    data = UnitFlagged.model_validate(
        {
            "unit_id": finding.unit_id,
            "name": unit.name,
            "signal": finding.signal,
            "raised": notice.raised,
            "window_days": finding.window_days,
            "as_of": notice.as_of,
            "statistic": finding.statistic,
            "threshold": finding.threshold,
            "expected": finding.expected,
            "probability": finding.probability,
            "figures": dict(finding.figures),
        }
    )
    return _SPEC.wrap(
        data,
        event_id=event_id,
        source=SERVICE,
        subject=unit.unit_id,
        time=time,
        received_at=time,
        provenance=Provenance(correlation_id=event_id),
        rules=notice.rules,
    )
