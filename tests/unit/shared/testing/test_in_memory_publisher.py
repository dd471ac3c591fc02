import pytest

from shared.events import FeedbackSubmitted, UnitScoreChanged
from shared.kernel.errors import TransientError
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.publisher import InMemoryPublisher
from shared.testing.publisher_suite import EventPublisherSuite


class TestInMemoryPublisher(EventPublisherSuite):
    @pytest.fixture
    def publisher(self) -> InMemoryPublisher:
        return InMemoryPublisher()


async def test_a_failed_call_stores_nothing_and_the_next_one_works() -> None:
    publisher = InMemoryPublisher()
    publisher.fail()
    envelope = envelope_of(feedback_submitted(grade=1))
    with pytest.raises(TransientError):
        await publisher.publish(envelope)
    assert publisher.published == []
    assert await publisher.publish(envelope, city="3607", county="360702") == 1
    assert publisher.published[0].subject == "feedback.v1.submitted.3607.360702"
    assert publisher.attempts == 2


async def test_a_lost_answer_leaves_the_event_stored() -> None:
    publisher = InMemoryPublisher()
    publisher.lose_answers()
    envelope = envelope_of(feedback_submitted(grade=1))
    with pytest.raises(TransientError):
        await publisher.publish(envelope)
    assert await publisher.publish(envelope) == 1
    assert [data.grade for data in publisher.of(FeedbackSubmitted)] == [1]
    assert publisher.of(UnitScoreChanged) == []
