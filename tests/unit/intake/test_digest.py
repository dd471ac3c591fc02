from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Submission
from services.intake.entrypoints.bodies import parse_feedback
from tests.unit.intake.strategies import submissions

PSEUDONYMS = Pseudonyms("k1", bytes(32))


def canonical(text: str) -> bytes:
    return parse_feedback(text.encode()).canonical()


@given(submissions, submissions)
def test_two_submissions_have_one_canonical_form_exactly_if_they_are_equal(
    one: Submission, other: Submission
) -> None:
    assert (one.canonical() == other.canonical()) == (one == other)


@given(submissions, st.data())
def test_changing_any_field_changes_the_canonical_form(one: Submission, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(Submission._fields))
    other = data.draw(submissions)
    changed = one._replace(**{field: getattr(other, field)})
    assert (changed.canonical() == one.canonical()) == (getattr(one, field) == getattr(other, field))


def test_order_offset_and_defaults_do_not_matter() -> None:
    one = canonical(
        '{"unit_id":"U000200","grade":5,"occurred_at":"2026-01-31T09:30:00+08:00","dimensions":{"image":3,"service":4}}'
    )
    other = canonical(
        '{"channel":"web","source":"public","dimensions":{"service":4,"image":3,"conduct":null},"grade":5,'
        '"text":null,"occurred_at":"2026-01-31T01:30:00.000Z","unit_id":"U000200","contact":{"phone":" "}}'
    )
    assert one == other


def test_a_time_that_the_client_left_out_is_not_part_of_the_content() -> None:
    assert b"occurred" not in canonical('{"unit_id":"U000200","grade":5}')


def test_composed_and_decomposed_text_are_the_same_content() -> None:
    assert canonical('{"unit_id":"U000200","grade":5,"text":"e\\u0301"}') == canonical(
        '{"unit_id":"U000200","grade":5,"text":"\\u00e9"}'
    )


@given(submissions)
def test_the_digest_depends_on_the_key(submission: Submission) -> None:
    assert PSEUDONYMS.digest(submission) != Pseudonyms("k1", b"x" * 32).digest(submission)
