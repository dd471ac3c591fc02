"""Letting single ratings in, or sending them away at a fraction of what answering them would cost."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from time import monotonic
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.intake.domain.admission import Admission, Refusal
from services.intake.domain.pacing import Pace
from services.intake.entrypoints.reading import Advice, read_body
from shared.kernel.grades import Channel
from shared.observability.problem import MEDIA_TYPE, Problem, ProblemError, urn

RETRY_AFTER_S: Final = 2
"""Least pause before a retry; up to as much again is added at random."""
HELD_S: Final = 2.0
"""Longest time that a refusal is held back."""
OTHER: Final = "other"
STORED: Final = "pingyi.intake.stored"
"""Key of the ASGI scope; true of a request that reached the storage, whose time admission goes by."""
_MEMBER: Final = b'"channel"'
_CHANNELS: Final = {channel.value.encode(): channel.value for channel in Channel}
_ANSWERS: Final = {
    Refusal.CHANNEL: (
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many ratings of this channel",
        (
            "Nothing of this request was accepted: this channel has more than its share under way. Send it "
            "again after the pause of Retry-After, and send many ratings as a batch."
        ),
    ),
    Refusal.FULL: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Temporarily unavailable",
        (
            "Nothing of this request was accepted: too many are under way. Send it again after the pause of "
            "Retry-After."
        ),
    ),
}


def channel_of(body: bytes) -> str:
    """The channel that a body names, without parsing it: good enough to share out places.

    A body that names several, or a wrong one, only chooses whose share it takes; it is judged later.
    """
    place = body.find(_MEMBER)
    begin = body.find(b'"', place + len(_MEMBER)) + 1
    return _CHANNELS.get(body[begin : body.find(b'"', begin)], OTHER) if place >= 0 else OTHER


def refusal_of(refusal: Refusal, path: str, random: Random) -> ProblemError:
    """The answer to who is sent away, to be raised where it need not be cheap."""
    return ProblemError(_problem(refusal, path), {"Retry-After": str(_pause(random))})


def _problem(refusal: Refusal, path: str) -> Problem:
    status, title, detail = _ANSWERS[refusal]
    return Problem(urn("overloaded"), title, status.value, detail, path)


def _pause(random: Random) -> int:
    return RETRY_AFTER_S + random.randrange(RETRY_AFTER_S + 1)


class Refuser:
    """Sends away whom admission refuses."""

    def __init__(self, random: Random, refused: Callable[[str, str], None]) -> None:
        """Tell `refused` the channel and the reason of each that is sent away."""
        self._random = random
        self._refused = refused

    async def refuse(self, refusal: Refusal, channel: str, path: str, send: Send) -> None:
        """Send a request away; written directly, since refusing must stay cheap where much is refused."""
        self._refused(channel, refusal.value)
        problem = _problem(refusal, path)
        body, pause = problem.encode(), _pause(self._random)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(pause).encode()),
        ]
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Gate:
    """Stands before everything that a single rating costs: before who it is from, and what it says."""

    def __init__(
        self,
        inner: ASGIApp,
        admission: Admission,
        refuser: Refuser,
        *,
        refusals_per_s: float,
        max_body_bytes: int,
        body_timeout_s: float,
        advice: Advice = "shorten the text; send many ratings as a batch",
    ) -> None:
        """Let `admission` say who reaches `inner`; of the others send away at most `refusals_per_s`.

        `inner` sets `STORED` of the scope for a request that reaches the storage.
        """
        self._inner = inner
        self._admission = admission
        self._refuser = refuser
        self._pace = Pace(refusals_per_s, HELD_S)
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._advice = advice

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or send it away.

        Raises:
            InvalidValueError: its body is too large, or too slow.
            ClientLeftError: nobody waits for an answer.
        """
        raw = await read_body(receive, self._max_body_bytes, self._body_timeout_s, self._advice)
        channel = channel_of(raw)
        began = monotonic()
        refusal = self._admission.enter(channel, began)
        if refusal is not None:
            await asyncio.sleep(self._pace.delay_s(began))
            await self._refuser.refuse(refusal, channel, scope["path"], send)
            return
        try:
            await self._inner(scope, _giving(raw, receive), send)
        finally:
            now = monotonic()
            self._admission.leave(channel, began, now, stored=scope.get(STORED, False))
            self._pace.answered(now)


def _giving(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request of which the body has been read."""
    given = False

    async def giving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return giving
