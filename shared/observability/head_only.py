"""HEAD, wherever there is GET: the same answer without its body (RFC 9110, 9.3.2), from the same endpoint.

The endpoint runs, so that status and headers are those of GET: whoever may not read learns no more of it.
"""

from typing import Final

from starlette.types import Message, Scope, Send

HEAD: Final = "HEAD"
ASKED_METHOD: Final = "pingyi.method"
"""The method in the request itself, which a signature is over; where it is another than the scope's."""


class HeadSentError(OSError):
    """The head is sent, and whoever asked wants no more: what an ASGI server raises of a client that left."""


def as_get(scope: Scope) -> Scope:
    """A copy of the scope of a HEAD request, as that of GET; the server's own stays as it is."""
    return {**scope, "method": "GET", ASKED_METHOD: HEAD}


def asked_method(scope: Scope) -> str:
    """The method as the request has it."""
    return str(scope.get(ASKED_METHOD, scope["method"]))


def without_body(send: Send) -> Send:
    """`send` that ends an answer with its head.

    At once: a stream may have nothing to say for long. From then on `receive` tells a stream that its client
    has left, and the next part of one that does not listen is refused.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
        elif message.get("more_body", False):
            raise HeadSentError

    return sending
