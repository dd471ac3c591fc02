"""Intake's ports in memory; `port_suites` holds them equal to the real adapters."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from services.intake.adapters.jetstream_log import read_accepted, read_private
from services.intake.adapters.stored_revisions import read_in_force, read_revision
from services.intake.application.people import Private
from services.intake.application.ports import InForce, SealedRecord, Standing
from services.intake.domain.acceptance import Issue
from services.intake.domain.accepted import Accepted
from services.intake.domain.panels import PanelBook
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Revision
from shared.kernel.units import Unit
from shared.messaging.group_commit import Outgoing, Stored
from shared.messaging.publisher import BrokerUnavailableError


class MemoryFeedbackLog:
    """Plays `ports.FeedbackLog`: a stream that remembers every message id."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self.messages: list[Outgoing] = []
        self._sequences: dict[str, int] = {}

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        return [self._append(message) for message in messages]

    def _append(self, message: Outgoing) -> Stored:
        earlier = self._sequences.get(message.message_id)
        if earlier is not None:
            return Stored(earlier, duplicate=True)
        self.messages.append(message)
        self._sequences[message.message_id] = len(self.messages)
        return Stored(len(self.messages), duplicate=False)

    async def read(self, sequence: int) -> Standing:
        data = self._payload(sequence)
        accepted = read_accepted(data, sequence, self._pseudonyms)
        if accepted is None:
            raise BrokerUnavailableError(f"sequence {sequence} holds no rating")
        given = json.loads(data)["data"]
        return Standing(accepted, given.get("contact_record") or given.get("text", {}).get("record"))

    async def read_revision(self, sequence: int) -> Revision:
        revision = read_revision(self._payload(sequence), sequence, self._pseudonyms)
        if revision is None:
            raise BrokerUnavailableError(f"sequence {sequence} holds no revision")
        return revision

    async def read_in_force(self, sequence: int) -> InForce:
        in_force = read_in_force(self._payload(sequence))
        if in_force is None:
            raise BrokerUnavailableError(f"sequence {sequence} puts nothing in force")
        return in_force

    async def read_private(self, sequence: int) -> Private:
        private = read_private(self._payload(sequence))
        if private is None:
            raise BrokerUnavailableError(f"sequence {sequence} holds no rating")
        return private

    def _payload(self, sequence: int) -> bytes:
        return self.messages[sequence - 1].payload if 0 < sequence <= len(self.messages) else b""


class MemoryVault:
    """Plays `ports.Vault`."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    async def store(self, records: Sequence[SealedRecord]) -> None:
        self.records.update((record.record_id, record.payload) for record in records)

    async def erase(self, record_id: str) -> bool:
        return self.records.pop(record_id, None) is not None


class MemoryIndex:
    """Plays `ports.AcceptedIndex`."""

    def __init__(self) -> None:
        self.ready = True
        self._ratings: dict[bytes, Accepted] = {}
        self._revisions: dict[tuple[bytes, int], Revision] = {}

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        return {receipt: self._ratings[receipt] for receipt in receipts if receipt in self._ratings}

    def add(self, accepted: Iterable[Accepted]) -> None:
        for rating in accepted:
            if rating.sequence < 0:
                continue
            for receipt in (rating.receipt, *rating.others):
                earlier = self._ratings.get(receipt)
                if earlier is None or rating.sequence < earlier.sequence:
                    others = rating.others if receipt == rating.receipt else ()
                    self._ratings[receipt] = rating._replace(receipt=receipt, others=others)

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        found = [revision for (of, _), revision in self._revisions.items() if of == receipt]
        return tuple(sorted(found, key=lambda revision: revision.number))

    def revised(self, receipts: Sequence[bytes]) -> set[bytes]:
        return {receipt for receipt, _ in self._revisions if receipt in receipts}

    def add_revisions(self, revisions: Iterable[Revision]) -> None:
        for revision in revisions:
            earlier = self._revisions.get((revision.receipt, revision.number))
            if revision.sequence > 0 and (earlier is None or revision.sequence < earlier.sequence):
                self._revisions[revision.receipt, revision.number] = revision

    def skip(self, sequences: Iterable[int]) -> None:
        """Nothing follows from a position that nobody asks for."""


class CountingTally:
    """Plays `ports.Tally`; `counts` by outcome."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def accepted(self, _channel: str, count: int) -> None:
        self.counts["accepted"] += count

    def duplicate(self, _channel: str) -> None:
        self.counts["duplicate"] += 1

    def conflict(self, _channel: str) -> None:
        self.counts["conflict"] += 1

    def rejected(self, _channel: str, _reason: str) -> None:
        self.counts["rejected"] += 1

    def revised(self, move: str) -> None:
        self.counts[move] += 1

    def over_quota(self, quota: str) -> None:
        self.counts[f"over {quota}"] += 1

    def issued_tokens(self, count: int) -> None:
        self.counts["tokens"] += count


class EverySeat(PanelBook):
    """Everybody is an assessor of everything."""

    def issue(self, assessor: str | None, unit: Unit, year: int) -> Issue | None:
        del assessor, unit, year
        return None
