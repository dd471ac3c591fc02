"""Whatever bytes a request is made of, intake's parsers give a value or an error of their own."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.intake.application.errors import RejectedError
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.lines import split_lines
from services.intake.domain.receipts import parse_receipt_code
from services.intake.domain.revisions import Move
from services.intake.domain.submission import Submission
from services.intake.entrypoints.approval_bodies import CorrectionBody
from services.intake.entrypoints.bodies import parse_line
from services.intake.entrypoints.http import _import_id
from services.intake.entrypoints.reading import headers_of, require_readable
from services.intake.entrypoints.revision_bodies import parse_decision
from services.intake.entrypoints.writing import JSON_TYPES
from shared.kernel.errors import InvalidValueError

NAMES = ["unit_id", "grade", "contact", "dimensions", "text", "occurred_at", "client_ref", "channel", "x"]
INNER = st.sampled_from([*NAMES, "phone"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER, inner, max_size=3),
    max_leaves=8,
)


def judge(raw: bytes) -> None:
    try:
        parsed: Submission | RejectedError = parse_line(raw)
    except RejectedError as error:
        parsed = error
    if isinstance(parsed, RejectedError):
        assert parsed.issues
        assert all(issue.expected and issue.remedy for issue in parsed.issues)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_rating_or_rejected(raw: bytes) -> None:
    judge(raw)


@given(st.dictionaries(st.sampled_from(NAMES), values, max_size=6))
def test_any_json_is_a_rating_or_rejected(body: dict[str, object]) -> None:
    judge(json.dumps({"unit_id": "U000112", "grade": 5} | body).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 10_000, b'{"contact":' * 10_000, b'{"unit_id":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"grade":' + b"9" * 10_000 + b"}",
        b'{"unit_id":"U000112","grade":5,"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
        b"{" + b",".join(b'"x%d":1' % n for n in range(5_000)) + b"}", b'{"grade":1e400}', b'"\\ud800"',
    ],
    ids=["arrays", "objects", "deep-id", "digits", "deep-unknown", "members", "infinite", "surrogate"],
)  # fmt: skip
def test_what_is_deep_long_or_wide_is_rejected_with_few_words(raw: bytes) -> None:
    with pytest.raises(RejectedError) as told:
        parse_line(raw)
    assert len(told.value.issues) <= 20


revisions = st.dictionaries(st.sampled_from(["reason", "decided_by", "grade", "dimensions", "x"]), values)


ALONE = sorted(set(Move) - {Move.EXCLUDE, Move.CORRECT})
"""Exclusions and corrections take two people and bodies of their own."""


@given(
    st.sampled_from(ALONE), st.binary(max_size=100) | revisions.map(lambda body: json.dumps(body).encode())
)
def test_any_revision_is_a_decision_or_refused(move: Move, raw: bytes) -> None:
    try:
        decision = parse_decision(move, raw)
    except (ValidationError, RejectedError):
        return
    assert decision.move is move


@given(st.binary(max_size=100) | revisions.map(lambda body: json.dumps(body).encode()))
@example(b'{"reason":"mistyped","grade":2,"dimensions":{"service":1,"image":null}}')
def test_any_correction_is_a_change_or_refused(raw: bytes) -> None:
    try:
        changes = CorrectionBody.model_validate_json(raw).changes
    except ValidationError:
        return
    assert changes.grade in {None, 1, 2, 3, 4, 5}
    assert set((changes.dimensions or {}).values()) <= {1, 2, 3, 4, 5}


@given(st.binary(max_size=300))
def test_any_batch_is_lines_or_refused(raw: bytes) -> None:
    try:
        lines = split_lines(raw, 50)
    except InvalidValueError:
        return
    assert [line.place for line in lines] == list(range(1, len(lines) + 1))


header_bytes = st.binary(max_size=80)


@given(header_bytes, header_bytes, header_bytes)
def test_any_headers_are_taken_or_refused(kind: bytes, encoding: bytes, import_id: bytes) -> None:
    headers = {b"content-type": kind, b"content-encoding": encoding, b"x-import-id": import_id}
    told: list[str | None] = []
    try:
        require_readable(headers, JSON_TYPES)
    except InvalidValueError as error:
        told.append(error.field)
    try:
        _import_id(headers)
    except InvalidValueError as error:
        told.append(error.field)
    assert set(told) <= {"Content-Type", "Content-Encoding", "X-Import-Id"}


@given(st.none() | st.text(max_size=40), st.none() | st.text(max_size=80))
def test_any_forwarding_gives_an_address_or_none(peer: str | None, forwarded: str | None) -> None:
    address = TrustedProxies(["127.0.0.0/8"]).client_address(peer, forwarded)
    assert address is None or address in f"{peer},{forwarded}"


@given(st.text(max_size=80))
def test_any_receipt_code_is_read_or_refused(text: str) -> None:
    try:
        read = parse_receipt_code(text)
    except InvalidValueError:
        return
    assert len(read) == 10


HOSTILE_TEXT = (
    '<script>alert("x")</script> =HYPERLINK("http://x") [red]好[/] \u202e反写\u200b 办\ufb01 Ѕ\n\t第二行'
)


def test_html_formulas_bidi_and_zero_width_characters_stay_what_was_written() -> None:
    body = {"unit_id": "U000112", "grade": 5, "text": HOSTILE_TEXT}
    assert parse_line(json.dumps(body).encode()).text == HOSTILE_TEXT


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x85"])
@pytest.mark.parametrize("field", ["text", "name"])
def test_control_characters_are_refused_without_repeating_the_text(char: str, field: str) -> None:
    words = f"张三{char}说"
    more = {"text": words} if field == "text" else {"contact": {"name": words}}
    with pytest.raises(RejectedError) as told:
        parse_line(json.dumps({"unit_id": "U000112", "grade": 5} | more).encode())
    (issue,) = told.value.issues
    assert issue.field.endswith(field)
    assert "control characters" in issue.expected
    assert "张三" not in str(issue)


def test_a_million_names_are_refused_in_bounded_time_and_words() -> None:
    raw = b'{"unit_id":"U000112","grade":5,' + b",".join(b'"c%d":1' % n for n in range(1_000_000)) + b"}"
    with pytest.raises(RejectedError) as told:
        parse_line(raw)
    assert "at most 65536 bytes" in told.value.issues[0].expected


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-Rating-Token", "X-Import-Id", "X-Synthetic"])
def test_a_header_with_one_meaning_is_refused_when_it_is_there_twice(name: str) -> None:
    twice = [(name.lower().encode(), value) for value in (b"one", b"other")]
    with pytest.raises(InvalidValueError) as refused:
        headers_of({"headers": [(b"accept", b"*/*"), *twice]})
    assert refused.value.field == name
    assert f"2 headers {name}" in str(refused.value)
    assert "expected one" in str(refused.value)


def test_lines_of_a_list_are_one_list() -> None:
    lines = [(b"x-forwarded-for", b"203.0.113.7"), (b"accept", b"a"), (b"x-forwarded-for", b"10.0.0.2")]
    assert headers_of({"headers": lines})[b"x-forwarded-for"] == b"203.0.113.7, 10.0.0.2"
