"""The hashes, against vectors worked out by hand with the formulas of the service's README."""

import hashlib
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.archive.domain.chain import EMPTY, GENESIS, chain_hash, leaf_bytes, leaf_hash, seal
from services.archive.domain.entries import Arrival, Attributes, Kind, Leaf

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
)
SUBJECT = "feedback.v1.submitted.3607.360702"
TEXT = (
    '{"channel":"qr","city":"3607","county":"360702","data_hash":"'
    + hashlib.sha256(b"{}").hexdigest()
    + '","event_id":"01890000-0000-7000-8000-000000000001","kind":"event",'
    '"received_at":"2026-03-02T04:00:01.000Z","sequence":7,"source":"/pingyi/intake","stream":"FEEDBACK",'
    '"subject":"feedback.v1.submitted.3607.360702","synthetic":false,"time":"2026-03-02T04:00:00.123Z",'
    '"type":"cn.pingyi.feedback.submitted.v1","v":1}'
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


def test_the_chain_starts_at_a_fixed_value_and_takes_every_leaf_in() -> None:
    entries = seal(EMPTY, [arrival(1, "a"), arrival(2, "b")], {})
    assert hashlib.sha256(b"pingyi archive log v1").digest() == GENESIS
    first = hashlib.sha256(b"\x02" + GENESIS + entries[0].leaf_hash).digest()
    assert entries[0].chain_hash == first
    assert entries[1].chain_hash == hashlib.sha256(b"\x02" + first + entries[1].leaf_hash).digest()
    assert chain_hash(first, entries[1].leaf_hash) == entries[1].chain_hash


def test_repeats_within_a_batch_and_against_the_log_are_duplicates_of_the_first() -> None:
    entries = seal(EMPTY, [arrival(1, "a"), arrival(2, "b"), arrival(3, "a"), arrival(4, "old")], {"old": -5})
    assert [entry.leaf.duplicate_of for entry in entries] == [None, None, 0, -5]
    assert [entry.leaf.kind for entry in entries] == [
        Kind.EVENT,
        Kind.EVENT,
        Kind.DUPLICATE,
        Kind.DUPLICATE,
    ]


def test_an_unparseable_message_leaves_its_hash_and_nothing_of_its_bytes() -> None:
    (entry,) = seal(EMPTY, [arrival(1, None, b"13800138000")], {})
    assert entry.envelope is None
    assert entry.leaf.data_hash == hashlib.sha256(b"13800138000").digest()
    assert json.loads(leaf_bytes(entry.leaf)) == {
        "city": "3607",
        "county": "360702",
        "data_hash": hashlib.sha256(b"13800138000").hexdigest(),
        "kind": "unparseable",
        "sequence": 1,
        "stream": "FEEDBACK",
        "subject": SUBJECT,
        "v": 1,
    }


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(texts, texts, texts, texts, st.one_of(st.none(), texts), st.integers(1, 1 << 62))
def test_whatever_the_texts_are_the_leaf_is_what_a_json_library_writes(
    event_id: str, kind: str, source: str, subject: str, channel: str | None, sequence: int
) -> None:
    attributes = Attributes(
        event_id, kind, source, ATTRIBUTES.time, ATTRIBUTES.time, "c", None, None, channel, sequence % 2 == 0
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
    whole = seal(EMPTY, arrivals, {})
    known: dict[str, int] = {}
    head = EMPTY
    parts = seal(head, arrivals[:cut], known)
    if parts:
        head = type(EMPTY)(parts[-1].index, parts[-1].chain_hash)
    parts += seal(head, arrivals[cut:], known)
    assert parts == whole
    assert [entry.index for entry in whole] == list(range(len(ids)))
