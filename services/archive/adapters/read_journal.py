"""Words about reads as events in the broker's stream AUDIT, from where the archive archives them."""

import os
from time import time_ns

from services.archive.domain.reads import Read
from shared.events import Provenance, RecordsRead, spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.ids import RANDOM_BYTES, uuid7
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.session import BrokerSession
from shared.observability.tracing import current_context

SERVICE = "archive"


class JetStreamReadJournal:
    """The :class:`~services.archive.application.ports.ReadJournal` on a :class:`BrokerSession`."""

    def __init__(self, session: BrokerSession, clock: Clock) -> None:
        """Use the connection of ``session``, whenever it has one."""
        self._session = session
        self._clock = clock

    def new_id(self) -> str:
        """See :meth:`ReadJournal.new_id`."""
        return uuid7(time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))

    async def record(self, read: Read) -> None:
        """See :meth:`ReadJournal.record`."""
        asked, now, context = read.request, self._clock.now(), current_context()
        data = RecordsRead(
            read=read.read,
            actor=asked.reader.actor,
            verified=asked.reader.verified,
            what=asked.what,
            format=asked.format,
            conditions=asked.conditions,
            size=read.size,
            stage=read.stage,
            rows=read.rows,
        )
        envelope = spec_for_data(RecordsRead).wrap(
            data,
            event_id=self.new_id(),
            source=SERVICE,
            subject=asked.what,
            time=now,
            received_at=now,
            provenance=Provenance(context.correlation_id or read.read, None, context.traceparent),
        )
        await JetStreamPublisher(self._session.client).publish(envelope)
