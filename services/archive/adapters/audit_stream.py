"""What the log says about itself, in the stream AUDIT."""

from collections.abc import AsyncIterator
from typing import Any, Final

from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from services.archive.application.ports import Announced, AnnouncedElsewhereError, Told
from shared.events import BatchSequenced, CheckpointSigned, EventSpec, Provenance, parse_envelope
from shared.events.base import EventData
from shared.events.registry import spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.session import BrokerSession
from shared.messaging.streams import AUDIT

REQUEST_S: Final = 5.0
SOURCE: Final = "archive"

_SEQUENCED: Final = spec_for_data(BatchSequenced)
_SIGNED: Final = spec_for_data(CheckpointSigned)


class AuditStream:
    """The :class:`~services.archive.application.ports.Announcements` on a :class:`BrokerSession`.

    Reads ask the stream's leader: an announcement that a replica has not seen yet would be made twice.
    """

    def __init__(self, session: BrokerSession, clock: Clock) -> None:
        """Use the connection of ``session``, whenever it has one; ``clock`` dates the events."""
        self._session = session
        self._clock = clock

    async def newest(self) -> Announced | None:
        """See :meth:`Announcements.newest`."""
        found = await self._read(subject=_SEQUENCED.subject_for())
        return None if found is None else Announced(*_parsed(_SEQUENCED, found))

    async def last_sequence(self) -> int:
        """See :meth:`Announcements.last_sequence`."""
        try:
            state = (await self._session.client.jetstream(timeout=REQUEST_S).stream_info(AUDIT)).state
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(f"the state of {AUDIT}", error) from error
        return int(state.last_seq)

    async def since(self, sequence: int) -> AsyncIterator[Announced]:
        """See :meth:`Announcements.since`."""
        async for found in self._from(sequence, _SEQUENCED):
            yield Announced(*_parsed(_SEQUENCED, found))

    async def announce(self, event: BatchSequenced, replaces: int) -> int:
        """See :meth:`Announcements.announce`."""
        return await self._publish(event, (event.origin, str(event.size), event.root), replaces)

    async def newest_told(self) -> Told | None:
        """See :meth:`Announcements.newest_told`."""
        found = await self._read(subject=_SIGNED.subject_for())
        return None if found is None else Told(*_parsed(_SIGNED, found))

    async def told_since(self, sequence: int) -> AsyncIterator[Told]:
        """See :meth:`Announcements.told_since`."""
        async for found in self._from(sequence, _SIGNED):
            yield Told(*_parsed(_SIGNED, found))

    async def tell(self, event: CheckpointSigned, replaces: int) -> int:
        """See :meth:`Announcements.tell`."""
        return await self._publish(event, (event.origin, str(event.size), event.root), replaces)

    async def _from(self, sequence: int, spec: EventSpec) -> AsyncIterator[RawStreamMsg]:
        while True:
            found = await self._read(seq=max(sequence, 1), subject=spec.subject_for(), next=True)
            if found is None:
                return
            yield found
            sequence = int(found.seq or 0) + 1

    async def _read(self, **wanted: Any) -> RawStreamMsg | None:  # noqa: ANN401 - arguments of nats-py
        try:
            jetstream = self._session.client.jetstream(timeout=REQUEST_S)
            return await jetstream.get_msg(AUDIT, **wanted)
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(f"{wanted['subject']} in {AUDIT}", error) from error

    async def _publish(self, data: EventData, key: tuple[str, ...], replaces: int) -> int:
        spec, now = spec_for_data(type(data)), self._clock.now()
        event_id = derived_id(spec.event_type, *key)
        envelope = spec.wrap(
            data,
            event_id=event_id,
            source=SOURCE,
            subject=key[0],
            time=now,
            received_at=now,
            provenance=Provenance(derived_id("log", *key)),
        )
        client = self._session.client
        headers = {
            "Nats-Msg-Id": event_id,
            "Nats-Expected-Stream": AUDIT,
            "Nats-Expected-Last-Subject-Sequence": str(replaces),
        }
        try:
            ack = await client.jetstream(timeout=REQUEST_S).publish(
                spec.subject_for(), envelope.to_json(), headers=headers
            )
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise AnnouncedElsewhereError(
                    describe(
                        f"another {spec.name} than sequence {replaces}",
                        f"{replaces} to be the newest in {AUDIT}",
                        "it is read again by itself; look for a second archive process",
                    )
                ) from error
            raise _unavailable(f"an acknowledgement of {spec.name}", error) from error
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(f"an acknowledgement of {spec.name}", error) from error
        return int(ack.seq)


def _parsed(spec: EventSpec, found: RawStreamMsg) -> tuple[int, Any]:
    return int(found.seq or 0), parse_envelope(spec.envelope, found.data or b"").data


def _unavailable(wanted: str, error: Exception) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(repr(error), wanted, "it is tried again by itself"))
