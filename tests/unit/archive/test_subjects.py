"""Subject filters mean what they mean to NATS."""

import re

import pytest

from services.archive.domain.entries import place_of
from services.archive.domain.subjects import SubjectFilter
from shared.kernel.errors import InvalidValueError

SUBJECT = "feedback.v1.submitted.3607.360702"


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (SUBJECT, True),
        ("feedback.v1.submitted.3607.*", True),
        ("feedback.>", True),
        (">", True),
        ("*.*.*.*.*", True),
        ("*.*.*.*", False),
        ("*.*.*.*.*.*", False),
        ("feedback.v1.submitted.3607.360702.>", False),
        ("feedback.v1.submitted", False),
        ("feedbackxv1.>", False),
        ("cases.>", False),
    ],
)
def test_a_filter_matches_as_in_nats(text: str, *, matches: bool) -> None:
    assert (re.search(SubjectFilter.parse(text).regex, SUBJECT) is not None) is matches


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a.>.b", "a b", "a*", "a.b>", "$KV", "a" * 300]
)
def test_a_malformed_filter_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        SubjectFilter.parse(text)
    assert caught.value.field == "subject"


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ("feedback.>", "feedback.v1.>", True),
        ("feedback.*.raised", "feedback.v1.>", True),
        (">", "feedback.v1.>", True),
        ("*.v1.raised.>", "feedback.v1.>", True),
        ("feedback.v1", "feedback.v1.>", False),
        ("feedback", "feedback.v1.>", False),
        ("feedback.v2.>", "feedback.v1.>", False),
        ("feedbacks.>", "feedback.v1.>", False),
        ("a.*", "*.b", True),
        ("a.*", "*.b.c", False),
    ],
)
def test_two_filters_overlap_where_a_subject_matches_both(one: str, two: str, *, both: bool) -> None:
    first, second = SubjectFilter.parse(one), SubjectFilter.parse(two)
    assert first.overlaps(second) is second.overlaps(first) is both
    assert str(first) == one


def test_given_tokens_are_known_and_wildcards_are_not() -> None:
    wanted = SubjectFilter.parse("feedback.v1.*.3607.>")
    assert (wanted.context, wanted.city, wanted.county, wanted.exact) == ("feedback", "3607", None, None)
    assert SubjectFilter.parse(SUBJECT).exact == SUBJECT


def test_a_subject_without_a_place_has_none() -> None:
    assert place_of(SUBJECT) == ("3607", "360702")
    assert place_of("cases.v1.changed.3607.360702.case-1") == ("3607", "360702")
    assert place_of("feedback.v1.submitted") == (None, None)
