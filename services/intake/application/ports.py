"""Roles that intake's use cases need; adapters play them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.intake.domain.accepted import Accepted
from services.intake.domain.revisions import Revision
from services.intake.domain.submission import Contact
from shared.events import CountedFields, Envelope
from shared.messaging.group_commit import Outgoing, Stored
from shared.rules import RulePack


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A text and a contact, sealed.

    Attributes:
        record_id: random name of the vault record.
        payload: body of the vault record: the text's key and the contact, under the key-encryption key.
        nonce: base64; of the text.
        ciphertext: base64; the text with its tag; None if there is only a contact.
        has_contact: whether the record holds a contact.
    """

    record_id: str
    payload: bytes
    nonce: str
    ciphertext: str | None
    has_contact: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A rating as it stands in the stream.

    Attributes:
        record_id: name of its vault record; None without text and contact.
    """

    accepted: Accepted
    record_id: str | None


@dataclass(frozen=True, slots=True)
class InForce:
    """What a rating or a revision puts in force.

    Attributes:
        submitted: the fields as they were submitted, where a correction has changed them; else None.
        city: of the unit that the rating was submitted for, as in the subject; never changes.
        county: the same.
        people: who asked for and decided what is in force, as far as it was staff.
    """

    fields: CountedFields
    city: str
    county: str
    submitted: CountedFields | None = None
    people: frozenset[str] = frozenset()


class Sealer(Protocol):
    """Role: encrypts texts and contacts, each under a key that can be destroyed."""

    def seal(self, event_id: str, text: str | None, contact: Contact | None) -> SealedRecord:
        """Seal a scrubbed text and a contact under fresh keys; nothing is stored."""
        ...


class Sketcher(Protocol):
    """Role: says what texts may be compared by."""

    def signature(self, text: str, min_chars: int) -> tuple[int, ...] | None:
        """The MinHash signature of a text, see `domain.similarity`.

        None where it has fewer than `min_chars` characters apart from blanks and punctuation.
        """
        ...


class Vault(Protocol):
    """Role: keeps sealed records until somebody erases them."""

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """Make `records` durable: on return, or at the latest once the log has appended their events.

        Raises:
            TransientError: not known to be stored.
        """
        ...

    async def erase(self, record_id: str) -> bool:
        """Destroy a record and with it the text's key; whether it was there.

        Raises:
            TransientError: not known to be erased.
        """
        ...


class FeedbackLog(Protocol):
    """Role: the feedback stream, where an event counts as accepted once it is stored."""

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """Make `messages` durable; the answers come in their order.

        A negative sequence is no place in the stream: the message is on this machine's disk, and the stream
        gets it as soon as it can (ADR 0028).

        Raises:
            TransientError: not known to be stored; the same ids may be sent again.
        """
        ...

    async def read(self, sequence: int) -> Standing:
        """Read back the rating at `sequence`.

        Raises:
            TransientError: it can't be read now.
        """
        ...

    async def read_revision(self, sequence: int) -> Revision:
        """Read back the revision at `sequence`.

        Raises:
            TransientError: it can't be read now.
        """
        ...

    async def read_in_force(self, sequence: int) -> InForce:
        """Read back what the rating or revision at `sequence` puts in force.

        Raises:
            TransientError: it can't be read now.
        """
        ...


class AcceptedIndex(Protocol):
    """Role: remembers every rating of the feedback stream, and what became of it."""

    @property
    def ready(self) -> bool:
        """Whether it knows the whole stream; otherwise what it finds stands, and it may lack the rest."""
        ...

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """The remembered ones among `receipts`.

        Raises:
            TransientError: the index is being made anew.
        """
        ...

    def add(self, accepted: Iterable[Accepted]) -> None:
        """Remember ratings that the stream has just acknowledged; visible to `find` at once.

        Those with a negative sequence are passed over: they are not in the stream yet.
        """
        ...

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        """The remembered revisions of the rating with `receipt`, by number; the first in the stream of each.

        Raises:
            TransientError: the index is being made anew.
        """
        ...

    def add_revisions(self, revisions: Iterable[Revision]) -> None:
        """Remember revisions that the stream has just acknowledged; visible to `revisions` at once.

        Those with a negative sequence are passed over, as by `add`.
        """
        ...

    def skip(self, sequences: Iterable[int]) -> None:
        """Note sequences of the stream that hold neither a rating nor a revision."""
        ...


class Rules(Protocol):
    """Role: the rule pack in force."""

    def at(self, moment: datetime) -> RulePack:
        """The pack of the day of `moment`.

        Raises:
            PermanentError: no pack covers that day.
        """
        ...


class Tally(Protocol):
    """Role: counts what happened, for operators."""

    def accepted(self, channel: str, count: int) -> None:
        """`count` ratings are now in the stream."""
        ...

    def duplicate(self, channel: str) -> None:
        """A repeat of an accepted rating."""
        ...

    def conflict(self, channel: str) -> None:
        """A used key with other content."""
        ...

    def rejected(self, channel: str, reason: str) -> None:
        """A rating that can't be accepted; `reason` is a word of a short list."""
        ...

    def revised(self, move: str) -> None:
        """A rating was revised."""
        ...


class RegistryLog(Protocol):
    """Role: the stream REGISTRY, and this process's own fold of it."""

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """Make an event durable and wait until this process's books hold it; its sequence.

        Raises:
            TransientError: not known to be stored, or the fold is behind; the same event may be sent again.
        """
        ...

    def require_ready(self) -> None:
        """Make sure that the books hold everything that was in the stream when this process started.

        Raises:
            TransientError: they don't yet.
        """
        ...
