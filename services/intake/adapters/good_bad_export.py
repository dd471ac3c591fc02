"""Ratings, and what became of them, out of the stream in the fields of the province's 好差评 interface.

What only the citizen and the window know is in no event, so it is in no record either: ``projNo`` is the
keyed pseudonym of the transaction, without one the id of the rating, and names, numbers and texts are left
out, as are the reasons of a revision and who decided it. What is handed on as submitted is what the interface
takes in.

A revision's record is that of its rating with the fields in force from then on. It has the ``projNo`` of the
rating after a change of keys, too: events carry the pseudonym along and make none anew.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from nats.aio.client import Client

from services.intake.adapters.good_bad_review import STATES, SUBMITTED, from_submission
from services.intake.adapters.stored_revisions import submitted_fields
from services.intake.application.revision_messages import FACTS
from shared.events import (
    CountedFields,
    Envelope,
    FeedbackCorrected,
    FeedbackRevision,
    FeedbackSubmitted,
    InvalidEventError,
    parse_event,
    spec_for_data,
)
from shared.kernel.clock import rfc3339
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.regions import DivisionRegistry
from shared.kernel.units import UnitRegistry
from shared.messaging.reading import FoldReader
from shared.messaging.streams import FEEDBACK

WAIT_S: Final = 0.3
_STATE_OF: Final[Mapping[str, str]] = {
    spec_for_data(FeedbackSubmitted).event_type: SUBMITTED,
    **{spec_for_data(FACTS[move]).event_type: state for move, state in STATES.items()},
}


class _Told(NamedTuple):
    """What an event says of a rating: its id, the revision's number, and the fields in force from then on."""

    rating: str
    revision: int
    fields: CountedFields


class GoodBadExport:
    """Reads pages of ratings and revisions, without those of channels that the interface has no code for."""

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
        """At most `limit` messages after a position, as records; and the position to go on from.

        Without filters: nearly all messages are wanted, and several filters are dear for the broker.
        """
        reader = FoldReader(await self._client(), FEEDBACK, after=after)
        records: list[dict[str, str]] = []
        taken = 0
        try:
            while taken < limit:
                messages = await reader.take(limit - taken, wait_s=WAIT_S)
                taken += len(messages)
                for message in messages:
                    record = self.record(message.data)
                    if record is not None:
                        records.append(record)
                if reader.caught_up or not messages:
                    break
        finally:
            await reader.close()
        return records, reader.position

    def record(self, data: bytes) -> dict[str, str] | None:
        """What one message of FEEDBACK hands on; None if nothing."""
        try:
            envelope = parse_event(data)
            state, told = _STATE_OF.get(envelope.type), _told(envelope)
            if state is None or told is None:
                return None
            fields = told.fields
            body = {
                "transaction_id": fields.transaction_hmac or told.rating,
                "grade": fields.grade,
                "channel": fields.channel.value,
                "occurred_at": rfc3339(fields.occurred_at),
            }
            record = from_submission(body, self._units.get(fields.unit_id), self._divisions())
            return record | {
                "evaluationId": told.rating,
                "evaluationState": state,
                "revision": str(told.revision),
            }
        except (InvalidEventError, InvalidValueError, NotFoundError):
            return None


def _told(envelope: Envelope[Any]) -> _Told | None:
    """What an event says; None if that is nothing of a rating, or of a probe or a drill."""
    said = envelope.data
    if isinstance(said, FeedbackSubmitted):
        told = _Told(envelope.id, 0, submitted_fields(envelope, said))
    elif isinstance(said, FeedbackRevision):
        in_force = said.corrected if isinstance(said, FeedbackCorrected) else said.target
        told = _Told(said.target_id, said.target_revision, in_force)
    else:
        return None
    return None if envelope.synthetic or told.fields.synthetic else told
