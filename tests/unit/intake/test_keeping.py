"""The vault's keeper on fakes: keys, leftovers, and what it must never destroy."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.intake.adapters.sealing import AesGcmSealer, UnsealError, key_of_record
from services.intake.application.keeping import DAY_MS, FEW_ORPHANS, Keeper, Pass, StoredRecord
from services.intake.domain.submission import unix_ms
from shared.auth.secrets import SecretKey
from tests.unit.intake.fakes import MemoryFeedbackLog, MemoryIndex
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, accepted, prepared, sealed

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
NEWER = AesGcmSealer(
    SecretKey("kek-2", b"n" * 32), os.urandom, earlier=[SecretKey("kek-1", bytes(32))]
)  # fmt: skip


class KeptRecords:
    """Plays `keeping.KeptVault`."""

    def __init__(self) -> None:
        self.stored: dict[int, StoredRecord] = {}
        self._next = 1

    def put(self, record_id: str, payload: bytes, age_days: float) -> None:
        stored_ms = unix_ms(NOW) - round(age_days * DAY_MS)
        self.stored[self._next] = StoredRecord(record_id, payload, self._next, stored_ms)
        self._next += 1

    async def records(self, after: int = 0) -> AsyncIterator[StoredRecord]:
        for record in list(self.stored.values()):
            if record.sequence > after:
                yield record

    async def replace(self, record_id: str, payload: bytes, sequence: int) -> bool:
        if self.stored.pop(sequence, None) is None:
            return False
        self.put(record_id, payload, 0)
        return True

    async def erase(self, record_id: str) -> bool:
        found = [each for each, record in self.stored.items() if record.record_id == record_id]
        for sequence in found:
            del self.stored[sequence]
        return bool(found)

    @property
    def names(self) -> set[str]:
        return {record.record_id for record in self.stored.values()}


class Case:
    """A keeper with everything around it."""

    def __init__(self, sealer: AesGcmSealer = SEALER) -> None:
        self.vault, self.index, self.log = KeptRecords(), MemoryIndex(), MemoryFeedbackLog(PSEUDONYMS)
        self.erased: set[str] = set()
        self.keeper = Keeper(
            vault=self.vault,
            sealer=sealer,
            key_of=key_of_record,
            log=self.log,
            index=self.index,
            pseudonyms=PSEUDONYMS,
            erased=self.erased,
            after_days=7,
            horizon_days=400,
        )

    async def rating(self, ref: str, age_days: float) -> str:
        """An accepted rating with a text; the name of its record."""
        message, record = sealed(prepared(ref), "a text", None)
        (stored,) = await self.log.append([message])
        self.index.add([accepted(ref, stored.sequence)])
        self.vault.put(record.record_id, record.payload, age_days)
        return record.record_id

    def leftover(self, ref: str, age_days: float) -> str:
        """A record without a rating; its name."""
        record = SEALER.seal(prepared(ref).event_id, "a text", None)
        self.vault.put(record.record_id, record.payload, age_days)
        return record.record_id

    async def go(self) -> Pass:
        return await self.keeper.go_through(NOW)


async def test_a_leftover_is_destroyed_once_it_is_old_enough_and_never_before() -> None:
    case = Case()
    kept = await case.rating("kept", 30)
    case.leftover("old", 8)
    young = case.leftover("young", 6)  # its rating may wait in a spool
    done = await case.go()
    assert (done.records, done.orphans) == (3, 1)
    assert case.vault.names == {kept, young}


async def test_the_record_of_a_rating_that_lost_a_race_is_a_leftover() -> None:
    case = Case()
    kept = await case.rating("ref", 30)
    case.leftover("ref", 30)
    assert (await case.go()).orphans == 1
    assert case.vault.names == {kept}


async def test_nothing_is_judged_by_an_index_that_does_not_know_the_whole_stream() -> None:
    case = Case()
    name = case.leftover("old", 30)
    case.index.ready = False
    assert (await case.go()).orphans == 0
    case.index.ready = True
    assert case.vault.names == {name}
    assert (await case.go()).orphans == 1


async def test_a_record_older_than_what_the_index_remembers_stays() -> None:
    case = Case()
    name = case.leftover("ancient", 400)
    assert (await case.go()).orphans == 0
    assert case.vault.names == {name}


async def test_a_record_that_was_wrapped_again_is_as_old_as_before() -> None:
    case = Case(NEWER)
    name = case.leftover("ancient", 400)
    assert (await case.go()).rewrapped == 1
    await case.go()
    assert case.vault.names == {name}, "to the broker it is new, and the index does not know its rating"


async def test_where_too_many_seem_to_belong_to_nobody_none_is_destroyed() -> None:
    case = Case()
    for number in range(FEW_ORPHANS + 1):
        case.leftover(f"lost-{number}", 30)
    done = await case.go()
    assert (done.orphans, done.spared) == (0, FEW_ORPHANS + 1)
    assert len(case.vault.names) == FEW_ORPHANS + 1


async def test_every_record_comes_under_the_newest_key_and_opens_as_before() -> None:
    case = Case(NEWER)
    name = await case.rating("ref", 1)
    assert (await case.go()).by_key == {"kek-2": 1}
    assert (await case.go()).rewrapped == 0
    (record,) = case.vault.stored.values()
    assert NEWER.owner(name, record.payload, 0)[0] == prepared("ref").event_id
    with pytest.raises(UnsealError, match="kek-2"):
        SEALER.owner(name, record.payload, 0)


async def test_a_record_that_no_key_opens_is_told_and_left() -> None:
    case = Case(AesGcmSealer(SecretKey("kek-3", b"o" * 32), os.urandom))
    name = await case.rating("ref", 30)
    done = await case.go()
    assert (done.unopened, done.orphans) == (1, 0)
    assert case.vault.names == {name}


async def test_what_an_erasure_names_is_destroyed_whenever_it_comes_back() -> None:
    case = Case()
    case.erased.add(await case.rating("ref", 1))
    assert (await case.go()).erased_again == 1
    assert case.vault.names == set()
