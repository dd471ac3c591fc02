"""Keeping the vault in order: keys are changed, leftovers are destroyed, and what was erased stays erased.

One pass looks at every record. It repeats by itself and may be cut off anywhere: what it has done stays done,
and the next pass goes on with the rest.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Container
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from services.intake.application.ports import AcceptedIndex, FeedbackLog
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import unix_ms
from shared.kernel.errors import PermanentError

DAY_MS: Final = 86_400_000
FEW_ORPHANS: Final = 20
ORPHAN_SHARE: Final = 0.05
"""Where more records than a few, and more than this share, seem to belong to nobody, something else is
wrong: a stream that lost its end, an index of another stream. Then nothing is destroyed."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One message of the vault; `stored_ms` is when the broker stored it, Unix milliseconds."""

    record_id: str
    payload: bytes
    sequence: int
    stored_ms: int


class KeptVault(Protocol):
    """Role: the vault as its keeper sees it."""

    def records(self, after: int = 0) -> AsyncIterator[StoredRecord]:
        """Every copy of every record behind the sequence `after`, in order, up to the end.

        Raises:
            TransientError: the vault can't be read now.
        """
        ...

    async def replace(self, record_id: str, payload: bytes, sequence: int) -> bool:
        """Put `payload` in the place of the copy at `sequence`; False if that is not the newest one."""
        ...

    async def erase(self, record_id: str) -> bool:
        """Destroy a record; whether it was there."""
        ...


class KeySealer(Protocol):
    """Role: changes and reads what encrypts a record."""

    @property
    def newest(self) -> str:
        """Id of the key that new records are sealed under."""
        ...

    def rewrap(self, record_id: str, payload: bytes, stored_ms: int) -> bytes | None:
        """The record under the newest key; None if it is so already; raises `PermanentError`."""
        ...

    def owner(self, record_id: str, payload: bytes, stored_ms: int) -> tuple[str, int]:
        """Event id that a record was made for, and when, Unix milliseconds; raises `PermanentError`."""
        ...


@dataclass(slots=True)
class Pass:
    """What one pass saw and did.

    Attributes:
        began_at: when it began.
        records: how many messages it saw.
        by_key: records by the key-encryption key that they are under afterwards.
        rewrapped: wrapped again under the newest key.
        erased_again: records that an erasure names and that were there all the same.
        orphans: records that no rating names, destroyed.
        spared: records that no rating seems to name, left because they are too many.
        unopened: records that no live key opens; nothing is done to them.
    """

    began_at: datetime
    records: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    rewrapped: int = 0
    erased_again: int = 0
    orphans: int = 0
    spared: int = 0
    unopened: int = 0


class Keeper:
    """Goes through the vault."""

    def __init__(  # noqa: PLR0913 - the roles that it needs, keyword-only
        self,
        *,
        vault: KeptVault,
        sealer: KeySealer,
        key_of: Callable[[bytes], str | None],
        log: FeedbackLog,
        index: AcceptedIndex,
        pseudonyms: Pseudonyms,
        erased: Container[str],
        after_days: float,
        horizon_days: int,
    ) -> None:
        """Use these adapters.

        Args:
            vault: where the records are.
            sealer: opens and wraps them.
            key_of: id of the key that a record's body is under.
            log: the feedback stream.
            index: the ratings that were accepted.
            pseudonyms: make receipts of event ids.
            erased: names of records that were erased.
            after_days: age from which a record without a rating is a leftover; longer than a rating may wait
                in a spool.
            horizon_days: how long the index remembers ratings; older records are never judged by it.
        """
        self._vault = vault
        self._sealer = sealer
        self._key_of = key_of
        self._log = log
        self._index = index
        self._pseudonyms = pseudonyms
        self._erased = erased
        self._after_ms = round(after_days * DAY_MS)
        self._horizon_ms = (horizon_days - 1) * DAY_MS
        self.checked = 0
        """Records up to this sequence are known to belong to ratings."""

    async def go_through(self, now: datetime) -> Pass:
        """Look at every record once.

        Raises:
            TransientError: the vault or the stream can't be reached; go through again later.
        """
        done = Pass(now)
        judge = self._index.ready
        judged, orphans = 0, list[StoredRecord]()
        checked = self.checked
        async for record in self._vault.records():
            done.records += 1
            if record.record_id in self._erased:
                done.erased_again += await self._vault.erase(record.record_id)
                continue
            try:
                owner, made_ms = await self._kept(record, done)
            except PermanentError:
                done.unopened += 1
                continue
            age_ms = unix_ms(now) - made_ms
            if not judge or record.sequence <= checked or age_ms < self._after_ms:
                continue
            if age_ms < self._horizon_ms:
                judged += 1
                if await self._is_orphan(record.record_id, owner):
                    orphans.append(record)
                    continue
            self.checked = max(self.checked, record.sequence)
        if len(orphans) > max(FEW_ORPHANS, ORPHAN_SHARE * judged):
            done.spared = len(orphans)
            return done
        for record in orphans:
            done.orphans += await self._vault.erase(record.record_id)
        return done

    async def _kept(self, record: StoredRecord, done: Pass) -> tuple[str, int]:
        """Wrap a record again if its key is an earlier one; whose it is, and when it was made."""
        owner = self._sealer.owner(record.record_id, record.payload, record.stored_ms)
        wrapped = self._sealer.rewrap(record.record_id, record.payload, record.stored_ms)
        if wrapped is None:
            done.by_key[self._key_of(record.payload) or "unknown"] += 1
        else:
            replaced = await self._vault.replace(record.record_id, wrapped, record.sequence)
            done.rewrapped += replaced
            done.by_key[self._sealer.newest] += replaced
        return owner

    async def _is_orphan(self, record_id: str, event_id: str) -> bool:
        """Whether no rating names the record: it never came into being, or names another record."""
        receipt = self._pseudonyms.receipt(event_id)
        accepted = self._index.find((receipt,)).get(receipt)
        if accepted is None:
            return self._index.ready
        return (await self._log.read(accepted.sequence)).record_id != record_id
