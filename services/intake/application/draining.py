"""Bringing what was spooled to the broker: in order, and each message once."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from services.intake.application.envelopes import conflict_of_stored
from services.intake.application.ports import AcceptedIndex, FeedbackLog, SealedRecord, Vault
from services.intake.application.revision_messages import renumbered_withdrawal
from services.intake.application.safekeeping import SpoolingLog
from services.intake.application.spooling import Kept, Spool
from services.intake.domain.accepted import Accepted
from services.intake.domain.circuit import Circuit
from services.intake.domain.revisions import History, Revision
from services.intake.domain.spooled import Fate, Kind, fate_of_rating, fate_of_revision
from shared.kernel.errors import NotFoundError
from shared.kernel.units import UnitRegistry
from shared.messaging.group_commit import Outgoing, Stored

BATCH: Final = 500
"""Messages in one step: half of an atomic batch of the broker, so that live ratings share it."""

_DAMAGED: Final = "it does not read as it was written: its checksum differs"
_UNREADABLE: Final = "it can't be read"
_ELSEWHERE: Final = "its rating stands in the stream under an id of a former key, by another receipt"
_LOST_RACE: Final = "another revision of the rating has its number"


class DrainTally(Protocol):
    """Role: counts what became of spooled messages, for operators."""

    def drained(self, fate: str, count: int) -> None:
        """`count` messages left the spool; `fate` is a word of a short list."""
        ...


@dataclass(frozen=True, slots=True)
class Readers:
    """How stored bytes are read: each gives None for what is not of its kind."""

    rating: Callable[[bytes, int], Accepted | None]
    revision: Callable[[bytes, int], Revision | None]


class Drainer:
    """Drains one spool; one step at a time.

    Once at most: before a message is published the index, which knows the whole stream, is asked for its id;
    the broker's own window settles what is under way. Once at least: a row is forgotten only after the
    acknowledgement.
    """

    def __init__(  # noqa: PLR0913 - the parts of one step, keyword-only
        self,
        *,
        spool: Spool,
        log: FeedbackLog,
        vault: Vault,
        index: AcceptedIndex,
        units: UnitRegistry,
        readers: Readers,
        tally: DrainTally,
        circuit: Circuit,
        front: SpoolingLog | None = None,
        erased: Container[str] = (),
    ) -> None:
        """Drain `spool` to `log` and `vault`, which are the broker's own; tell `front` what is on its way.

        `erased` are the vault records of which a fact says that they were destroyed.
        """
        self._spool = spool
        self._log = log
        self._vault = vault
        self._index = index
        self._units = units
        self._readers = readers
        self._tally = tally
        self._circuit = circuit
        self._front = front
        self._erased = erased

    async def step(self) -> int:
        """Drain what is next; how many messages left the spool. The index must be ready.

        Raises:
            TransientError: the broker, the index or the spool can't now; the same messages come again.
        """
        kept = await self._spool.oldest(BATCH)
        if not kept:
            return 0
        if self._front is not None:
            self._front.draining_through = kept[-1].row
        todo: list[Kept] = []
        for one in kept:
            if not one.sound:
                await self._spool.set_aside(one.row, _DAMAGED)
                self._tally.drained("damaged", 1)
            else:
                todo.append(one)
        while todo:
            todo = await self._publish(todo)
        return len(kept)

    async def _publish(self, kept: list[Kept]) -> list[Kept]:
        """Publish `kept` up to the first whose fate depends on those before it; what is left."""
        kinships = [one.entry.kinship for one in kept]
        known = self._index.find([each for of in kinships for each in (of.about, *of.former)])
        publish: list[Kept] = []
        stored: list[Kept] = []
        abouts: set[bytes] = set()
        done = 0
        for one in kept:
            about, kind = one.entry.kinship.about, one.entry.kinship.kind
            names = (about, *one.entry.kinship.former)
            if kind is not Kind.CONFLICT and not abouts.isdisjoint(names):
                break  # what it belongs to, or may be a repeat of, must be in the stream first
            done += 1
            standing = _standing(one, known)
            fate = await self._fate(one, standing)
            if fate is Fate.PUBLISH:
                publish.append(one)
                abouts.update(names)
            elif fate is Fate.RENUMBER and standing is not None:
                publish.append(await self._renumbered(one, standing))
                abouts.update(names)
            elif fate is Fate.STORED:
                stored.append(one)
        await self._store(publish)
        if stored:
            await self._spool.done([one.row for one in stored])
            self._tally.drained(Fate.STORED, len(stored))
        return kept[done:]

    async def _fate(self, one: Kept, standing: Accepted | None) -> Fate | None:
        """What to do with a message; None if it was dealt with."""
        kind = one.entry.kinship.kind
        if kind is Kind.RATING:
            return await self._fate_of_rating(one, standing)
        if kind is Kind.REVISION:
            return await self._fate_of_revision(one, standing)
        return Fate.PUBLISH

    async def _fate_of_rating(self, one: Kept, standing: Accepted | None) -> Fate | None:
        rating = self._readers.rating(one.entry.message.payload, -one.row)
        if rating is None:
            await self._aside(one, _UNREADABLE)
            return None
        fate = fate_of_rating(rating.digest, standing)
        if fate is Fate.CONFLICT and standing is not None:
            await self._conflict(one, standing)
            return None
        return fate

    async def _fate_of_revision(self, one: Kept, standing: Accepted | None) -> Fate | None:
        if standing is None:
            # It was spooled behind its rating, which must be in the stream by now, unless by another id.
            await self._aside(one, _ELSEWHERE)
            return None
        revision = self._readers.revision(one.entry.message.payload, -one.row)
        if revision is None:
            await self._aside(one, _UNREADABLE)
            return None
        fate = fate_of_revision(revision, self._index.revisions(one.entry.kinship.about))
        if fate is Fate.LOST_RACE:
            await self._aside(one, _LOST_RACE)
            return None
        return fate

    async def _renumbered(self, one: Kept, standing: Accepted) -> Kept:
        """A withdrawal, at its row, behind what was decided about its rating since."""
        history = History(standing, self._index.revisions(one.entry.kinship.about))
        before = await self._log.read_in_force(history.sequence)
        message = renumbered_withdrawal(one.entry.message, before, history.number + 1)
        return replace(one, entry=replace(one.entry, message=message))

    async def _aside(self, one: Kept, reason: str) -> None:
        await self._spool.set_aside(one.row, reason)
        self._tally.drained("set_aside", 1)

    async def _store(self, kept: Sequence[Kept]) -> None:
        """Vault records first, then their events, then the index, then the rows are forgotten."""
        if not kept:
            return
        records = [
            SealedRecord(one.entry.kinship.record_id, one.entry.record, "", None, has_contact=False)
            for one in kept
            if one.entry.record is not None and one.entry.kinship.record_id is not None
        ]
        if records:
            await self._vault.store(records)
            for record in records:
                if record.record_id in self._erased:  # since these rows were read
                    await self._vault.erase(record.record_id)
        answers = await self._log.append([one.entry.message for one in kept])
        self._circuit.close()
        gone: list[int] = []
        for one, answer in zip(kept, answers, strict=True):
            if await self._settle(one, answer):
                gone.append(one.row)
        await self._spool.done(gone)
        self._tally.drained(Fate.PUBLISH, len(gone))

    async def _settle(self, one: Kept, answer: Stored) -> bool:
        """Remember what the stream now holds under the message's id; whether its row may be forgotten."""
        payload, kind = one.entry.message.payload, one.entry.kinship.kind
        if kind is Kind.CONFLICT:
            self._index.skip((answer.sequence,))
            return True
        if kind is Kind.REVISION:
            revision = self._readers.revision(payload, answer.sequence)
            if answer.duplicate:
                standing = await self._log.read_revision(answer.sequence)
                fate = Fate.STORED if revision is None else fate_of_revision(revision, (standing,))
                if fate is Fate.LOST_RACE:
                    await self._aside(one, _LOST_RACE)
                    return False
                if fate is Fate.RENUMBER:  # its turn comes again, when the index knows the other one
                    self._index.add_revisions((standing,))
                    return False
                revision = standing
            if revision is not None:
                self._index.add_revisions((revision,))
            return True
        rating = self._readers.rating(payload, answer.sequence)
        if answer.duplicate:
            found = await self._log.read(answer.sequence)
            if rating is not None and fate_of_rating(rating.digest, found.accepted) is Fate.CONFLICT:
                await self._conflict(one, found.accepted)
                return False
            await self._erase_other_record(one, found.record_id)
            rating = found.accepted
        if rating is not None:
            self._index.add((rating,))
        return True

    async def _erase_other_record(self, one: Kept, standing_record: str | None) -> None:
        """A record that no event names opens nothing; it must not stay behind."""
        own = one.entry.kinship.record_id
        if own is not None and own != standing_record:
            await self._vault.erase(own)

    async def _conflict(self, one: Kept, standing: Accepted) -> None:
        """Report other content under a used id, as for a request; the first one in the stream stands."""
        try:
            unit = self._units.get(standing.unit_id)
        except NotFoundError:
            unit = None
        message: Outgoing | None = conflict_of_stored(one.entry.message.payload, standing, unit)
        if message is None:
            await self._aside(one, _UNREADABLE)
            return
        (stored,) = await self._log.append((message,))
        self._index.skip((stored.sequence,))
        own = one.entry.kinship.record_id
        if own is not None:
            # It may be in the vault already, from the attempt before it was spooled.
            await self._vault.erase(own)
        await self._spool.done((one.row,))
        self._tally.drained(Fate.CONFLICT, 1)


def _standing(one: Kept, known: Mapping[bytes, Accepted]) -> Accepted | None:
    """What the stream holds under a rating's id, or under one that a former key would have given it."""
    kinship = one.entry.kinship
    found = (known.get(receipt) for receipt in (kinship.about, *kinship.former))
    return next((each for each in found if each is not None), None)
