"""Reading request bodies with bounded memory and time."""

import asyncio
from typing import ClassVar, Final

from starlette.requests import ClientDisconnect, Request

from services.intake.domain.measures import Size
from shared.kernel.errors import InvalidValueError, TransientError, describe

DRAIN_FACTOR: Final = 64
"""How many times the limit is read and dropped, so that a client that is still sending gets to read why."""


class BodyTooLargeError(InvalidValueError):
    """The body is larger than the limit (HTTP 413)."""

    http_status: ClassVar[int] = 413
    title: ClassVar[str] = "The body is too large"


class WrongMediaTypeError(InvalidValueError):
    """The body is of another type than expected (HTTP 415)."""

    http_status: ClassVar[int] = 415
    title: ClassVar[str] = "The media type is not supported"


class SlowBodyError(InvalidValueError):
    """The client took too long to send its body (HTTP 408)."""

    http_status: ClassVar[int] = 408
    title: ClassVar[str] = "The body did not arrive in time"


class ClientLeftError(TransientError):
    """The client closed the connection before the body was complete; nobody reads the answer."""


def require_media_type(request: Request, accepted: tuple[str, ...]) -> None:
    """Check the header Content-Type; parameters such as charset are ignored.

    Raises:
        WrongMediaTypeError: other than one of `accepted`.
    """
    given = request.headers.get("content-type", "")
    if given.split(";", 1)[0].strip().lower() not in accepted:
        raise WrongMediaTypeError(
            given or Size("nothing"),
            " or ".join(accepted),
            f"send the header Content-Type: {accepted[0]}",
            field="Content-Type",
        )


async def read_body(request: Request, limit: int, timeout_s: float, advice: str) -> bytes:
    """The whole body, of at most `limit` bytes; `advice` tells the client how to stay below.

    Raises:
        BodyTooLargeError: it is larger.
        SlowBodyError: it did not come within `timeout_s` seconds.
        ClientLeftError: the client went away.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    chunks.append(chunk)
                elif size > limit * DRAIN_FACTOR:
                    break
                else:
                    chunks.clear()
    except TimeoutError as error:
        raise SlowBodyError(
            Size(f"{size} bytes within {timeout_s:g} s"),
            "the whole body",
            "send it faster or in parts",
            field="body",
        ) from error
    except ClientDisconnect as error:
        raise ClientLeftError(describe(f"{size} bytes", "the whole body", "send it again")) from error
    if size > limit:
        raise BodyTooLargeError(Size(f"{size} bytes"), f"at most {limit} bytes", advice, field="body")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
