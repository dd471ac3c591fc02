"""Past feedback from files, and the moments and records that recomputations refer to."""

import asyncio
import io
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import LocalError
from deploy.local.history.moments import Moment, parse_moment
from deploy.local.history.ndjson import MAX_LINE_BYTES, BrokenLineError, PastMessage, read_feedback_lines
from deploy.local.history.offline import Offline, recompute_offline
from deploy.local.history.recomputing import NothingRecordedError, Packs, read_other_pack
from deploy.local.history.records import Record, newest, parse_record
from deploy.local.history.sources import Source, SourceEndsError, fold_into
from services.scoring.application.recompute import recompute
from services.scoring.application.replay import Replay, Stop
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.rules import UnknownPackError, load_pack
from shared.testing import builders
from tests.unit.scoring.feedback import NOW, feedback, messages, random_feedback
from tests.unit.shared.rules.test_packs import SHIPPED

UNITS = load_units()
WINDOWS = UNITS.by_level(Level.WINDOW)[:20]
RULES = load_pack(None, NOW.date())
EVENTS = random_feedback(WINDOWS, 800, seed=3)


def entry(outgoing: Outgoing, sequence: int, **changed: object) -> dict[str, Any]:
    """An item of the archive's `GET /v1/events`."""
    return {
        "index": 3 * sequence, "stream": "FEEDBACK", "sequence": sequence, "subject": outgoing.subject,
        "kind": "event", "event": json.loads(outgoing.payload), "data_hash": "00", "leaf_hash": "01",
    } | changed  # fmt: skip


def lines_of(*items: dict[str, Any] | bytes) -> bytes:
    return b"".join(
        (item if isinstance(item, bytes) else json.dumps(item, ensure_ascii=False).encode()) + b"\n"
        for item in items
    )


def read(content: bytes) -> list[PastMessage]:
    return [message for batch in read_feedback_lines(io.BytesIO(content), "x.ndjson") for message in batch]


# --- files -------------------------------------------------------------------------------------------------


def test_archive_entries_keep_their_sequences_and_other_streams_are_passed_over() -> None:
    found = read(
        lines_of(
            entry(EVENTS[0], 4),
            entry(EVENTS[1], 17, stream="RANKING", subject="ranking.v1.revised.all.all"),
            b"",
            entry(EVENTS[2], 9, kind="duplicate_of", duplicate_of=12),
            entry(EVENTS[3], 11, kind="unparseable", event=None),
        )
    )
    assert [message.sequence for message in found] == [4, 9, 11]
    assert [message.subject for message in found] == [EVENTS[at].subject for at in (0, 2, 3)]
    assert json.loads(found[0].data) == json.loads(EVENTS[0].payload)
    assert found[2].data == b"null"


def test_bare_envelopes_are_numbered_by_their_lines() -> None:
    other = builders.envelope_of(builders.alert_raised()).to_json()
    found = read(lines_of(EVENTS[0].payload, other, EVENTS[1].payload).rstrip(b"\n"))
    assert [(message.sequence, message.data) for message in found] == [
        (1, EVENTS[0].payload), (3, EVENTS[1].payload),
    ]  # fmt: skip
    assert {message.subject for message in found} == {"feedback.v1.submitted.all.all"}


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (b'{"specversion":"1.0",', "one JSON object in UTF-8 on a line (Input data was truncated)"),
        (b"[1]", "expected one JSON object"),
        (b"\xff\xfe", "expected one JSON object"),
        (b'{"grade":5}', "an archive entry (stream, sequence, subject, event) or an envelope"),
        (b'{"stream":"FEEDBACK","sequence":3,"subject":"feedback.v1.submitted.all.all"}', "an archive entry"),
        (b'{"stream":"FEEDBACK","sequence":"3","subject":"x","event":{}}', "expected one JSON object"),
        (lines_of(entry(EVENTS[0], 1)).strip(), "Got 'sequence 1', expected one above 1"),
        (lines_of(entry(EVENTS[0], 0)).strip(), "Got 'sequence 0', expected one above 1"),
        (
            b'{"specversion":"1.0","type":"cn.pingyi.x.y.v1","data":{}}',
            "a CloudEvents type of docs/events.md",
        ),
        (b'"' + b"x" * MAX_LINE_BYTES, f"a line of at most {MAX_LINE_BYTES} bytes"),
        (b"{" * 100_000, "expected one JSON object"),
    ],
)
def test_a_broken_line_is_told_by_number_value_and_remedy(line: bytes, finding: str) -> None:
    with pytest.raises(BrokenLineError) as caught:
        read(lines_of(entry(EVENTS[0], 1), b"", line))
    assert str(caught.value).startswith("x.ndjson, line 3: Got ")
    assert finding in str(caught.value)
    assert ": " in str(caught.value).rsplit(", expected ", 1)[1], "the remedy comes last"
    assert len(str(caught.value)) < 500


class Endless(io.RawIOBase):
    """A file of many lines that is never in memory as a whole."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines: Iterator[bytes] = (lines_of(entry(EVENTS[0], number + 1)) for number in range(lines))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer
        line = next(self._lines, b"")
        buffer[: len(line)] = line
        return len(line)


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(lines: int) -> int:
        tracemalloc.start()
        total = sum(len(batch) for batch in read_feedback_lines(io.BufferedReader(Endless(lines)), "x"))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert total == lines
        return most

    assert peak(16_000) < 1.2 * peak(4_000)


# --- recomputing from a file alone -------------------------------------------------------------------------


def offline(path: Path, moment: str | None = None) -> Offline:
    parsed = None if moment is None else parse_moment(moment)
    return asyncio.run(recompute_offline(Source(str(path)), RULES, parsed))


def test_a_file_of_bare_envelopes_gives_the_same_lists_as_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(lines_of(*(event.payload for event in EVENTS)))
    found = offline(path)
    assert (found.position, found.folded.ratings, found.as_of) == (800, 800, NOW.date())
    expected = recompute(messages(EVENTS), UNITS, RULES, NOW.date())
    assert {key: each.hash for key, each in found.lists.items()} == {
        key: each.hash for key, each in expected.items()
    }
    part = offline(path, "seq:300")
    expected = recompute(messages(EVENTS[:300]), UNITS, RULES, part.as_of)
    assert part.position == 300
    assert part.lists["window.all.30"].hash == expected["window.all.30"].hash


def test_a_time_means_what_was_received_until_then_and_its_day(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(lines_of(*(event.payload for event in EVENTS)))
    found = offline(path, "2026-11-15")
    until = datetime(2026, 11, 15, 16, tzinfo=UTC)  # midnight in Shanghai
    received = [event for event in EVENTS if json.loads(event.payload)["receivedat"] < until.isoformat()]
    assert 100 < len(received) < 700
    assert found.as_of == date(2026, 11, 15)
    assert found.folded.ratings == len(received)
    expected = recompute(messages(received), UNITS, RULES, date(2026, 11, 15))
    assert {key: each.hash for key, each in found.lists.items()} == {
        key: each.hash for key, each in expected.items()
    }


def test_messages_that_are_no_feedback_are_counted_and_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    broken = EVENTS[0].payload.replace(b'"grade":', b'"grades":')
    path.write_bytes(lines_of(EVENTS[1].payload, broken))
    assert offline(path).folded.invalid == 1
    with pytest.raises(NothingRecordedError, match=r"Got '.*events.ndjson at 2026-01-01'"):
        offline(path, "2026-01-01")
    path.write_bytes(b"\n")
    with pytest.raises(NothingRecordedError):
        offline(path)


def test_a_position_that_a_file_does_not_reach_is_refused_with_its_last(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(lines_of(*(event.payload for event in EVENTS[:30])))
    assert offline(path, "seq:30").position == 30
    assert offline(path, "seq:30/0").position == 30
    with pytest.raises(LocalError, match=r"Got 'seq:31', expected a sequence of FEEDBACK up to 30, the last"):
        offline(path, "seq:31")
    with pytest.raises(LocalError, match=r"'seq:30/1', expected a sequence of CASES up to 0, .*: name an"):
        offline(path, "seq:30/1")


def test_standard_input_can_be_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(lines_of(EVENTS[0].payload))

    monkeypatch.setattr("sys.stdin", Stdin)
    found = asyncio.run(recompute_offline(Source("-"), RULES, None))
    assert found.position == 1


def test_a_file_that_is_missing_or_too_short_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="a readable file"):
        offline(tmp_path / "nowhere")
    path = tmp_path / "events.ndjson"
    path.write_bytes(lines_of(EVENTS[0].payload))
    replay = Replay(UNITS, [Stop(2, NOW.date(), RULES)])
    with pytest.raises(
        SourceEndsError, match=r"which ends at sequence 1', expected feedback up to sequence 2"
    ):
        asyncio.run(fold_into((replay,), Source(str(path)), None))


def test_a_missing_file_is_told_even_where_nothing_would_be_read_of_it(tmp_path: Path) -> None:
    replay = Replay(UNITS, [Stop(0, NOW.date(), RULES)])
    assert replay.done
    with pytest.raises(LocalError, match="a readable file"):
        asyncio.run(fold_into((replay,), Source(str(tmp_path / "nowhere")), None))


# --- moments -----------------------------------------------------------------------------------------------


def test_a_day_ends_at_midnight_in_shanghai() -> None:
    moment = parse_moment("2026-11-20")
    assert moment.day == date(2026, 11, 20)
    assert moment.covers(datetime(2026, 11, 20, 15, 59, 59, 999_999, tzinfo=UTC), 1)
    assert not moment.covers(datetime(2026, 11, 20, 16, tzinfo=UTC), 1)


def test_a_time_includes_itself_and_a_position_too() -> None:
    moment = parse_moment("2026-11-20T12:00:00+08:00")
    assert moment.covers(datetime(2026, 11, 20, 4, tzinfo=UTC), 99)
    assert not moment.covers(datetime(2026, 11, 20, 4, 0, 0, 1000, tzinfo=UTC), 1)
    position = parse_moment("seq:4711")
    assert position == Moment("seq:4711", position=4711)
    assert position.day is None
    assert position.covers(NOW, 4711)
    assert not position.covers(NOW, 4712)


def test_a_time_to_come_is_refused_and_the_day_that_has_begun_is_not() -> None:
    now = datetime(2026, 11, 20, 15, 59, tzinfo=UTC)  # a minute before midnight in Shanghai
    for text in ("2026-11-20", "2026-11-20T23:59:00+08:00", "2026-11-19", "seq:4711"):
        parse_moment(text).require_past(now)
    for text in ("2026-11-21", "2026-11-20T23:59:00.001+08:00", "2027-01-01T00:00:00Z"):
        with pytest.raises(LocalError, match="a moment of the past; it is 2026-11-20T15:59:00") as told:
            parse_moment(text).require_past(now)
        assert f"Got '{text}'" in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01",
        "2026-11-20T12:00:00",
        "20261120",
        "seq:0",
        "seq:x",
        "seq:²",
        "9999-12-31",
    ],
)
def test_anything_else_is_refused_with_all_three_forms(text: str) -> None:
    with pytest.raises(LocalError, match=r"a time with its offset .* a day .* or seq:4711"):
        parse_moment(text)


# --- records -----------------------------------------------------------------------------------------------


def revised(list_key: str, position: int, at: datetime, **fields: object) -> bytes:
    data = builders.ranking_revised(
        list=list_key, positions={"FEEDBACK": position}, as_of=at.date(), **fields
    )
    return builders.envelope_of(data, time=at).model_copy(update={"rules": "sha256:77"}).to_json()


def test_the_newest_record_of_each_list_up_to_the_moment_counts() -> None:
    bodies: Sequence[bytes] = [
        revised("window.all.30", 10, datetime(2026, 11, 20, 1, tzinfo=UTC)),
        revised("city.all.30", 10, datetime(2026, 11, 20, 1, tzinfo=UTC)),
        b"not a record",
        revised("window.all.30", 20, datetime(2026, 11, 20, 2, tzinfo=UTC)),
        revised("window.all.30", 30, datetime(2026, 11, 20, 3, tzinfo=UTC)),
    ]
    for text in ("2026-11-20T02:30:00Z", "seq:29"):
        records: dict[str, Record] = {}
        newest(bodies, parse_moment(text), records)
        assert {key: record.position for key, record in records.items()} == {
            "window.all.30": 20, "city.all.30": 10,
        }  # fmt: skip
    record = parse_record(bodies[0])
    assert record is not None
    assert (record.rules, record.as_of) == ("sha256:77", date(2026, 11, 20))


def test_a_record_says_that_its_list_was_withdrawn() -> None:
    at = datetime(2026, 11, 20, 3, tzinfo=UTC)
    bodies = [revised("window.all.7", 10, at), revised("window.all.7", 20, at, units=0, withdrawn=True)]
    for text, withdrawn in (("seq:10", False), ("seq:20", True)):
        records: dict[str, Record] = {}
        newest(bodies, parse_moment(text), records)
        assert records["window.all.7"].withdrawn is withdrawn


def test_packs_are_found_in_the_folder_and_among_the_committed_ones(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace("onsite = 400", "onsite = 401")
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    packs = Packs(tmp_path)
    mine = packs.on(NOW.date())
    assert mine.weights_milli["onsite"] == 401  # type: ignore[index]  # the enum is a text
    assert packs.by_hash(mine.hash) == mine
    assert packs.by_hash(RULES.hash) == RULES
    with pytest.raises(UnknownPackError, match=mine.hash):
        packs.by_hash("sha256:0")
    (tmp_path / "b.toml").write_text(
        text.replace("2026-01-01", "2027-01-01").replace('"2026-01"', '"b"'), encoding="utf-8"
    )
    with pytest.raises(LocalError, match="one rule pack in --rules"):
        read_other_pack(tmp_path)


def test_feedback_of_a_unit_shows_in_its_list(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(lines_of(*(feedback(WINDOWS[0], number=number).payload for number in range(12))))
    rows = offline(path).lists["window.all.30"].rows
    assert (rows[0].name, rows[0].ratings) == (WINDOWS[0].name, 12)
