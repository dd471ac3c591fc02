"""Ratings are kept by the broker, or by this machine's disk until the broker has them (ADR 0028).

These play the ports that the use cases know, so none of them knows of the spool. Order is kept for each
rating: whatever belongs to one that waits in the spool goes behind it. Other ratings need not wait: every
fold is a function of the set of ratings, so they may overtake.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from services.intake.application.envelopes import SUBMITTED, KeyedMessage
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.ports import (
    AcceptedIndex,
    FeedbackLog,
    InForce,
    SealedRecord,
    Standing,
    Vault,
)
from services.intake.application.spooling import Classify, Entry, Kept, Spool, SpoolUnavailableError
from services.intake.domain.accepted import Accepted
from services.intake.domain.circuit import Circuit
from services.intake.domain.revisions import Revision
from services.intake.domain.spooled import Kind
from shared.kernel.errors import describe
from shared.messaging.group_commit import Outgoing, PublishConflictError, PublishOverloadedError, Stored
from shared.messaging.publisher import BrokerUnavailableError, NothingSentError

_RATINGS: Final = SUBMITTED.subject_for("*", "*").removesuffix("*.*")


class SpoolingVault:
    """Plays `ports.Vault` for new ratings: what the broker can't take now waits for its event.

    A record and the event that names it are spooled in one transaction; so until `SpoolingLog.append` has the
    event, a record is only `held`, and nothing is promised.
    """

    def __init__(self, vault: Vault, spool: Spool, circuit: Circuit, index: AcceptedIndex) -> None:
        """Store through `vault` while the `circuit` is closed and the `index` is ready."""
        self._vault = vault
        self._spool = spool
        self._circuit = circuit
        self._index = index
        self.held: dict[str, bytes] = {}
        """Payload by record id, of records whose event comes next."""

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """See `ports.Vault.store`; afterwards the records are in the vault or held."""
        if self._circuit.closed and self._index.ready:
            try:
                await self._vault.store(records)
            except PublishOverloadedError:
                raise
            except BrokerUnavailableError:
                self._circuit.trip()
            else:
                return
        self.held.update((record.record_id, record.payload) for record in records)

    async def erase(self, record_id: str) -> bool:
        """See `ports.Vault.erase`; a record that waits in the spool is destroyed there, too.

        In both, since it may just be on its way from one to the other.
        """
        waited = await self._spool.erase_record(record_id) if self._spool.depth else False
        return await self._vault.erase(record_id) or waited


class SpoolingLog:
    """Plays `ports.FeedbackLog`: what the broker can't take is spooled, in the same bytes.

    The `Stored.sequence` of a spooled message is negative: its row, negated.
    """

    def __init__(
        self,
        log: FeedbackLog,
        spool: Spool,
        *,
        vault: SpoolingVault,
        circuit: Circuit,
        index: AcceptedIndex,
        classify: Classify,
        read_in_force: Callable[[bytes], InForce | None],
    ) -> None:
        """Append to `log` while the `circuit` is closed and the `index` is ready, else to `spool`."""
        self._log = log
        self._spool = spool
        self._held = vault.held
        self._circuit = circuit
        self._index = index
        self._classify = classify
        self._read_in_force = read_in_force
        self.draining_through = 0
        """Highest row that may be on its way to the broker right now."""

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """See `ports.FeedbackLog.append`.

        Raises:
            SpoolUnavailableError: neither broker nor spool can take them.
            TransientError: not known to be stored; the same ids may be sent again.
        """
        waits = self._spool.depth and self._behind(messages)
        if waits or self._held or not (self._circuit.closed and self._index.ready):
            return await self._keep(messages, None)
        try:
            return await self._log.append(messages)
        except (PublishOverloadedError, PublishConflictError):
            raise
        except BrokerUnavailableError as error:
            self._circuit.trip()
            return await self._keep(messages, error)

    def _behind(self, messages: Sequence[Outgoing]) -> bool:
        """Whether one of `messages` belongs to a rating that waits in the spool."""
        for message in messages:
            if not message.subject.startswith(_RATINGS):
                kinship = self._classify(message.payload)
                if kinship is not None and self._spool.rating(kinship.about) is not None:
                    return True
        return False

    async def _keep(
        self, messages: Sequence[Outgoing], failure: BrokerUnavailableError | None
    ) -> list[Stored]:
        """Spool `messages`; `failure` is what the broker did with them before."""
        uncertain = failure is not None and not isinstance(failure, NothingSentError)
        entries: list[Entry] = []
        for message in messages:
            kinship = self._classify(message.payload)
            if kinship is None:
                raise failure or _needs_the_broker()
            if kinship.kind is Kind.REVISION:
                rating = self._spool.rating(kinship.about)
                if rating is None and failure is None:
                    return await self._log.append(messages)  # only the broker can take it
                self._require_behind_its_rating(rating, failure)
            if isinstance(message, KeyedMessage):
                kinship = replace(kinship, former=message.former)
            record = self._held.pop(kinship.record_id, None) if kinship.record_id is not None else None
            entries.append(Entry(message, kinship, record, uncertain))
        try:
            rows = await self._spool.keep(entries)
        except SpoolUnavailableError as error:
            if uncertain and failure is not None:
                raise failure from error  # what is said of the outcome must not be more than is known
            raise
        return [Stored(-row, duplicate=False) for row in rows]

    def _require_behind_its_rating(self, rating: Kept | None, failure: BrokerUnavailableError | None) -> None:
        """A revision may be promised only where nobody else can have taken its number meanwhile.

        That is sure while this spool alone knows the rating, and for no rating that the stream has.
        """
        if rating is None or rating.entry.uncertain or rating.row <= self.draining_through:
            raise failure or _needs_the_broker()

    async def read(self, sequence: int) -> Standing:
        """See `ports.FeedbackLog.read`; of the stream only."""
        return await self._log.read(sequence)

    async def read_revision(self, sequence: int) -> Revision:
        """See `ports.FeedbackLog.read_revision`; of the stream only."""
        return await self._log.read_revision(sequence)

    async def read_in_force(self, sequence: int) -> InForce:
        """See `ports.FeedbackLog.read_in_force`; of the spool where `sequence` is negative."""
        if sequence >= 0:
            return await self._log.read_in_force(sequence)
        kept = self._spool.read(-sequence)
        found = None if kept is None or not kept.sound else self._read_in_force(kept.entry.message.payload)
        if found is None:  # drained meanwhile: the index knows its place in the stream
            raise _needs_the_broker()
        return found


def _needs_the_broker() -> NothingSentError:
    return NothingSentError(
        describe(
            "a change of a rating that is in the stream, or may be, with the broker away",
            "the broker, which alone knows what is in force",
            "retry; it reconnects by itself",
        )
    )


class SpoolingIndex:
    """Plays `ports.AcceptedIndex`: the stream's ratings, and before them those that wait in the spool."""

    def __init__(self, index: AcceptedIndex, spool: Spool) -> None:
        """Look into `spool` first: what waits there has no other place yet, or is about to get one."""
        self._index = index
        self._spool = spool
        # The index itself passes over what was spooled, and each rating comes by here.
        self.add = index.add
        self.add_revisions = index.add_revisions
        self.skip = index.skip

    @property
    def ready(self) -> bool:
        """Whether the stream's ratings are known."""
        return self._index.ready

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """See `ports.AcceptedIndex.find`."""
        if not self._spool.depth:
            return self._find_stored(receipts)
        asked = list(receipts)
        waiting = dict(self._spool.find(asked))
        others = [receipt for receipt in asked if receipt not in waiting]
        if others:
            waiting.update(self._find_stored(others))
        return waiting

    def _find_stored(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        return self._index.find(receipts)

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        """See `ports.AcceptedIndex.revisions`."""
        waiting = self._spool.revisions(receipt) if self._spool.depth else ()
        if waiting and not self._index.ready:
            return waiting
        stored = self._index.revisions(receipt)
        numbers = {revision.number for revision in stored}
        return (*stored, *(revision for revision in waiting if revision.number not in numbers))


class AcceptingIndex(SpoolingIndex):
    """The index for who accepts ratings: it always can, since draining compares with the complete one."""

    @property
    def ready(self) -> bool:
        """Always: a rating that is not known may be spooled, and is recognised when its turn comes."""
        return True

    def _find_stored(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        try:
            return self._index.find(receipts)
        except IndexNotReadyError:
            return {}
