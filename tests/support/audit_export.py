"""Exports of audit logs that never ran, of any size, in the form that ``verify_export.py`` reads."""

import json
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from services.archive.application.envelopes import read_attributes
from services.archive.domain import notes
from services.archive.domain.entries import Arrival
from services.archive.domain.leaves import leaf_bytes, make_leaf
from services.archive.domain.merkle import Frontier, leaf_hash, root
from services.archive.domain.notes import Algorithm, Checkpoint, SigningKey
from shared.kernel.clock import rfc3339
from shared.kernel.ids import derived_id
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.clock import NOON

ORIGIN = "pingyi.archive/360000"
KEY = SigningKey(ORIGIN, Algorithm.ED25519, bytes(range(32)))
FILE_ENTRIES = 10_000
RATING = "feedback.v1.submitted.3607.360702"
_AUDIT = "audit.v1.{}.all.all"


@dataclass
class SyntheticLog:
    """Writes an export of ``count`` ratings, with announcements and checkpoints among them.

    Attributes:
        every: ratings between two checkpoints.
        width: hashes in a tile; another one than 256 fits a verifier that was told so.
        repeated: ratings by number from 0, each with an earlier one that comes again in its place.
        malformed: ratings in whose place something comes that is no event.
    """

    directory: Path
    count: int
    every: int = 100
    width: int = 256
    key: SigningKey = KEY
    start: datetime = NOON
    repeated: Mapping[int, int] = field(default_factory=dict)
    malformed: Collection[int] = ()
    frontier: Frontier = field(default_factory=Frontier)
    sequences: dict[str, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    _levels: list[list[bytes]] = field(default_factory=lambda: [[]])
    _known: dict[str, int] = field(default_factory=dict)
    _runs: list[dict[str, Any]] = field(default_factory=list)
    _lines: list[bytes] = field(default_factory=list)

    def write(self) -> "SyntheticLog":
        """Write the directory; itself."""
        for name in ("checkpoints", "entries", "tile"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "keys").write_text(f"{self.key.verifier.text}\n", encoding="utf-8")
        for number, raw in enumerate(self._ratings(), 1):
            self._append("FEEDBACK", RATING, raw)
            if number % self.every == 0 or number == self.count:
                self._sign(last=number == self.count)
        self._flush()
        return self

    def _ratings(self) -> Iterator[bytes]:
        sample = envelope_of(feedback_submitted(), event_id=derived_id("rating", "0"), time=self.start)
        pieces = sample.to_json().replace(sample.id.encode(), b"%(id)s")
        template = pieces.replace(rfc3339(self.start).encode(), b"%(time)s")
        for number in range(self.count):
            moment = rfc3339(self.start + timedelta(milliseconds=number)).encode()
            event_id = derived_id("rating", str(self.repeated.get(number, number)))
            yield b"{" if number in self.malformed else template % {b"id": event_id.encode(), b"time": moment}

    def _append(self, stream: str, subject: str, raw: bytes) -> None:
        sequence = self.sequences[stream] = self.sequences.get(stream, 0) + 1
        index = self.frontier.size
        arrival = Arrival(stream, sequence, subject, raw, read_attributes(raw))
        leaf = leaf_bytes(make_leaf(arrival, index, self._known))
        entry: dict[str, Any] = {"index": index, "leaf": leaf.decode()}
        if arrival.attributes is not None:
            entry["envelope"] = b64encode(raw).decode()
        self._lines.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._grow(leaf_hash(leaf))
        if len(self._lines) == FILE_ENTRIES:
            self._flush()
        if self._runs and self._runs[-1]["stream"] == stream:
            self._runs[-1]["last"] = sequence
        else:
            self._runs.append({"stream": stream, "first": sequence, "last": sequence})

    def _grow(self, hashed: bytes) -> None:
        self.frontier.append(hashed)
        self._levels[0].append(hashed)
        level = 0
        while len(self._levels[level]) == self.width:
            number = self.frontier.size // self.width ** (level + 1) - 1
            path = self.directory / f"tile/{level}/{number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(self._levels[level]))
            above = root(self._levels[level])
            self._levels[level] = []
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(above)

    def _sign(self, *, last: bool) -> None:
        size, hashed = self.frontier.size, self.frontier.root()
        previous = self.sizes[-1] if self.sizes else 0
        note = str(notes.sign(Checkpoint(self.key.name, size, hashed), self.key, self.start))
        (self.directory / f"checkpoints/{size}").write_text(note, encoding="utf-8")
        self.sizes.append(size)
        if last:
            (self.directory / "checkpoint").write_text(note, encoding="utf-8")
            return
        runs, self._runs = self._runs, []
        common = {"origin": self.key.name, "size": size, "root": hashed.hex()}
        self._tell("batch-sequenced", {**common, "first_index": previous, "runs": runs})
        self._tell("checkpoint-signed", {**common, "note": note, "previous_size": previous})

    def _tell(self, fact: str, data: dict[str, Any]) -> None:
        event_id = derived_id(fact, str(data["size"]))
        moment = rfc3339(self.start + timedelta(milliseconds=self.frontier.size))
        event = {
            "specversion": "1.0", "id": event_id, "source": "/pingyi/archive", "correlationid": event_id,
            "type": f"cn.pingyi.audit.{fact}.v1", "time": moment, "receivedat": moment, "data": data,
        }  # fmt: skip
        self._append("AUDIT", _AUDIT.format(fact), json.dumps(event).encode())

    def _flush(self) -> None:
        if self._lines:
            first = self.frontier.size - len(self._lines)
            (self.directory / f"entries/{first:09d}.ndjson").write_bytes(b"".join(self._lines))
            self._lines.clear()
