"""The way in from the archive: what the stream no longer has is folded before what it has (ADR 0024)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

import structlog

from services.scoring.application.fold import Message
from services.scoring.application.older import OlderMessages
from services.scoring.application.ports import StreamHistory
from shared.kernel.errors import PermanentError, TransientError

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
BLOCKED_S: Final = 10.0
"""How often a gap that nobody can fill is looked at again: the archive may be mended meanwhile."""


class Folded(NamedTuple):
    """How far the fold has come: last sequence, and `message_hash` of the message there (empty: unknown)."""

    position: int
    anchor: str


class OlderFeed:
    """Closes gaps between the fold and the stream, however long that takes.

    Attributes:
        waits: why it waits for the archive; None while it does not.
        blocked: what nobody has; a person must mend it. None while there is nothing.
    """

    def __init__(
        self,
        history: StreamHistory,
        older: OlderMessages,
        folded: Callable[[], Folded],
        fold: Callable[[Sequence[Message], int], Awaitable[None]],
        *,
        past_holes: bool,
    ) -> None:
        """Fill gaps of the stream that ``history`` looks at.

        Args:
            history: the stream itself.
            older: what it no longer has.
            folded: says how far the fold has come.
            fold: takes messages and how many are still to come.
            past_holes: a person has allowed to go on without what nobody has.
        """
        self._history = history
        self._older = older
        self._folded = folded
        self._fold = fold
        self._past_holes = past_holes
        self.waits: str | None = None
        self.blocked: str | None = None

    async def fold_expired(self) -> None:
        """Fold what the stream has dropped behind the position; before the stream is read.

        Raises:
            TransientError: the broker is away; call again.
        """
        look = self._history.look
        while (state := await look(self._folded().position)).first > self._folded().position + 1:
            oldest = await look(state.first)
            if oldest.first != state.first or (oldest.message_hash is None and oldest.last >= state.first):
                continue  # more of it expired while we looked
            await self.fold_up_to(state.first, oldest.message_hash, oldest.last - state.first + 1)
            if self._folded().position < state.first - 1:
                return

    async def fold_up_to(self, following: int, following_hash: str | None, behind: int) -> None:
        """Fold what lies between the position and the sequence ``following``.

        Waits until the archive has all of it, and if nobody has, until that is mended. If a person has
        allowed it, what nobody has is left out.

        Args:
            following: sequence of the next message that the stream has, or will have.
            following_hash: its `message_hash`; None if the stream is empty.
            behind: how many messages the stream has from there on.
        """
        last, joined = following - 1, following_hash is None
        while (folded := self._folded()).position < last:
            first = folded.position + 1
            try:
                if not joined and following_hash is not None:
                    await self._older.check_seam(following, following_hash)
                    joined = True
                part = await self._older.read(*folded, last, past_holes=self._past_holes)
            except TransientError as error:
                self.waits = f"waiting for the archive: messages {first} to {last}"
                log.warning("fold_waits", reason=f"{self.waits}: {error}", delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            except PermanentError as error:
                reason = str(error)
                log.error("messages_missing", first=first, last=last, reason=reason)  # noqa: TRY400 - no trace
                if self._past_holes:
                    break
                self.waits, self.blocked = None, reason
                await asyncio.sleep(BLOCKED_S)
                continue
            self.waits = self.blocked = None
            await self._fold(part, last - part[-1].sequence + behind)
            await asyncio.sleep(0)
        self.waits = self.blocked = None


def runs(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    """Start and end of each part of ``messages`` without a hole inside; a hole may be before each of them."""
    if messages and messages[-1].sequence - messages[0].sequence == len(messages) - 1:
        yield 0, len(messages)
        return
    start = 0
    for at in range(1, len(messages) + 1):
        if at == len(messages) or messages[at].sequence != messages[at - 1].sequence + 1:
            yield start, at
            start = at
