"""What every ``EventPublisher`` must do. Fake and adapter run the same suite.

Subclass it in a test module as ``Test…`` and give it a fixture ``publisher``.
"""

import pytest

from shared.kernel.errors import PermanentError
from shared.messaging.publisher import EventPublisher
from shared.testing.builders import envelope_of, feedback_submitted, unit_score_changed


class EventPublisherSuite:
    """Behaviour of the role; each test starts with empty streams."""

    async def test_sequences_of_a_stream_count_up(self, publisher: EventPublisher) -> None:
        """Sequences start at 1 and leave nothing out."""
        got = [await publisher.publish(envelope_of(feedback_submitted())) for _ in range(3)]
        assert got == [1, 2, 3]

    async def test_a_repeated_id_gets_the_first_sequence(self, publisher: EventPublisher) -> None:
        """A retry after a lost answer must not make a second event."""
        envelope = envelope_of(feedback_submitted())
        first = await publisher.publish(envelope, city="3607", county="360702")
        assert await publisher.publish(envelope, city="3607", county="360702") == first
        assert await publisher.publish(envelope_of(feedback_submitted())) == first + 1

    async def test_each_stream_counts_by_itself(self, publisher: EventPublisher) -> None:
        """The event's type decides its stream."""
        assert await publisher.publish(envelope_of(feedback_submitted())) == 1
        assert await publisher.publish(envelope_of(unit_score_changed())) == 1

    async def test_an_unregistered_event_is_refused_for_good(self, publisher: EventPublisher) -> None:
        """No retry can help an event that is not in the catalogue."""
        unknown = envelope_of(feedback_submitted()).model_copy(
            update={"type": "cn.pingyi.feedback.invented.v1"}
        )
        with pytest.raises(PermanentError, match="register the event"):
            await publisher.publish(unknown)
