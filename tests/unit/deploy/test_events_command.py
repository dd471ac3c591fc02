"""Subjects that ``pingyi events tail`` takes."""

import pytest

from deploy.local.commands.events import checked_subject, line_of
from deploy.local.errors import LocalError


@pytest.mark.parametrize(
    "subject", ["feedback.>", "ranking.v1.*.3607.>", ">", "*.v1.submitted.*.*", "cases.v1.>"]
)
def test_a_subject_that_events_can_match_is_taken_as_it_is(subject: str) -> None:
    assert checked_subject(subject) == subject


@pytest.mark.parametrize(
    "subject", ["feedback..x", "feedback v1", "", "feedback.>.x", "vault.>", "$JS.>", "nope"]
)
def test_any_other_is_refused_with_the_contexts_that_there_are(subject: str) -> None:
    with pytest.raises(LocalError, match=r"alerts.*feedback.*ranking"):
        checked_subject(subject)


def test_a_message_that_is_no_event_is_said_to_be_none_without_its_content() -> None:
    assert line_of("feedback.v1.x", b"13812345678") == "feedback.v1.x  not an event (11 bytes)"
