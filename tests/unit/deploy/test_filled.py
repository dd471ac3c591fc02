"""Recomputing from a stream that has dropped its oldest messages: the archive has them, or it is said."""

from collections.abc import AsyncIterator, Sequence

import pytest

from deploy.local.errors import LocalError
from deploy.local.history.sources import filled
from services.scoring.application.fold import Message
from services.scoring.application.older import OlderMessages
from services.scoring.application.ports import ArchivedMessage
from shared.messaging.publisher import BrokerUnavailableError

ALL = [ArchivedMessage(number, "feedback.v1.x", b"%d" % number) for number in range(1, 31)]


class Archive:
    def __init__(self, messages: Sequence[ArchivedMessage], *, away: bool = False) -> None:
        self.messages = messages
        self.away = away

    async def read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        if self.away:
            raise BrokerUnavailableError("no answer")
        return [each for each in self.messages if each.sequence > after][: min(most, 7)]


async def streamed(*parts: Sequence[Message]) -> AsyncIterator[Sequence[Message]]:
    for part in parts:
        yield part


async def sequences(older: OlderMessages, *parts: Sequence[Message]) -> list[int]:
    return [each.sequence async for batch in filled(streamed(*parts), older) for each in batch]


async def test_a_whole_stream_asks_no_archive() -> None:
    assert await sequences(OlderMessages(None), ALL[:10], ALL[10:]) == list(range(1, 31))


async def test_what_the_stream_has_dropped_comes_from_the_archive() -> None:
    older = OlderMessages(Archive(ALL))
    assert await sequences(older, ALL[17:25], ALL[25:]) == list(range(1, 31))
    assert await sequences(older, ALL[:4], ALL[9:]) == list(range(1, 31)), "a hole inside is filled too"


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (Archive(ALL, away=True), "no answer"),
        (Archive([*ALL[:5], *ALL[6:]]), "messages 6 to 6"),
        (Archive([*ALL[:17], ArchivedMessage(18, "feedback.v1.x", b"other"), *ALL[18:]]), "another message"),
    ],
)
async def test_what_nobody_has_is_named_and_nothing_is_left_out(archive: Archive, reason: str) -> None:
    with pytest.raises(LocalError, match=f"without messages .* to 17.*{reason}.*mend the archive"):
        await sequences(OlderMessages(archive), ALL[17:])
