"""Facts about people's data in the broker's stream AUDIT, and the state folded from them, in memory.

There are few: an unmasking is a matter of people's minutes. So the fold starts from the beginning each time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError as NoMessageError

from services.intake.domain.unmasking import Approval, Part, Unmasking, Unmaskings
from shared.events import (
    Envelope,
    IdentityErased,
    IdentityUnmasked,
    InvalidEventError,
    UnmaskingDecided,
    UnmaskingRequested,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.errors import TransientError, describe
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import AUDIT
from shared.observability.logging import get_logger

RETRY_S: Final = 1.0
KNOWN_WITHIN_S: Final = 5.0

_FACTS: Final = {
    spec_for_data(kind).subject_for("", "").rstrip("."): spec_for_data(kind)
    for kind in (UnmaskingRequested, UnmaskingDecided, IdentityUnmasked, IdentityErased)
}
_SUBJECTS: Final = tuple(spec.pattern for spec in _FACTS.values())

_log = get_logger(component="people")


class PeopleFold:
    """Plays `people.PeopleLog`."""

    def __init__(self, client: Callable[[], Awaitable[Client]]) -> None:
        """`client` waits for the broker."""
        self._client = client
        self._changed = asyncio.Condition()
        self._start_anew()

    def _start_anew(self) -> None:
        self._unmaskings = Unmaskings()
        self._erased: set[bytes] = set()
        self._position = 0
        self._complete = False

    @property
    def unmaskings(self) -> Unmaskings:
        """See `people.PeopleLog.unmaskings`."""
        return self._unmaskings

    @property
    def complete(self) -> bool:
        """Whether it has read the stream to its end since the last outage."""
        return self._complete

    def was_erased(self, record_id: str) -> bool:
        """See `people.PeopleLog.was_erased`."""
        return record_id in self

    def __contains__(self, record_id: object) -> bool:
        """Whether a fact says that the record of that name was erased."""
        try:
            return isinstance(record_id, str) and bytes.fromhex(record_id) in self._erased
        except ValueError:
            return False

    async def publish(self, envelope: Envelope[Any], city: str, county: str) -> None:
        """See `people.PeopleLog.publish`."""
        client = await self._connected()
        sequence = await JetStreamPublisher(client).publish(envelope, city=city, county=county)
        await self._wait_for(sequence)

    async def wait_known(self) -> None:
        """See `people.PeopleLog.wait_known`."""
        jetstream = (await self._connected()).jetstream(timeout=KNOWN_WITHIN_S)
        last = 0
        for subject in _SUBJECTS:
            try:
                last = max(last, (await jetstream.get_last_msg(AUDIT, subject)).seq or 0)
            except NoMessageError:
                continue
            except (NatsError, JetStreamError, TimeoutError) as error:
                raise _unknown() from error
        await self._wait_for(last)

    async def _connected(self) -> Client:
        try:
            async with asyncio.timeout(KNOWN_WITHIN_S):
                return await self._client()
        except TimeoutError as error:
            raise _unknown() from error

    async def _wait_for(self, sequence: int) -> None:
        try:
            async with asyncio.timeout(KNOWN_WITHIN_S), self._changed:
                await self._changed.wait_for(lambda: self._position >= sequence)
        except TimeoutError as error:
            raise _unknown() from error

    async def run(self) -> None:
        """Fold until cancelled, through outages; a stream that went back starts it anew."""
        while True:
            try:
                await self._read(await self._client())
            except HistoryChangedError as error:
                _log.warning("people_fold_starts_anew", reason=str(error))
                self._start_anew()
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                _log.warning("people_fold_retries", reason=repr(error), delay_s=RETRY_S)
                self._complete = False
                await asyncio.sleep(RETRY_S)

    async def _read(self, client: Client) -> None:
        reader = FoldReader(client, AUDIT, filters=_SUBJECTS, after=self._position)
        try:
            while True:
                messages = await reader.take()
                for message in messages:
                    self._fold(message)
                self._complete = reader.caught_up
                if messages:
                    async with self._changed:
                        self._position = messages[-1].sequence
                        self._changed.notify_all()
        finally:
            await reader.close()

    def _fold(self, message: StoredMessage) -> None:
        spec = _FACTS[".".join(message.subject.split(".")[:3])]
        try:
            data = parse_envelope(spec.envelope, message.data).data
        except InvalidEventError as error:
            _log.warning("people_fact_skipped", sequence=message.sequence, reason=type(error).__name__)
            return
        if isinstance(data, IdentityErased):
            self._erased.add(bytes.fromhex(data.record))
        elif isinstance(data, UnmaskingRequested):
            self._unmaskings.requested(
                Unmasking(
                    data.request_id,
                    data.target_id,
                    data.unit_id,
                    data.city,
                    data.county,
                    data.reason,
                    tuple(Part(part) for part in data.parts),
                    data.requested_by,
                    data.expires_at,
                )
            )
        elif isinstance(data, UnmaskingDecided):
            approval = Approval(data.approved, data.decided_by, data.expires_at)
            self._unmaskings.decided(data.request_id, approval)
        elif isinstance(data, IdentityUnmasked):
            self._unmaskings.was_shown(data.request_id)


def _unknown() -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe("no clear answer", "what AUDIT says of people's data", "ask again in a while")
    )
