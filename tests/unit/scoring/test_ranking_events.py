"""RankingRevised with as many and as large rows as there can be."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.scoring.adapters.ranking_events import MAX_ROWS, encode
from services.scoring.application.ports import Announcements, Revision
from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import ListKey, RankedList, Row, canonical_json
from services.scoring.domain.spans import Period, PeriodKind
from shared.events import Envelope, RankingRevised, parse_envelope
from shared.kernel.grades import Dimension, Level, Source
from shared.kernel.units import load_units
from shared.messaging.streams import MAX_MESSAGE_BYTES

MADE = datetime(2026, 11, 20, 4, tzinfo=UTC)
UNITS = load_units()
HEADERS = 512


def row(number: int, name: str) -> Row:
    """A row with every column filled in, and every number as long as it can be."""
    return Row(
        f"U{number:06d}", name, "ranked", 10_000 + number, 99.9999, 88.8888, 99.9999, 10_000_000,
        9_999_999.999, 0.999999, "undecided", 10_000, 20_000, -10_000, (2_000_000,) * 5, 0.999999, 99.9999,
        99.9999,
        {str(each): 4.999 for each in Dimension},
        {str(each): {"ratings": 1_000_000, "index": 99.9999} for each in Source if each != "public"},
        99.9999, 10_000, 9_999_999.999,
    )  # fmt: skip


def revision(rows: list[Row]) -> Announcements:
    items = [canonical_json(each.document()) for each in rows]
    ranked = RankedList(
        key=ListKey(Level.WINDOW, None, Period(PeriodKind.QUARTER, 2026, 4)),
        as_of=MADE.date(),
        rules=f"sha256:{'0' * 64}",
        registry=f"sha256:{'1' * 64}",
        publish_from=10,
        rank_from=30,
        composite_weights={"public": 1.0},
        top=10,
        bottom=3,
        priors={},
        rows=rows,
        items=items,
    )
    found = PublishedList.of(ranked, 123_456_789, MADE)
    changed = Revision(found, None, range(len(rows)), items)
    return Announcements([changed], [], [], 123_456_789, "2026-11-20", ranked.rules, MADE)


def test_a_thousand_full_rows_fit_into_one_message_and_its_reader_gets_them_back() -> None:
    longest = max((unit.name for unit in UNITS), key=len)
    rows = [row(number, longest + "（原县级办事窗口）") for number in range(MAX_ROWS + 1)]
    (sent,) = encode(revision(rows), UNITS)
    assert len(sent.payload) + HEADERS < MAX_MESSAGE_BYTES
    event = parse_envelope(Envelope[RankingRevised], sent.payload).data
    assert (event.period, event.window_days, event.units) == ("2026Q4", 92, MAX_ROWS + 1)
    assert (event.changed_units, len(event.changed)) == (MAX_ROWS + 1, MAX_ROWS)
    assert event.changed[7].model_dump() == rows[7]._asdict()


@pytest.mark.parametrize("rows", [1, 400])
def test_names_of_any_length_never_make_a_message_too_large(rows: int) -> None:
    announced = revision([row(number, "民" * 1500) for number in range(rows)])
    (sent,) = encode(announced, UNITS)
    assert len(sent.payload) + HEADERS < MAX_MESSAGE_BYTES
    event = parse_envelope(Envelope[RankingRevised], sent.payload).data
    assert event.changed_units == rows
    assert len(event.changed) == min(rows, 199)


def test_units_that_are_gone_take_the_place_of_rows_and_never_make_a_message_too_large() -> None:
    announced = revision([row(number, "民" * 1500) for number in range(400)])
    gone = [f"U{number:06d}" for number in range(1200)]
    (sent,) = encode(replace(announced, revisions=[replace(announced.revisions[0], gone=gone)]), UNITS)
    assert len(sent.payload) + HEADERS < MAX_MESSAGE_BYTES
    event = parse_envelope(Envelope[RankingRevised], sent.payload).data
    assert list(event.gone) == gone[:MAX_ROWS]
    assert 190 < len(event.changed) < 199


def test_fewer_columns_are_read_as_absent() -> None:
    bare = Row("U000001", "x", "suppressed")
    (sent,) = encode(replace(revision([bare])), UNITS)
    event = parse_envelope(Envelope[RankingRevised], sent.payload).data
    assert event.changed[0].model_dump() == bare._asdict()
