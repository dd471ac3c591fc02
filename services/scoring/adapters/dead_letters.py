"""Filing messages that are no ratings, through the platform's one failure policy."""

from typing import Final

from services.scoring.application.fold import Message
from services.scoring.application.published import STREAM
from shared.messaging.failure import DeadLetters, FailedMessage

CONSUMER: Final = "scoring-fold"


class BusDeadLetterClerk:
    """See `DeadLetterClerk`."""

    def __init__(self, letters: DeadLetters) -> None:
        """File through ``letters``."""
        self._letters = letters

    async def file(self, message: Message, error: BaseException) -> None:
        """See :meth:`DeadLetterClerk.file`."""
        failed = FailedMessage(CONSUMER, STREAM, message.sequence, message.subject, message.data, 1)
        await self._letters.write(failed, error)
