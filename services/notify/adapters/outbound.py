"""Requests to addresses that others choose: one POST, to a checked address, bounded in size and time.

A name is resolved once for each request, every address that it has is checked, and the connection goes to a
checked address, while TLS still verifies the name (ADR 0039). So a name that changes its mind between check
and use (DNS rebinding) gains nothing. There is no redirect, proxy, cookie, compression or kept connection.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from services.notify.domain.reach import Reach, is_loopback
from shared.kernel.errors import InvalidValueError, PermanentError, TransientError, describe

MAX_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer; the rest is left unread and the connection closed."""
RESOLVERS: Final = 32
"""Names looked up at once. A look-up can't be cancelled, so one name has one look-up at most."""


class OutboundError(TransientError):
    """No answer this time."""


class ForbiddenTargetError(PermanentError):
    """The name has an address that alerts must not be sent to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` holds at most `MAX_ANSWER_BYTES`."""

    status: int
    body: bytes
    retry_after: str | None = None


def check_url(url: str, *, loopback: bool = False, field: str = "url") -> str:
    """Return `url` if requests may go there: https without credentials, or http to this machine if allowed.

    The URL is not repeated in errors: a robot's contains its key.

    Raises:
        InvalidValueError: it is anything else.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        _ascii_name(host)
    except ValueError as error:  # also what has no form in DNS, such as a label of 64 characters
        raise _url_error("a URL that can't be read", field) from error
    named = host == "localhost" or is_loopback(host)
    scheme_fits = parts.scheme == "https" or (parts.scheme == "http" and named and loopback)
    if not scheme_fits and parts.scheme == "http" and named:
        raise _url_error(
            "http to this machine", field, "use https, or set ALLOW_LOOPBACK=true for development"
        )
    odd = any(ord(char) <= ord(" ") or ord(char) == 0x7F for char in url)  # noqa: PLR2004 - DEL
    if not scheme_fits or not host or parts.username is not None or port == 0 or odd:
        raise _url_error(f"{parts.scheme or 'no scheme'} to {host or 'no host'}", field)
    return url


def _url_error(found: str, field: str, remedy: str | None = None) -> InvalidValueError:
    return InvalidValueError(
        found,
        "https://host/path without credentials",
        remedy or f"correct {field}; a signature authenticates us",
        field=field,
    )


Lookup = Callable[[str, int], tuple[str, ...]]
"""Gives the addresses of a name for a port; may block. Raises OSError."""


def system_addresses(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's name service."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Looks names up and checks what they stand for."""

    def __init__(self, reach: Reach, lookup: Lookup | None = None) -> None:
        """Allow what `reach` allows; `lookup` gives a name's addresses, the system's if None."""
        self._reach = reach
        self._lookup = lookup or system_addresses
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._running: dict[tuple[str, int], asyncio.Future[tuple[str, ...]]] = {}

    async def resolve(self, host: str, port: int, *, private: bool = False) -> tuple[str, ...]:
        """Return the addresses of `host`, in the system's order, all of them checked.

        Args:
            host: name or address.
            port: port that it is for.
            private: do not check; for servers that the operator runs (mail).

        Raises:
            ForbiddenTargetError: one of them is not allowed, so that no name can hide one among others.
            OutboundError: the name is not known, at present.
        """
        try:
            addresses = await asyncio.shield(self._look_up(host, port))
        except OSError as error:
            raise OutboundError(
                describe(
                    host, "a name that can be looked up", f"it is tried again ({error.strerror or error})"
                )
            ) from error
        except UnicodeError as error:
            raise ForbiddenTargetError(
                describe(host, "a name that DNS can hold", "correct the endpoint")
            ) from error
        for address in addresses:
            objection = None if private else self._reach.objection(address)
            if objection is not None:
                raise ForbiddenTargetError(
                    describe(
                        f"{host} at {address}",
                        f"a public address, not {objection}",
                        "correct the endpoint, or list its network under allow_networks",
                    )
                )
        return addresses

    def _look_up(self, host: str, port: int) -> asyncio.Future[tuple[str, ...]]:
        running = self._running.get((host, port))
        if running is None or running.get_loop() is not asyncio.get_running_loop():
            loop = asyncio.get_running_loop()
            running = asyncio.ensure_future(loop.run_in_executor(self._threads, self._lookup, host, port))
            self._running[host, port] = running
            running.add_done_callback(lambda done: self._forget(host, port, done))
        return running

    def _forget(self, host: str, port: int, done: "asyncio.Future[tuple[str, ...]]") -> None:
        if self._running.get((host, port)) is done:
            del self._running[host, port]
        if not done.cancelled():
            done.exception()  # whoever waited may have given up; asyncio would complain that nobody looked

    def close(self) -> None:
        """Let the threads go; look-ups under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only; the connection above still knows, and verifies, the name."""

    def __init__(self, resolver: Resolver, *, plain: bool) -> None:
        self._resolver = resolver
        self._plain = plain
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolver.resolve(host, port)
        if self._plain and not all(is_loopback(address) for address in addresses):
            raise ForbiddenTargetError(describe(f"http to {host}", "https, or this machine", "use https"))
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(
                    address, port, timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(host)

    async def connect_unix_socket(self, *_args: Any, **_kwargs: Any) -> httpcore.AsyncNetworkStream:  # noqa: ANN401 - httpcore's signature
        raise ForbiddenTargetError(describe("a socket file", "a public address", "use https"))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificate and name, with TLS 1.2 at least.

    Raises:
        InvalidValueError: `ca_file` can't be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidValueError(
                str(ca_file), "a file of certificates in PEM", "correct ca_file", field="ca_file"
            ) from error
    return context


class Outbound:
    """Sends POST requests; a new connection for each, so that every one is checked."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext, *, timeout_s: float) -> None:
        """Spend at most `timeout_s` on one request, from looking the name up to the end of the answer."""
        self._resolver = resolver
        self._tls = tls
        self._timeout_s = timeout_s

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `content` to a URL that `check_url` returned.

        Raises:
            ForbiddenTargetError: the name has an address that is not allowed.
            OutboundError: no whole answer in time: connection, TLS, protocol or receiver failed. Whether the
                receiver got the request is not known then.
        """
        target = httpcore.URL(ascii_host(url))
        connection = httpcore.AsyncHTTPConnection(
            target.origin,
            ssl_context=self._tls,
            network_backend=_CheckedBackend(self._resolver, plain=target.scheme == b"http"),
        )
        sent = {
            "host": target.host.decode() + (f":{target.port}" if target.port is not None else ""),
            "user-agent": "pingyi-notify",
            "accept-encoding": "identity",
            "connection": "close",
            "content-length": str(len(content)),
            **headers,
        }
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        try:
            # The library's limits are per read, so a receiver that trickles bytes would hold us for ever.
            async with asyncio.timeout(self._timeout_s):
                try:
                    request = httpcore.Request(
                        "POST",
                        target,
                        headers=list(sent.items()),
                        content=content,
                        extensions={"timeout": limits},
                    )
                    answer = await connection.handle_async_request(request)
                    return await _read(answer)
                finally:
                    await connection.aclose()
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise self._failure(type(error).__name__, error) from error
        except (OSError, TimeoutError) as error:
            raise self._failure(type(error).__name__, error) from error

    def _failure(self, name: str, error: BaseException) -> OutboundError:
        reason = f": {error}" if "CERTIFICATE" in str(error).upper() or "TLS" in str(error).upper() else ""
        return OutboundError(
            describe(f"{name}{reason}", f"a whole answer within {self._timeout_s:g} s", "it is tried again")
        )


def ascii_host(url: str) -> str:
    """Return `url` with its host in the form that DNS knows."""
    parts = urlsplit(url)
    if parts.netloc.isascii():
        return url
    start = url.index("//") + 2
    port = "" if parts.port is None else f":{parts.port}"
    return f"{url[:start]}{_ascii_name(parts.hostname or '')}{port}{url[start + len(parts.netloc) :]}"


def _ascii_name(host: str) -> str:
    """Return a name as DNS knows it; an IPv6 address is returned as it is.

    Raises:
        UnicodeError: it has no such form: a label is empty or too long, or holds what names may not hold.
    """
    return host if ":" in host or not host else host.encode("idna").decode()


async def _read(answer: httpcore.Response) -> Answer:
    retry_after = next(
        (value.decode("latin-1") for name, value in answer.headers if name.lower() == b"retry-after"), None
    )
    body = bytearray()
    stream = answer.stream
    assert isinstance(stream, AsyncIterable)  # noqa: S101 - httpcore's own type is a union
    async for part in stream:
        body += part
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return Answer(answer.status, bytes(body[:MAX_ANSWER_BYTES]), retry_after)


def networks(texts: Iterable[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read networks such as ``10.20.0.0/16``.

    Raises:
        ValueError: one is none.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)
