"""A real receiver of signed webhooks (Standard Webhooks), as a subscriber would run one.

It answers on the loopback interface in a thread of its own, checks every signature, and remembers ids, so the
demonstration can say what really arrived.
"""

import base64
import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self


@dataclass(slots=True)
class Inbox:
    """What arrived: alert ids with a valid signature, and how many requests had none.

    Attributes:
        times: for each alert when its event was received and when it came here first, Unix seconds.
    """

    ids: list[str] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    forged: int = 0
    times: dict[str, tuple[float, float]] = field(default_factory=dict)

    def waits_s(self, since: float) -> list[float]:
        """How long alerts took from the receipt of their events, received from `since` on; ascending."""
        return sorted(arrived - known for known, arrived in list(self.times.values()) if known >= since)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    """Notify opens many connections at once; the default of 5 lets the kernel reset those that wait."""


class WebhookReceiver:
    """Context manager around a running receiver; ``url`` is where to send, ``inbox`` what came."""

    def __init__(self, key_file: Path, *, port: int = 0) -> None:
        """Listen on ``port`` (0: any free one). ``key_file`` is 32 bytes as hex, read at each request."""
        self.inbox = Inbox()
        self._key_file = key_file
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="webhook-receiver", daemon=True
        )

    @property
    def url(self) -> str:
        """Address to put into WEBHOOK_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def __enter__(self) -> Self:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True  # the sender died in the middle; it will come again
                    return
                valid = receiver.accept(
                    self.headers.get("webhook-id", ""),
                    self.headers.get("webhook-timestamp", ""),
                    self.headers.get("webhook-signature", ""),
                    body,
                )
                self.send_response(204 if valid else 401)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Stay quiet: the inbox is the log."""

        return Handler

    def accept(self, webhook_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
        """Check one request's signature and keep its id; False for a forged one."""
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        expected = base64.b64encode(hmac.new(self._key(), signed, hashlib.sha256).digest()).decode()
        given = [part.partition(",")[2] for part in signatures.split()]
        if not any(hmac.compare_digest(expected, one) for one in given):
            self.inbox.forged += 1
            return False
        alert = json.loads(body)
        known_at = datetime.fromisoformat(alert["timestamp"]).timestamp()
        self.inbox.times.setdefault(webhook_id, (known_at, time()))
        self.inbox.ids.append(webhook_id)
        self.inbox.alerts.append(alert)
        return True

    def _key(self) -> bytes:
        return bytes.fromhex(self._key_file.read_text(encoding="ascii").strip())
