"""The archive's own events in AUDIT: publishing what reconciliation found, reading what operators decided."""

import json
from typing import Any, Final

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from shared.events import Envelope, StreamHistoryAccepted, spec_for_data
from shared.kernel.errors import describe
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.session import BrokerSession
from shared.messaging.streams import AUDIT

TIMEOUT_S: Final = 5.0
_DECISIONS: Final = spec_for_data(StreamHistoryAccepted).subject_for("*", "*")


class AuditEvents:
    """The roles ``Reports`` of reconciling and ``Decisions`` of histories, on a :class:`BrokerSession`."""

    def __init__(self, session: BrokerSession) -> None:
        """Use the connection of ``session``, whenever it has one."""
        self._session = session

    async def publish(self, envelope: Envelope[Any]) -> int:
        """See :meth:`Reports.publish`; the event's sequence in AUDIT."""
        return await JetStreamPublisher(self._session.client).publish(envelope)

    async def accepted(self) -> list[bytes]:
        """See :meth:`Decisions.accepted`: there are few, so they are asked for one after the other."""
        jetstream = self._session.client.jetstream(timeout=TIMEOUT_S)
        bodies: list[bytes] = []
        sequence = 1
        try:
            while True:
                message = await jetstream.get_msg(AUDIT, sequence, subject=_DECISIONS, next=True)
                bodies.append(message.data or b"")
                sequence = int(message.seq or 0) + 1
        except NotFoundError:
            return bodies
        except (NatsError, JetStreamError, TimeoutError, json.JSONDecodeError) as error:
            raise BrokerUnavailableError(
                describe(repr(error), "the decisions in AUDIT", "it is asked again by itself")
            ) from error
