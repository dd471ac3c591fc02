import random
from datetime import timedelta
from pathlib import Path

from services.intake.adapters.receipt_filter import ReceiptFilter
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.domain.accepted import Accepted
from services.intake.domain.pseudonyms import RECEIPT_BYTES
from shared.kernel.ids import derived_id
from shared.testing.clock import NOON


def _accepted(number: int) -> Accepted:
    return Accepted(
        event_id=derived_id("test", str(number)),
        receipt=random.Random(number).randbytes(RECEIPT_BYTES),
        digest=f"k1.{number:032x}",
        sequence=number,
        received_at=NOON + timedelta(milliseconds=number),
        occurred_at=NOON,
        unit_id="U000112",
        grade=5,
    )


def test_everything_that_was_added_is_contained_and_next_to_nothing_else() -> None:
    chance = random.Random(1)
    added = [chance.randbytes(RECEIPT_BYTES) for _ in range(50_000)]
    others = [chance.randbytes(RECEIPT_BYTES) for _ in range(50_000)]
    known = ReceiptFilter(added)
    assert all(receipt in known for receipt in added)
    assert sum(receipt in known for receipt in others) < 10


async def test_an_index_that_is_opened_again_still_finds_every_rating(tmp_path: Path) -> None:
    ratings = [_accepted(number) for number in range(1, 301)]
    first = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await first.open("stream")
    first.add(ratings)
    await first.close()

    second = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await second.open("stream")
    found = second.find([rating.receipt for rating in ratings])
    unknown = second.find([_accepted(999).receipt])
    await second.close()

    assert found == {rating.receipt: rating for rating in ratings}
    assert unknown == {}


async def test_a_rating_is_found_before_and_after_it_is_written(tmp_path: Path) -> None:
    index = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await index.open("stream")
    index.add([_accepted(1)])
    before = index.find([_accepted(1).receipt])
    await index.flush()
    after = index.find([_accepted(1).receipt])
    await index.close()
    assert before == after == {_accepted(1).receipt: _accepted(1)}


async def test_a_file_that_breaks_while_it_is_read_is_made_anew(tmp_path: Path) -> None:
    first = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await first.open("stream")
    first.add([_accepted(number) for number in range(1, 5001)])
    await first.close()
    path = tmp_path / "index.sqlite"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    path.write_bytes(bytes(damaged))

    second = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await second.open("stream")
    assert second.position == 0
    second.add([_accepted(1)])
    assert list(second.find([_accepted(1).receipt])) == [_accepted(1).receipt]
    await second.close()
