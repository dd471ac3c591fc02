"""Checks a log entry by entry, in constant memory. Pure: whoever reads the log feeds it.

Each layer is compared with the stored layer below it (bytes → columns → leaf), so that one change is reported
where it is and not again in everything after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from services.archive.domain.entries import Attributes, Entry, Kind, Stored
from services.archive.domain.leaves import leaf_hash

FINDINGS_KEPT: Final = 100
"""A log that is broken throughout is told by its first findings; the rest is counted."""

ReadAttributes = Callable[[bytes], Attributes | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: the place, what is there, what should be."""

    where: str
    what: str
    expected: str


@dataclass(slots=True)
class StreamTally:
    """What the log holds of one stream; sequences are 0 before the first entry."""

    entries: int = 0
    first: int = 0
    last: int = 0
    missing: int = 0
    previous: int = 0


@dataclass(slots=True)
class Books:
    """Counts for the balance: ratings archived = ratings accepted."""

    archived: int = 0
    """Distinct submitted ratings without probes and drills."""
    synthetic: int = 0
    duplicates: int = 0
    unparseable: int = 0
    events: int = 0
    """Entries of kind event, all types."""


@dataclass(slots=True)
class LogVerifier:
    """Feed it every entry in the order of the index, then :meth:`finish`.

    Attributes:
        read_attributes: how attributes are read out of a message's bytes, the same way as on archiving.
        counted_type: the event type whose entries :attr:`books` counts.
        next_index: the index that is due.
        findings: the first :data:`FINDINGS_KEPT`.
        total: how many findings there were.
    """

    read_attributes: ReadAttributes
    counted_type: str
    next_index: int = 0
    findings: list[Finding] = field(default_factory=list)
    total: int = 0
    streams: dict[str, StreamTally] = field(default_factory=dict)
    books: Books = field(default_factory=Books)
    entries: int = 0

    def report(self, where: str, what: str, expected: str) -> None:
        """Add a finding."""
        self.total += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(Finding(where, what, expected))

    def feed(self, stored: Stored) -> None:
        """Check one entry against its predecessor and against itself."""
        self._check_index(stored.index)
        self.entries += 1
        if stored.problem is not None:
            self.report(f"index {stored.index}", stored.problem, "a document as it was archived")
        entry = stored.entry
        if entry is not None:
            self._check_content(entry)
            self._check_sequence(entry)
            self._count(entry)
        self.next_index = stored.index + 1

    def _check_index(self, index: int) -> None:
        due = self.next_index
        if index == due:
            return
        missing = f"index {due}" if index == due + 1 else f"index {due} to {index - 1}"
        self.report(missing, "missing", "an entry for every index")

    def _check_content(self, entry: Entry) -> None:
        leaf, where = entry.leaf, f"index {entry.index}"
        if entry.envelope is None:
            if leaf.kind is not Kind.UNPARSEABLE:
                self.report(where, "no envelope", f"the message's bytes, for kind {leaf.kind.value}")
        else:
            digest = sha256(entry.envelope).digest()
            if digest != leaf.data_hash:
                self.report(where, f"envelope with SHA-256 {digest.hex()}", leaf.data_hash.hex())
            found = self.read_attributes(entry.envelope)
            if found != leaf.attributes:
                self.report(where, f"fields {_differing(found, leaf.attributes)}", "as in the envelope")
        if leaf.duplicate_of is not None and not 0 <= leaf.duplicate_of < entry.index:
            self.report(where, f"duplicate of {leaf.duplicate_of}", "an earlier entry")
        computed = leaf_hash(leaf)
        if computed != entry.leaf_hash:
            self.report(where, f"leaf hash {entry.leaf_hash.hex()}", computed.hex())

    def _check_sequence(self, entry: Entry) -> None:
        leaf = entry.leaf
        tally = self.streams.setdefault(leaf.stream, StreamTally())
        due = tally.previous + 1
        if tally.entries == 0:
            tally.first = leaf.sequence  # what expired before the archive first looked is no finding
        elif leaf.sequence > due:
            tally.missing += leaf.sequence - due
            self.report(
                f"stream {leaf.stream}",
                f"sequences {due} to {leaf.sequence - 1} missing before index {entry.index}",
                "every sequence of the stream",
            )
        elif leaf.sequence < due:
            self.report(
                f"index {entry.index}", f"{leaf.stream} sequence {leaf.sequence} out of order", f"{due}"
            )
        tally.previous = leaf.sequence
        tally.entries += 1
        tally.last = max(tally.last, leaf.sequence)

    def _count(self, entry: Entry) -> None:
        kind, attributes = entry.leaf.kind, entry.leaf.attributes
        if kind is Kind.UNPARSEABLE or attributes is None:
            self.books.unparseable += 1
        elif kind is Kind.DUPLICATE:
            self.books.duplicates += 1
        else:
            self.books.events += 1
            if attributes.type == self.counted_type:
                self.books.synthetic += attributes.synthetic
                self.books.archived += not attributes.synthetic


def _differing(found: Attributes | None, stored: Attributes | None) -> str:
    if found is None or stored is None:
        return "of an event" if found is None else "missing"
    return ", ".join(
        f"{name} = {getattr(stored, name)!s}"
        for name in Attributes.__slots__
        if getattr(found, name) != getattr(stored, name)
    )
