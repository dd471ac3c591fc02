"""Signed webhooks after the Standard Webhooks specification, version 1 signatures (HMAC-SHA256)."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from services.notify.domain.alert import Alert
from services.notify.settings import check_webhook_url
from shared.events import AlertRaised, spec_for_data
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import PermanentError, TransientError, describe

KEY_BYTES: Final = 32
LONGEST_PAUSE_S: Final = 3600.0
"""A receiver may ask for a longer pause, but not for silence."""

_SUCCESS: Final = range(200, 300)


class WebhookKeyError(PermanentError):
    """The signing key can't be used."""


class WebhookGoneError(PermanentError):
    """The receiver answered 410: it wants no more of this."""


class WebhookFailedError(TransientError):
    """No success this time."""


def load_key(path: Path) -> bytes:
    """Read a signing key: 32 bytes as 64 hexadecimal digits.

    Raises:
        WebhookKeyError: missing, unreadable or of another form; the content is never repeated.
    """
    expected = f"a file with {2 * KEY_BYTES} hexadecimal digits"
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its content is something else"
        raise WebhookKeyError(
            describe(str(path), expected, f"make one with `openssl rand -hex {KEY_BYTES}` ({reason})")
        ) from error
    if len(key) != KEY_BYTES:
        raise WebhookKeyError(
            describe(f"{path} of {len(key)} bytes", expected, f"use `openssl rand -hex {KEY_BYTES}`")
        )
    return key


def sign(key: bytes, message_id: str, timestamp: int, content: bytes) -> str:
    """Return the ``webhook-signature`` header: ``v1,`` and the base64 HMAC over ``id.timestamp.content``."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), content))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def render(alert: Alert) -> bytes:
    """Return the payload (``type``, ``timestamp``, ``data``): the same bytes at each attempt."""
    payload = {
        "type": spec_for_data(AlertRaised).event_type,
        "timestamp": rfc3339(alert.known_at),
        "data": {
            "alert_id": alert.alert_id,
            "rule": alert.rule,
            "severity": alert.severity.value,
            "unit_id": alert.unit_id,
            "unit_name": alert.unit_name,
            "city": alert.city,
            "county": alert.county,
            "title": alert.title,
            "body": alert.body,
            "evidence": alert.evidence,
            "figures": dict(alert.figures),
        },
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def pause_asked(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After`` (seconds or an HTTP date); at most `LONGEST_PAUSE_S`, None if absent or odd."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # A huge number of digits is a long pause, whatever it says.
        return LONGEST_PAUSE_S if len(text) > len(str(int(LONGEST_PAUSE_S))) else _bounded(float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return _bounded((aware - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE_S)


class WebhookChannel:
    """Plays `application.ports.Channel` by POST: 2xx is delivered, 410 is final, all else is tried again.

    Redirects are not followed and proxies of the environment not used: the alert goes to the address that
    was set, or nowhere. The answer's body is not read, so a receiver can't flood us.
    """

    name: Final = "webhook"

    def __init__(self, url: str, key: bytes, *, clock: Clock, timeout_s: float) -> None:
        """Send to `url`; one attempt takes at most `timeout_s`.

        Raises:
            InvalidValueError: see `check_webhook_url`.
        """
        self._url = check_webhook_url(url)
        self._key = key
        self._clock = clock
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=10),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`."""
        content = render(alert)
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "pingyi-notify",
            "webhook-id": alert.alert_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, alert.alert_id, timestamp, content),
        }
        try:
            # The client's own limits are per read, so a receiver that trickles bytes would hold us for ever.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=content, headers=headers) as answer,
            ):
                status, pause = answer.status_code, answer.headers.get("retry-after")
        except (httpx.HTTPError, TimeoutError) as error:
            raise WebhookFailedError(
                describe(
                    type(error).__name__,
                    f"an answer of the webhook receiver within {self._timeout_s:g} s",
                    "it is tried again",
                )
            ) from error
        if status in _SUCCESS:
            return f"HTTP {status}"
        if status == HTTPStatus.GONE:
            raise WebhookGoneError(
                describe(f"HTTP {status}", "a receiver that wants alerts", "unset or correct WEBHOOK_URL")
            )
        raise WebhookFailedError(
            describe(f"HTTP {status}", "2xx from the webhook receiver", "it is tried again"),
            pause_asked(pause, self._clock.now()),
        )
