"""The simplest channel: one line of the service's log for each alert."""

from typing import Final

import structlog

from services.notify.domain.alert import Alert
from shared.kernel.clock import rfc3339

log = structlog.get_logger(__name__)


class ConsoleChannel:
    """Plays `application.ports.Channel`; can't fail."""

    name: Final = "console"

    async def deliver(self, alert: Alert) -> str:
        """Write the alert as one structured line."""
        log.warning(
            "alert",
            alert_id=alert.alert_id,
            rule=alert.rule,
            severity=alert.severity.value,
            unit_id=alert.unit_id,
            title=alert.title,
            figures=dict(alert.figures),
            known_at=rfc3339(alert.known_at),
        )
        return "logged"
