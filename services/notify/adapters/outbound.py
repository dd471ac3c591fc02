"""Requests to addresses that others choose: one POST, to a checked address, bounded in size and time.

A name is resolved once for each request, every address that it has is checked, and the connection goes to a
checked address, while TLS still verifies the name (ADR 0039). So a name that changes its mind between check
and use (DNS rebinding) gains nothing. There is no redirect, proxy, cookie, compression or kept connection.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from services.notify.adapters.answer_parser import Answer, BadAnswerError, read_answer
from services.notify.domain.reach import Reach, is_loopback
from shared.kernel.errors import InvalidValueError, PermanentError, TransientError, describe

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
GOODBYE_S: Final = 1.0
"""How long a receiver may take to end TLS after its answer; nobody waits for it."""
_AS_IT_IS: Final = "%/:@!$&'()*+,;=?~-._[]"
"""Characters of a path or a query that mean what the operator wrote."""
_NO_HEADER: Final = re.compile(r"[^\x20-\x7e]")
RESOLVERS: Final = 32
"""Names looked up at once. A look-up can't be cancelled, so one name has one look-up at most."""


class OutboundError(TransientError):
    """No answer this time."""


class ForbiddenTargetError(PermanentError):
    """The name has an address that alerts must not be sent to."""


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


def _is_address(host: str) -> bool:
    """Whether `host` is an address in its usual form, so that nobody has to be asked."""
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        return False


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
            addresses = (host,) if _is_address(host) else await asyncio.shield(self._look_up(host, port))
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
            InvalidValueError: a header can't be sent.
            OutboundError: no whole answer in time: connection, TLS, protocol or receiver failed. Whether the
                receiver got the request is not known then.
        """
        parts = urlsplit(ascii_host(url))
        request = _request(parts, content, headers)
        try:
            # One limit for all of it: a receiver that trickles bytes would hold us for ever.
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connect(parts)
                try:
                    writer.write(request)
                    await writer.drain()
                    answer = await read_answer(reader)
                except BaseException:
                    writer.transport.abort()
                    raise
                writer.close()
                return answer
        except (OSError, TimeoutError, BadAnswerError) as error:
            raise self._failure(error) from error

    async def _connect(self, parts: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a checked address; TLS still knows, and verifies, the name."""
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (HTTPS_PORT if secure else HTTP_PORT)
        addresses = await self._resolver.resolve(host, port)
        if not secure and not all(is_loopback(address) for address in addresses):
            raise ForbiddenTargetError(describe(f"http to {host}", "https, or this machine", "use https"))
        failure: OSError | None = None
        for address in addresses:
            try:
                if not secure:
                    return await asyncio.open_connection(address, port)
                return await asyncio.open_connection(
                    address, port, ssl=self._tls, server_hostname=host, ssl_shutdown_timeout=GOODBYE_S
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure or ConnectionError(host)

    def _failure(self, error: BaseException) -> OutboundError:
        found = type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            found = f"a certificate that is refused, {error.verify_message}"
        elif isinstance(error, ssl.SSLError):
            found = f"TLS failed, {error.reason}"
        return OutboundError(
            describe(found, f"a whole answer within {self._timeout_s:g} s", "it is tried again")
        )


def _request(parts: SplitResult, content: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request; nothing in a header can end it and start another.

    Raises:
        InvalidValueError: a header holds what no header may hold.
    """
    target = quote(parts.path or "/", safe=_AS_IT_IS) + (
        f"?{quote(parts.query, safe=_AS_IT_IS)}" if parts.query else ""
    )
    sent = {
        "host": parts.netloc,
        "user-agent": "pingyi-notify",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(content)),
        **headers,
    }
    for name, value in sent.items():
        if _NO_HEADER.search(name + value):
            raise InvalidValueError(name, "a header of visible ASCII characters", "correct the endpoint")
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + content


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


def networks(texts: Iterable[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read networks such as ``10.20.0.0/16``.

    Raises:
        ValueError: one is none.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)
