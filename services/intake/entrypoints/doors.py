"""Who else is let in when more comes than can be done: every route that takes a body passes one of two doors.

Small bodies take a place of the same admission as single ratings, under a share named like their group of
routes; what may be large waits in the same line as batches, a turn for each credential. So a flood on any
route fills its own share, and leaves the others theirs.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from time import monotonic
from typing import Final

from services.intake.domain.admission import Admission, AdmissionLimits, Refusal
from services.intake.entrypoints.admitting import refusal_of
from services.intake.entrypoints.batch_line import BatchLine
from services.intake.settings import Settings
from shared.auth.principals import Principal
from shared.kernel.errors import describe
from shared.messaging.group_commit import PublishOverloadedError

_LARGEST_PART: Final = 4
"""One request takes no more than so great a part of all places."""


class Doors:
    """Both doors."""

    def __init__(self, settings: Settings, refused: Callable[[str, str], None], random: Random) -> None:
        """Tell `refused` the share and the reason of each request that is sent away."""
        self.admission = Admission(AdmissionLimits(most=settings.max_under_way))
        self._line = BatchLine(settings.batches_at_once, settings.max_batches_waiting)
        self._refused = refused
        self._random = random

    @contextmanager
    def place(self, share: str, path: str, weight: int = 1) -> Iterator[None]:
        """Have as many places of `share` as the request weighs.

        Raises:
            ProblemError: 429 or 503, there are none.
        """
        weight = min(weight, max(1, self.admission.limit // _LARGEST_PART))
        began = monotonic()
        refusal = self.admission.enter(share, began, weight)
        if refusal is not None:
            self._refused(share, refusal.value)
            raise refusal_of(refusal, path, self._random)
        try:
            yield
        finally:
            # Only single ratings tell how fast the storage is.
            self.admission.leave(share, began, monotonic(), stored=False, weight=weight)

    @asynccontextmanager
    async def turn(self, principal: Principal) -> AsyncIterator[None]:
        """Wait for the turn of a body that may be large; read it then, since all that wait need gigabytes.

        Raises:
            PublishOverloadedError: too many wait.
        """
        credential = principal.credential_id or principal.subject
        refusal = self._line.refusal(credential)
        if refusal is not None:
            self._refused("batch", refusal.value)
            raise self._too_many(refusal, credential)
        async with self._line.turn(credential):
            yield

    def _too_many(self, refusal: Refusal, credential: str) -> PublishOverloadedError:
        if refusal is Refusal.CHANNEL:
            value = f"{self._line.waiting_of(credential)} batches of this credential that wait"
            expected = f"fewer than {self._line.share} of one credential"
        else:
            value, expected = f"{self._line.waiting} batches that wait", "fewer batches at once"
        return PublishOverloadedError(describe(value, expected, "retry after some seconds"))
