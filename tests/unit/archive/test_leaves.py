"""The hashes, against vectors worked out by hand with the formulas of the service's README."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archive.domain.entries import Arrival, Attributes, Kind, Leaf, region_of
from services.archive.domain.leaves import leaf_bytes, leaf_hash, seal

ATTRIBUTES = Attributes(
    event_id="01890000-0000-7000-8000-000000000001",
    type="cn.pingyi.feedback.submitted.v1",
    source="/pingyi/intake",
    time=datetime(2026, 3, 2, 4, 0, 0, 123000, tzinfo=UTC),
    received_at=datetime(2026, 3, 2, 4, 0, 1, tzinfo=UTC),
    correlation_id="request-1",
    causation_id=None,
    unit_id="U000532",
    channel="qr",
    synthetic=False,
    actor="reviewer",
    case_id=None,
)
SUBJECT = "feedback.v1.submitted.3607.360702"
TEXT = (
    '{"actor":"reviewer","channel":"qr","data_hash":"'
    + hashlib.sha256(b"{}").hexdigest()
    + '","event_id":"01890000-0000-7000-8000-000000000001","kind":"event",'
    '"received_at":"2026-03-02T04:00:01.000Z","region":"360702","sequence":7,"source":"/pingyi/intake",'
    '"stream":"FEEDBACK",'
    '"subject":"feedback.v1.submitted.3607.360702","synthetic":false,"time":"2026-03-02T04:00:00.123Z",'
    '"type":"cn.pingyi.feedback.submitted.v1","v":2}'
)


def arrival(sequence: int, event_id: str | None, data: bytes = b"{}") -> Arrival:
    attributes = None
    if event_id is not None:
        values = {name: getattr(ATTRIBUTES, name) for name in Attributes.__slots__}
        attributes = Attributes(**(values | {"event_id": event_id}))
    return Arrival("FEEDBACK", sequence, SUBJECT, data, attributes)


def test_a_leaf_is_canonical_json_under_the_prefix_of_rfc_6962() -> None:
    leaf = Leaf(Kind.EVENT, "FEEDBACK", 7, SUBJECT, ATTRIBUTES, None, hashlib.sha256(b"{}").digest())
    assert leaf_bytes(leaf).decode() == TEXT
    assert leaf_hash(leaf) == hashlib.sha256(b"\x00" + TEXT.encode()).digest()


@pytest.mark.parametrize(
    ("subject", "region"),
    [
        ("feedback.v1.submitted.3607.360702", "360702"),
        ("ranking.v1.revised.3607.all", "3607"),
        ("ranking.v1.revised.all.all", None),
        ("cases.v1", None),
    ],
)
def test_a_region_is_the_most_specific_place_of_the_subject(subject: str, region: str | None) -> None:
    assert region_of(subject) == region


def test_repeats_within_a_batch_and_against_the_log_are_duplicates_of_the_first() -> None:
    entries = seal(0, [arrival(1, "a"), arrival(2, "b"), arrival(3, "a"), arrival(4, "old")], {"old": -5})
    assert [entry.leaf.duplicate_of for entry in entries] == [None, None, 0, -5]
    assert [entry.leaf.kind for entry in entries] == [
        Kind.EVENT,
        Kind.EVENT,
        Kind.DUPLICATE,
        Kind.DUPLICATE,
    ]


def test_an_unparseable_message_leaves_its_hash_and_nothing_of_its_bytes() -> None:
    (entry,) = seal(0, [arrival(1, None, b"13800138000")], {})
    assert entry.envelope is None
    assert entry.leaf.data_hash == hashlib.sha256(b"13800138000").digest()
    assert json.loads(leaf_bytes(entry.leaf)) == {
        "data_hash": hashlib.sha256(b"13800138000").hexdigest(),
        "kind": "unparseable",
        "region": "360702",
        "sequence": 1,
        "stream": "FEEDBACK",
        "subject": SUBJECT,
        "v": 2,
    }


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(texts, texts, texts, texts, st.one_of(st.none(), texts), st.integers(1, 1 << 62))
def test_whatever_the_texts_are_the_leaf_is_what_a_json_library_writes(
    event_id: str, kind: str, source: str, subject: str, given: str | None, sequence: int
) -> None:
    attributes = Attributes(
        event_id,
        kind,
        source,
        ATTRIBUTES.time,
        ATTRIBUTES.time,
        "c",
        None,
        None,
        given,
        sequence % 2 == 0,
        given,
        None,
    )
    for duplicate_of in (None, 3):
        leaf = Leaf(Kind.EVENT, "FEEDBACK", sequence, subject, attributes, duplicate_of, bytes(32))
        raw = leaf_bytes(leaf)
        parsed = json.loads(raw)
        assert parsed["event_id"] == event_id
        assert parsed["subject"] == subject
        again = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert again.encode() == raw


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30), st.integers(0, 30))
def test_sealing_in_parts_gives_the_same_entries(ids: list[str | None], cut: int) -> None:
    arrivals = [arrival(number, event_id) for number, event_id in enumerate(ids, 1)]
    whole = seal(0, arrivals, {})
    known: dict[str, int] = {}
    parts = seal(0, arrivals[:cut], known)
    parts += seal(len(parts), arrivals[cut:], known)
    assert parts == whole
    assert [entry.index for entry in whole] == list(range(len(ids)))
