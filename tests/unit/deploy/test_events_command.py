"""Subjects that ``pingyi events tail`` takes, and the ones that it has by itself."""

import pytest
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.commands.events import checked_subject, line_of, subjects_of
from deploy.local.errors import LocalError
from shared.events import EVENTS


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


def test_without_a_subject_every_event_that_there_is_gets_shown() -> None:
    followed = {subject.removesuffix(".>") for subject in subjects_of(None)}
    assert followed == {spec.context for spec in EVENTS} | {"audit", "cases"}
    assert subjects_of("ranking.v1.>") == ("ranking.v1.>",)
    with pytest.raises(LocalError):
        subjects_of("")


def test_fewer_than_no_events_cannot_be_asked_for() -> None:
    answer = CliRunner().invoke(make_app("events"), ["events", "tail", "--count", "-1"])
    assert answer.exit_code == 2
    assert "--count" in answer.output
