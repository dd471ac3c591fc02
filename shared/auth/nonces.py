"""Nonces of signed requests: each is good once, on any replica.

A replica first asks its own memory, then the bucket ``nonces``, which all share: a nonce is a key that must
not be there yet, and expires by itself. While the bucket can't be asked, nobody knows whether another replica
has let the same request in: `NoncesUnavailableError`, and `shared.auth.access` decides.
"""

import hashlib
from collections import OrderedDict
from typing import Final, Protocol

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError

from shared.auth.signing import TOLERANCE_S
from shared.kernel.errors import TransientError
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.session import BrokerSession
from shared.messaging.streams import NONCES_BUCKET

log = structlog.get_logger(__name__)

MOST_REMEMBERED: Final = 200_000
TIMEOUT_S: Final = 1.0


class NoncesUnavailableError(TransientError):
    """A nonce is new here, and nobody can say whether it is elsewhere."""


class Nonces(Protocol):
    """Role: lets each nonce of a credential through once."""

    async def take(self, credential_id: str, nonce: str, now_s: float) -> bool:
        """Whether it is new; it is known from then on, at least as long as its signature would be good.

        Raises:
            NoncesUnavailableError: it is new as far as this replica knows.
        """
        ...


class LocalNonces:
    """Nonces that one process has seen, as long as a signature of their time would be good."""

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    async def take(self, credential_id: str, nonce: str, now_s: float) -> bool:
        """See `Nonces.take`."""
        while self._seen and next(iter(self._seen.values())) < now_s - 2 * TOLERANCE_S:
            self._seen.popitem(last=False)
        digest = _digest(credential_id, nonce)
        if digest in self._seen:
            return False
        self._seen[digest] = now_s
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return True


class SharedNonces:
    """Nonces that all replicas have seen."""

    def __init__(self, session: BrokerSession) -> None:
        """Share through `session` whenever it is connected."""
        self._own = LocalNonces()
        self._session = session

    async def take(self, credential_id: str, nonce: str, now_s: float) -> bool:
        """See `Nonces.take`."""
        if not await self._own.take(credential_id, nonce, now_s):
            return False
        subject = f"$KV.{NONCES_BUCKET}.{_digest(credential_id, nonce).hex()}"
        try:
            await self._session.client.jetstream(timeout=TIMEOUT_S).publish(
                subject, b"", headers={"Nats-Expected-Last-Subject-Sequence": "0"}
            )
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                return False
            raise _unavailable(credential_id, error) from error
        except (NatsError, JetStreamError, TransientError, OSError, TimeoutError) as error:
            raise _unavailable(credential_id, error) from error
        return True


def _unavailable(credential_id: str, error: Exception) -> NoncesUnavailableError:
    log.warning("nonce_not_shared", credential=credential_id, reason=repr(error))
    return NoncesUnavailableError("Nobody can say whether the nonce came before.")


def _digest(credential_id: str, nonce: str) -> bytes:
    return hashlib.sha256(f"{credential_id} {nonce}".encode()).digest()[:16]
