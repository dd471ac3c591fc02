"""Reading from the archive what the stream has forgotten: whole, or not at all."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.application import older as module
from services.scoring.application.older import ArchiveBehindError, OlderMessages, OlderMessagesMissingError
from services.scoring.application.ports import ArchivedMessage
from services.scoring.application.snapshots import message_hash

LAST = 30
ALL = tuple(ArchivedMessage(number, "feedback.v1.x", b"%d" % number) for number in range(1, LAST + 1))


class MemoryArchive:
    """Has the messages that it was given; hands out at most three at once."""

    def __init__(self, messages: Sequence[ArchivedMessage] = ALL) -> None:
        self.messages = list(messages)

    async def read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        return [each for each in self.messages if each.sequence > after][: min(most, 3)]


def hash_at(sequence: int) -> str:
    return message_hash("feedback.v1.x", b"%d" % sequence)


async def read_all(archive: MemoryArchive, after: int, last: int, *, past_holes: bool = False) -> list[int]:
    """The sequences that are handed out one part after the other."""
    older, found = OlderMessages(archive), list[int]()
    while after < last:
        anchor = hash_at(after) if after else ""
        part = await older.read(after, anchor, last, past_holes=past_holes)
        found += [each.sequence for each in part]
        after = found[-1]
    return found


@given(after=st.integers(0, LAST - 1), length=st.integers(1, LAST), holes=st.sets(st.integers(1, LAST)))
async def test_a_gap_is_filled_with_every_message_or_refused(
    after: int, length: int, holes: set[int]
) -> None:
    last = min(after + length, LAST)
    archive = MemoryArchive([each for each in ALL if each.sequence not in holes])
    needed = set(range(max(1, after), last + 1))
    try:
        found = await read_all(archive, after, last)
    except OlderMessagesMissingError:
        assert needed & holes
    except ArchiveBehindError:
        assert needed & holes
        assert not any(each.sequence >= last for each in archive.messages)
    else:
        assert not needed & holes
        assert found == list(range(after + 1, last + 1))


async def test_what_is_missing_is_named() -> None:
    archive = MemoryArchive([each for each in ALL if each.sequence not in {5, 6}])
    with pytest.raises(OlderMessagesMissingError, match="messages 5 to 6 of FEEDBACK, neither in the stream"):
        await read_all(archive, 0, 10)
    with pytest.raises(OlderMessagesMissingError, match="messages 6 to 6"):
        await OlderMessages(MemoryArchive([*ALL[:5], *ALL[6:]])).read(5, "", 6)


async def test_a_person_may_allow_to_go_on_past_holes() -> None:
    archive = MemoryArchive([each for each in ALL if each.sequence not in {5, 6}])
    assert await read_all(archive, 0, 10, past_holes=True) == [1, 2, 3, 4, 7, 8, 9, 10]


async def test_an_archive_that_has_not_got_so_far_is_waited_for() -> None:
    archive = MemoryArchive(ALL[:8])
    with pytest.raises(ArchiveBehindError, match=r"ends before 9.*up to 10"):
        await read_all(archive, 0, 10)
    with pytest.raises(ArchiveBehindError, match="begins at 9, which is not archived yet"):
        await OlderMessages(archive).check_seam(9, hash_at(9))


async def test_an_archive_of_another_past_is_refused_on_either_side_of_the_gap() -> None:
    older = OlderMessages(MemoryArchive())
    await older.check_seam(11, hash_at(11))
    with pytest.raises(OlderMessagesMissingError, match=r"another message at 11.*check ARCHIVE_URL"):
        await older.check_seam(11, hash_at(12))
    with pytest.raises(OlderMessagesMissingError, match="another message at 4 than FEEDBACK had"):
        await older.read(4, hash_at(5), 10)


async def test_what_was_no_event_is_handed_out_empty_and_compared_with_nothing() -> None:
    bare = ArchivedMessage(4, "feedback.v1.x", b"", kept=False)
    older = OlderMessages(MemoryArchive([*ALL[:3], bare, *ALL[4:]]))
    await older.check_seam(4, hash_at(4))
    assert [each.sequence for each in await older.read(4, hash_at(4), 6)] == [5, 6]
    assert list(await older.read(3, hash_at(3), 4)) == [bare]


async def test_without_an_archive_the_setting_is_named() -> None:
    older = OlderMessages(None)
    with pytest.raises(OlderMessagesMissingError, match=r"a gap in FEEDBACK and no archive.*set ARCHIVE_URL"):
        await older.read(0, "", 10)
    with pytest.raises(OlderMessagesMissingError, match="set ARCHIVE_URL"):
        await older.check_seam(11, hash_at(11))


def test_a_part_is_what_the_archive_hands_out_at_once() -> None:
    assert module.PART <= 1000, "more than the archive's limit is refused"
