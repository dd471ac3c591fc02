"""Signed webhooks after the Standard Webhooks specification: HMAC-SHA256 (``v1``) and Ed25519 (``v1a``)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.notify.adapters.answers import LONGEST_PAUSE_S, pause_asked
from services.notify.adapters.outbound import Outbound, OutboundError
from services.notify.application.errors import ReceiverGoneError
from services.notify.domain.alert import Alert
from shared.auth.key_files import load_keys
from shared.auth.secrets import KEY_BYTES, SecretMissingError
from shared.events import AlertRaised, spec_for_data
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import InvalidValueError, PermanentError, TransientError, describe

__all__ = ["LONGEST_PAUSE_S", "WebhookChannel", "load_keys_of", "pause_asked", "render", "sign"]

_SUCCESS: Final = range(200, 300)


class WebhookKeyError(PermanentError):
    """The signing key can't be used."""


class WebhookGoneError(ReceiverGoneError):
    """The receiver answered 410: it wants no more of this."""


class WebhookFailedError(TransientError):
    """No success this time."""


def load_keys_of(path: Path) -> tuple[bytes, ...]:
    """Read signing keys, newest first, from a file of `shared.auth.key_files`: 64 hex digits in each line.

    While a key is being changed both stand in the file, and both sign.

    Raises:
        WebhookKeyError: missing, unreadable or of another form; the content is never repeated.
    """
    try:
        ring = load_keys(path)
    except (SecretMissingError, InvalidValueError) as error:
        raise WebhookKeyError(
            describe(
                str(path),
                f"a file with {2 * KEY_BYTES} hexadecimal digits in a line",
                f"make one with `openssl rand -hex {KEY_BYTES}`",
            )
        ) from error
    return tuple(key.secret for key in (ring.newest, *ring.earlier))


def sign(key: bytes, message_id: str, timestamp: int, content: bytes) -> str:
    """Return a ``webhook-signature``: ``v1,`` and the base64 HMAC over ``id.timestamp.content``."""
    digest = hmac.new(key, _signed(message_id, timestamp, content), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def sign_ed25519(seed: bytes, message_id: str, timestamp: int, content: bytes) -> str:
    """Return a ``webhook-signature``: ``v1a,`` and the base64 Ed25519 signature over the same bytes."""
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_signed(message_id, timestamp, content))
    return "v1a," + base64.b64encode(signature).decode()


def public_key(seed: bytes) -> str:
    """Return the key that receivers verify ``v1a`` with, in the standard's form: ``whpk_`` and base64."""
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return "whpk_" + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _signed(message_id: str, timestamp: int, content: bytes) -> bytes:
    return b".".join((message_id.encode(), str(timestamp).encode(), content))


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


class WebhookChannel:
    """Plays `application.ports.Channel` by POST: 2xx is delivered, 410 is final, all else is tried again.

    The answer's body means nothing here; a bounded part of it is read.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        outbound: Outbound,
        clock: Clock,
        hmac_keys: Sequence[bytes] = (),
        ed25519_seeds: Sequence[bytes] = (),
    ) -> None:
        """Send to `url` (see `check_url`), signed with every key."""
        self.name = name
        self._url = url
        self._outbound = outbound
        self._clock = clock
        self._hmac_keys = tuple(hmac_keys)
        self._ed25519_seeds = tuple(ed25519_seeds)

    @property
    def public_keys(self) -> tuple[str, ...]:
        """What the receiver verifies ``v1a`` signatures with."""
        return tuple(public_key(seed) for seed in self._ed25519_seeds)

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`."""
        content = render(alert)
        timestamp = int(self._clock.now().timestamp())
        what = (alert.alert_id, timestamp, content)
        signatures = [
            *(sign(key, *what) for key in self._hmac_keys),
            *(sign_ed25519(seed, *what) for seed in self._ed25519_seeds),
        ]
        headers = {
            "content-type": "application/json",
            "webhook-id": alert.alert_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }
        try:
            answer = await self._outbound.post(self._url, content, headers)
        except OutboundError as error:
            raise WebhookFailedError(str(error)) from error
        if answer.status in _SUCCESS:
            return f"HTTP {answer.status}"
        if answer.status == HTTPStatus.GONE:
            raise WebhookGoneError(
                describe(
                    f"HTTP {answer.status}",
                    "a receiver that wants alerts",
                    "correct its address or enable it again",
                )
            )
        raise WebhookFailedError(
            describe(f"HTTP {answer.status}", "2xx from the webhook receiver", "it is tried again"),
            pause_asked(answer.retry_after, self._clock.now()),
        )
