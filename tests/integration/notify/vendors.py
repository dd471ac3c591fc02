"""A receiver that behaves as the vendors' documentation says, faults included: robots, SMS gateway, webhooks.

Plain HTTP or TLS on 127.0.0.1. It checks what the vendors check (signature, size), answers HTTP 200 with
their codes, and misbehaves on request.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECRET = "SEC0123456789abcdef"
Fault = Literal["none", "hang", "half", "trickle", "drop", "huge", "garbage"]
Reply = Callable[["Posted"], dict[str, Any]]


@dataclass(slots=True)
class Posted:
    """One request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def wecom(posted: Posted) -> dict[str, Any]:
    """WeCom: the key, the size of the text, and 20 messages a minute are the caller's to test."""
    if posted.query.get("key") != "right":
        return {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1]"}
    kind = posted.json["msgtype"]
    limit = {"text": 2048, "markdown": 4096}[kind]
    if len(posted.json[kind]["content"].encode()) > limit:
        return {"errcode": 45002, "errmsg": "content size out of limit"}
    return {"errcode": 0, "errmsg": "ok"}


def dingtalk(posted: Posted) -> dict[str, Any]:
    """DingTalk: `timestamp` in ms, not an hour off, and `sign` over it."""
    stamp = posted.query.get("timestamp", "0")
    expected = base64.b64encode(
        hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest()
    ).decode()
    if posted.query.get("sign") != expected or abs(time.time() * 1000 - int(stamp)) > 3_600_000:
        return {"errcode": 310000, "errmsg": "sign not match"}
    if posted.json["at"]["isAtAll"] or len(posted.body) > 20_000:
        return {"errcode": 40035, "errmsg": "bad request"}
    return {"errcode": 0, "errmsg": "ok"}


def feishu(posted: Posted) -> dict[str, Any]:
    """Feishu: `timestamp` in seconds and `sign` in the body."""
    stamp = posted.json.get("timestamp", "0")
    key = f"{stamp}\n{SECRET}".encode()
    expected = base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()
    if posted.json.get("sign") != expected or abs(time.time() - int(stamp)) > 3600:
        return {"code": 19021, "msg": "sign match fail or timestamp is not within one hour from current time"}
    if len(posted.body) > 20_000:
        return {"code": 9499, "msg": "Bad Request"}
    return {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}


def accepts(_posted: Posted) -> dict[str, Any]:
    """A gateway that takes everything."""
    return {"code": "0"}


@dataclass(slots=True)
class Vendor:
    """Answers `status` with what `reply` says, or with `fault`."""

    reply: Reply = accepts
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault = "none"
    delay_s: float = 0.0
    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        target = urlsplit(head[0].split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        posted = Posted(target.path, query, headers, body, time.monotonic())
        self.posted.append(posted)
        await asyncio.sleep(self.delay_s)
        await self._answer(posted, writer)

    async def _answer(self, posted: Posted, writer: asyncio.StreamWriter) -> None:
        if self.fault == "hang":
            await asyncio.sleep(60)
        content = json.dumps(self.reply(posted)).encode()
        if self.fault == "garbage":
            content = b"<html>busy</html>"
        if self.fault == "huge":
            content = b'{"code": 0, "x": "' + b"x" * 5_000_000 + b'"}'
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(content)}\r\n{extra}\r\n".encode()
        if self.fault == "drop":
            return
        if self.fault == "half":
            writer.write(head + content[: len(content) // 2])
        elif self.fault == "trickle":
            for byte in head + content:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        else:
            writer.write(head + content)
        await writer.drain()


@asynccontextmanager
async def receiving(vendor: Vendor, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    """Let `vendor` listen on 127.0.0.1."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await vendor.handle(reader, writer)
        finally:
            handlers.discard(task)
            writer.close()

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: vendor.server_names.append(name)
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()
        for task in tuple(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def certificate(folder: Path, name: str) -> Path:
    """Write ``<name>.pem`` with certificate and key for `name`, its own authority; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def server_context(certified: Path) -> ssl.SSLContext:
    """Return a context for a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified)
    return context
