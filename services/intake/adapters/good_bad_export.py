"""Ratings in the fields of the province's 好差评 interface, out of the stream, page by page.

What only the citizen and the window know is in no event, so it is in no record either: ``projNo`` is the
keyed pseudonym of the transaction, without one the id of the rating, and names, numbers and texts are left
out. What is handed on is what the interface takes in.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client

from services.intake.adapters.good_bad_review import from_submission
from shared.events import Envelope, FeedbackSubmitted, InvalidEventError, parse_envelope, spec_for_data
from shared.kernel.clock import rfc3339
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.regions import DivisionRegistry
from shared.kernel.units import UnitRegistry
from shared.messaging.reading import FoldReader
from shared.messaging.streams import FEEDBACK

WAIT_S: Final = 0.3
_PATTERN: Final = spec_for_data(FeedbackSubmitted).pattern


class GoodBadExport:
    """Reads pages of ratings; those of channels that the interface has no code for are passed over."""

    def __init__(
        self,
        client: Callable[[], Awaitable[Client]],
        units: UnitRegistry,
        divisions: Callable[[], DivisionRegistry],
    ) -> None:
        """Read through `client`; `divisions` are those in force."""
        self._client = client
        self._units = units
        self._divisions = divisions

    async def page(self, after: int, limit: int) -> tuple[list[dict[str, str]], int]:
        """At most `limit` messages after a position, as records; and the position to go on from."""
        reader = FoldReader(await self._client(), FEEDBACK, filters=(_PATTERN,), after=after)
        records: list[dict[str, str]] = []
        taken = 0
        try:
            while taken < limit:
                messages = await reader.take(limit - taken, wait_s=WAIT_S)
                taken += len(messages)
                for message in messages:
                    record = self._record(message.data)
                    if record is not None:
                        records.append(record)
                if reader.caught_up or not messages:
                    break
        finally:
            await reader.close()
        return records, reader.position

    def _record(self, data: bytes) -> dict[str, str] | None:
        try:
            envelope: Envelope[FeedbackSubmitted] = parse_envelope(Envelope[FeedbackSubmitted], data)
            said = envelope.data
            body: dict[str, Any] = {
                "transaction_id": said.transaction_hmac or envelope.id,
                "grade": said.grade,
                "channel": said.channel.value,
                "occurred_at": rfc3339(envelope.time),
            }
            if envelope.synthetic:
                return None
            record = from_submission(body, self._units.get(said.unit_id), self._divisions())
            return record | {"evaluationId": envelope.id}
        except (InvalidEventError, InvalidValueError, NotFoundError):
            return None
