"""Reading request bodies with bounded memory and time."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from starlette.types import Message, Receive, Scope

from services.intake.domain.measures import Size
from shared.kernel.errors import InvalidValueError, TransientError, describe
from shared.observability.withholding import media_type_or_described, token_or_described

Advice = str | Callable[[], str]
"""What to do about a body that is too large, or what words that once it is."""

_UTF_8: Final = frozenset({"utf-8", "utf8"})
_FORWARDED: Final = b"x-forwarded-for"
_SINGLE: Final = {
    name.lower().encode(): name
    for name in ("Idempotency-Key", "X-Rating-Token", "X-Import-Id", "X-Synthetic", "Content-Type")
}
_CHARSET: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,20}")

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


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by name, in lower case, each with one value.

    Proxies may add a line of their own to ``X-Forwarded-For``; its lines are one list.

    Raises:
        InvalidValueError: a header that can have one meaning only is there twice.
    """
    sent: list[tuple[bytes, bytes]] = scope["headers"]
    found = dict(sent)  # one pass; Starlette's mapping makes one for each look-up
    if len(found) == len(sent):
        return found
    lines = [value for name, value in sent if name == _FORWARDED]
    if lines:
        found[_FORWARDED] = b", ".join(lines)
    for name, spelling in _SINGLE.items():
        times = sum(sent_name == name for sent_name, _ in sent)
        if times > 1:
            raise InvalidValueError(
                Size(f"{times} headers {spelling}"), "one", "send the one that is meant", field=spelling
            )
    return found


def require_readable(headers: Mapping[bytes, bytes], accepted: tuple[str, ...]) -> None:
    """Check that the body is of an `accepted` type, in UTF-8 and not compressed.

    Args:
        headers: of the request; names in lower case.
        accepted: media types; parameters other than charset are ignored.

    Raises:
        WrongMediaTypeError: it isn't.
    """
    kind = headers.get(b"content-type", b"").decode("latin-1")
    if kind not in accepted:  # nearly everybody sends just that
        _require_media_type(kind, accepted)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        raise WrongMediaTypeError(
            token_or_described(encoding.decode("latin-1")),
            "a body without Content-Encoding",
            "send it without compression",
            field="Content-Encoding",
        )


def _require_media_type(kind: str, accepted: tuple[str, ...]) -> None:
    media_type, *parameters = kind.split(";")
    if media_type.strip().lower() not in accepted:
        raise WrongMediaTypeError(
            media_type_or_described(kind) if kind else Size("nothing"),
            " or ".join(accepted),
            f"send the header Content-Type: {accepted[0]}",
            field="Content-Type",
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip().lower() == "charset" and charset.lower() not in _UTF_8:
            shown = (
                f"charset {charset}"
                if _CHARSET.fullmatch(charset)
                else f"a charset of {len(charset)} characters"
            )
            raise WrongMediaTypeError(
                Size(shown),
                "UTF-8, the encoding of JSON",
                "convert the body to UTF-8 and leave charset out",
                field="Content-Type",
            )


async def read_body(receive: Receive, limit: int, timeout_s: float, advice: Advice) -> bytes:
    """The whole body, of at most `limit` bytes; `advice` tells the client how to stay below.

    The clock starts after the first piece, which mostly is all and comes with the headers: arming a timer for
    each request would cost 7 % of the rate, and a client that sends nothing holds nothing but its connection.

    Raises:
        BodyTooLargeError: it is larger.
        SlowBodyError: the rest did not come within `timeout_s` seconds.
        ClientLeftError: the client went away.
    """
    first = await receive()
    if first["type"] == "http.request" and not first.get("more_body", False):
        body: bytes = first.get("body", b"")
        if len(body) > limit:
            raise _too_large(len(body), limit, advice)
        return body
    return await _read_pieces(receive, first, limit, timeout_s, advice)


async def read_body_in_time(receive: Receive, limit: int, timeout_s: float, advice: str) -> bytes:
    """`read_body` with a clock that starts at once, for who holds more than a connection meanwhile.

    Raises:
        BodyTooLargeError: it is larger.
        SlowBodyError: it did not come within `timeout_s` seconds.
        ClientLeftError: the client went away.
    """
    return await _read_pieces(receive, None, limit, timeout_s, advice)


async def _read_pieces(
    receive: Receive, first: Message | None, limit: int, timeout_s: float, advice: Advice
) -> bytes:
    """The body from its piece `first` on, None if that has not come yet."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            message = first if first is not None else await receive()
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientLeftError(describe(Size(f"{size} bytes"), "the whole body", "send it again"))
                chunk = message.get("body", b"")
                size += len(chunk)
                if size <= limit:
                    chunks.append(chunk)
                else:
                    chunks.clear()
                if not message.get("more_body", False) or size > limit * DRAIN_FACTOR:
                    break
                message = await receive()
    except TimeoutError as error:
        raise SlowBodyError(
            Size(f"{size} bytes within {timeout_s:g} s"),
            "the whole body",
            "send it faster or in parts",
            field="body",
        ) from error
    if size > limit:
        raise _too_large(size, limit, advice)
    return b"".join(chunks)


def _too_large(size: int, limit: int, advice: Advice) -> BodyTooLargeError:
    said = advice if isinstance(advice, str) else advice()
    return BodyTooLargeError(Size(f"{size} bytes"), f"at most {limit} bytes", said, field="body")
