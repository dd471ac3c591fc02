"""Letting single ratings in, or sending them away at a fraction of what answering them would cost."""

from collections.abc import Callable
from http import HTTPStatus
from random import Random
from typing import Final

from starlette.types import Send

from services.intake.domain.admission import Refusal
from shared.kernel.grades import Channel
from shared.observability.problem import MEDIA_TYPE, Problem, urn

RETRY_AFTER_S: Final = 2
"""Least pause before a retry; up to as much again is added at random."""
OTHER: Final = "other"
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


class Refuser:
    """Sends away whom admission refuses."""

    def __init__(self, random: Random, refused: Callable[[str, str], None]) -> None:
        """Tell `refused` the channel and the reason of each that is sent away."""
        self._random = random
        self._refused = refused

    async def refuse(self, refusal: Refusal, channel: str, path: str, send: Send) -> None:
        """Send a request away; written directly, since refusing must stay cheap where much is refused."""
        self._refused(channel, refusal.value)
        status, title, detail = _ANSWERS[refusal]
        body = Problem(urn("overloaded"), title, status.value, detail, path).encode()
        pause = RETRY_AFTER_S + self._random.randrange(RETRY_AFTER_S + 1)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(pause).encode()),
        ]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": body})
