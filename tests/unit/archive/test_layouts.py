"""A log of two layouts: each entry is read, hashed, stored and checked by the rules of its own."""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.audit.verify_export import Verifier, canonical, expected_leaf
from services.archive.adapters import documents
from services.archive.adapters.documents import Form, examine, from_document, to_document
from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import Announcements, EntryLog, TreeStore
from services.archive.application.replaying import Replay, ReplayRefusedError
from services.archive.domain import leaves
from services.archive.domain.entries import Arrival, Entry, Leaf
from services.archive.domain.leaves import leaf_bytes, leaf_hash, seal
from services.archive.domain.merkle import root
from services.archive.domain.tiles import TreeEdge
from services.archive.metrics import ArchiveMetrics
from shared.events.audit import BatchSequenced, SequencedRun
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import FEEDBACK
from shared.observability.metrics import ServiceMetrics
from shared.testing.builders import envelope_of, feedback_submitted
from tests.unit.archive.fakes import Leading, MemoryLog, MemoryStreams

NEXT = 3
SUBJECT = "feedback.v1.submitted.3607.360702"


def _leaf_bytes_3(leaf: Leaf) -> bytes:
    """As layout 2, with the hash under another name."""
    found = json.loads(leaves._leaf_bytes_2(leaf))  # noqa: SLF001 - what the next version would do, too
    return canonical({**found, "digest": found.pop("data_hash"), "v": NEXT}).encode()


def _write_3(entry: Entry) -> dict[str, Any]:
    written = documents._write_2(entry)  # noqa: SLF001 - likewise
    return {**written, "digest": written.pop("data_hash"), "v": NEXT}


def _read_3(document: dict[str, Any]) -> Entry:
    found = dict(document)
    entry = documents._read_2({**found, "data_hash": found.pop("digest")})  # noqa: SLF001 - likewise
    leaf = entry.leaf
    moved = Leaf(
        leaf.kind, leaf.stream, leaf.sequence, leaf.subject, leaf.attributes, leaf.duplicate_of,
        leaf.data_hash, NEXT,
    )  # fmt: skip
    return Entry(entry.index, moved, entry.envelope, entry.leaf_hash)


def _expected_3(leaf: dict[str, Any], raw: bytes | None, event: dict[str, Any] | None) -> dict[str, Any]:
    made = expected_leaf({**leaf, "data_hash": leaf["digest"]}, raw, event)
    return {**made, "digest": made.pop("data_hash"), "v": NEXT}


@pytest.fixture
def _knows_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(leaves.LEAF_BYTES, NEXT, _leaf_bytes_3)
    monkeypatch.setitem(documents._FORMS, NEXT, Form(_write_3, _read_3))  # noqa: SLF001 - the table itself


def two_layouts() -> list[Entry]:
    """Five entries of layout 2, then five of the next one; the last event came before, in layout 2."""
    known: dict[str, int] = {}

    def arrivals(first: int, names: str) -> list[Arrival]:
        found = []
        for sequence, name in enumerate(names, first):
            raw = envelope_of(feedback_submitted(), event_id=f"event-{name}").to_json()
            found.append(Arrival(FEEDBACK, sequence, SUBJECT, raw, read_attributes(raw)))
        return found

    entries = seal(0, arrivals(1, "abcde"), known)
    return entries + seal(5, arrivals(6, "fghib"), known, NEXT)


@pytest.mark.usefixtures("_knows_the_next")
def test_documents_of_both_layouts_are_stored_and_read_by_their_own_rules() -> None:
    entries = two_layouts()
    stored = [to_document(entry) for entry in entries]
    assert [document["v"] for document in stored] == [2] * 5 + [NEXT] * 5
    assert ["digest" in document for document in stored] == [False] * 5 + [True] * 5
    assert [from_document(document) for document in stored] == entries
    assert [examine(document).problem for document in stored] == [None] * 10
    taken_for_the_next = examine({**stored[0], "v": NEXT})
    assert taken_for_the_next.problem is not None, "the layout that it says is the one that it is judged by"


@pytest.mark.usefixtures("_knows_the_next")
def test_one_tree_holds_both_and_the_stand_alone_verifier_checks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = two_layouts()
    assert all(entry.leaf_hash == leaf_hash(entry.leaf) for entry in entries)
    assert entries[9].leaf.duplicate_of == 1
    verifier = Verifier(tmp_path, [], [])
    verifier.layouts[NEXT] = _expected_3
    verifier.checkpoints = {10: {tmp_path / "checkpoint": root([entry.leaf_hash for entry in entries])}}
    for entry in entries:
        assert entry.envelope is not None
        verifier.feed(
            {
                "index": entry.index,
                "leaf": leaf_bytes(entry.leaf).decode(),
                "envelope": b64encode(entry.envelope).decode(),
            }
        )
    assert (verifier.wrong, verifier.count) == (0, 10), capsys.readouterr().out
    changed = entries[7].envelope or b""
    leaf = json.loads(leaf_bytes(entries[7].leaf))
    found = _expected_3(leaf, changed + b" ", json.loads(changed))
    assert found["digest"] == sha256(changed + b" ").hexdigest() != leaf["digest"]


def test_a_version_that_does_not_know_a_layout_says_which_one() -> None:
    (entry, *_) = seal(0, [Arrival(FEEDBACK, 1, SUBJECT, b"no event", None)], {})
    document = {**to_document(entry), "v": NEXT}
    with pytest.raises(InvalidValueError, match="an entry of layout 2"):
        from_document(document)
    assert "an entry of layout 2" in (examine(document).problem or "")


@pytest.mark.usefixtures("_knows_the_next")
@pytest.mark.parametrize("layout", [2, NEXT])
async def test_a_replay_writes_what_was_announced_in_the_layout_that_gives_its_root(layout: int) -> None:
    raw = [envelope_of(feedback_submitted(), event_id=f"event-{name}").to_json() for name in "abcd"]
    streams, log = MemoryStreams(), MemoryLog()
    for sequence, data in enumerate(raw, 1):
        streams.put(FEEDBACK, [sequence], data)
    arrivals = [
        Arrival(FEEDBACK, each.sequence, each.subject, each.data, read_attributes(each.data))
        for each in await streams.fetch(FEEDBACK, 1, 4)
    ]
    written = seal(0, arrivals, {}, layout)
    replay = Replay(
        cast("EntryLog", log), cast("TreeStore", None), cast("Announcements", None), streams, Leading(),
        ArchiveMetrics(ServiceMetrics("archive")),
    )  # fmt: skip
    event = BatchSequenced(
        origin="log", first_index=0, size=4, runs=(SequencedRun(stream=FEEDBACK, first=1, last=4),),
        root=root([entry.leaf_hash for entry in written]).hex(),
    )  # fmt: skip
    edge = TreeEdge()
    await replay._replay(event, edge)  # noqa: SLF001 - one announcement
    assert log.entries == written
    forged = event.model_copy(update={"root": "00" * 32})
    with pytest.raises(ReplayRefusedError, match="as announced"):
        await replay._replay(forged, TreeEdge())  # noqa: SLF001 - likewise
