"""Cursors carry a place, its log and its query, and nothing else gets through."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archive.adapters.schema import MOST_INDEX
from services.archive.application.ports import EventQuery, Position, Snapshot
from services.archive.application.reading import Resume
from services.archive.entrypoints.cursors import decode_cursor, encode_cursor
from shared.kernel.errors import InvalidValueError

QUERY = EventQuery(unit_id="U000001", city="3607", start=datetime(2026, 3, 1, tzinfo=UTC))
MOMENTS = st.integers(-62_000_000_000_000, 200_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
POSITIONS = st.builds(
    Position,
    st.integers(-1, MOST_INDEX),
    st.integers(0, 1 << 50),
    st.none() | MOMENTS,
)


@given(st.integers(0, 1 << 50), st.none() | POSITIONS, POSITIONS)
def test_a_cursor_leads_back_to_where_it_was_made(size: int, until: Position | None, after: Position) -> None:
    snapshot = Snapshot(size, until)
    text = encode_cursor(snapshot, after, QUERY)
    assert decode_cursor(text, QUERY) == Resume(snapshot, after)
    assert len(text) <= 256


@pytest.mark.parametrize(
    "other",
    [EventQuery(), EventQuery(unit_id="U000002"), EventQuery(unit_id="U000001", order="desc")],
)
def test_a_cursor_serves_its_own_query_only(other: EventQuery) -> None:
    text = encode_cursor(Snapshot(7, None), Position(3, 4, None), QUERY)
    with pytest.raises(InvalidValueError, match="of this query"):
        decode_cursor(text, other)


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_whatever_else_is_sent_is_refused_as_no_cursor(text: str) -> None:
    with pytest.raises(InvalidValueError, match="cursor"):
        decode_cursor(text, QUERY)
