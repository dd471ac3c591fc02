"""Sealing the texts of a case under the case's own key, which is kept apart and can be destroyed.

Events carry nonce and ciphertext; the stream CASEKEYS keeps one message for each case that has texts: the
case's key, itself encrypted under the installation's key. So CASES and the archive alone open nothing,
and deleting one message erases every text of one case, wherever it was copied to (ADR 0037).
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from services.rectify.domain.case import Sealed
from shared.auth.secrets import SecretKey
from shared.kernel.errors import PermanentError, describe
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import CASEKEYS

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEYS_KEPT: Final = 2_000


class UnsealError(PermanentError):
    """A text can't be opened: another key, another case, or changed bytes."""


class CaseTexts:
    """Plays `application.ports.Texts`."""

    def __init__(self, kek: SecretKey, random: Callable[[int], bytes]) -> None:
        """Wrap the cases' keys under `kek`; `random` gives cryptographic randomness."""
        self._kek_id = kek.key_id
        self._kek = AESGCM(kek.secret)
        self._random = random
        self._client: Client | None = None
        self._keys: OrderedDict[str, bytes] = OrderedDict()

    def bind(self, client: Client) -> None:
        """Keep keys through `client` from now on."""
        self._client = client

    async def seal(self, case_id: str, text: str) -> Sealed:
        """See `Texts.seal`."""
        key = await self._key(case_id) or await self._new_key(case_id)
        nonce = self._random(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, text.encode(), _context("text", case_id))
        return Sealed(_base64(nonce), _base64(sealed))

    async def open(self, case_id: str, sealed: Sealed) -> str | None:
        """See `Texts.open`."""
        key = await self._key(case_id)
        if key is None:
            return None
        try:
            nonce, ciphertext = base64.b64decode(sealed.nonce), base64.b64decode(sealed.ciphertext)
            return AESGCM(key).decrypt(nonce, ciphertext, _context("text", case_id)).decode()
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _changed(case_id) from error

    async def erase(self, case_id: str) -> bool:
        """See `Texts.erase`; the message's bytes are overwritten, not only unlinked."""
        jetstream = self._connected().jetstream(timeout=5)
        self._keys.pop(case_id, None)
        try:
            found = await jetstream.get_last_msg(CASEKEYS, _subject(case_id))
            return await jetstream.delete_msg(CASEKEYS, found.seq or 0)
        except NotFoundError:
            return False
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(case_id) from error

    async def _key(self, case_id: str) -> bytes | None:
        known = self._keys.get(case_id)
        if known is not None:
            self._keys.move_to_end(case_id)
            return known
        try:
            found = await self._connected().jetstream(timeout=5).get_last_msg(CASEKEYS, _subject(case_id))
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(case_id) from error
        try:
            _, nonce, wrapped = (found.data or b"").split(b".")
            key = self._kek.decrypt(
                base64.b64decode(nonce), base64.b64decode(wrapped), _context("key", case_id)
            )
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _changed(case_id) from error
        return self._keep(case_id, key)

    async def _new_key(self, case_id: str) -> bytes:
        key, nonce = self._random(KEY_BYTES), self._random(NONCE_BYTES)
        wrapped = self._kek.encrypt(nonce, key, _context("key", case_id))
        payload = f"{self._kek_id}.{_base64(nonce)}.{_base64(wrapped)}".encode()
        headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
        try:
            await self._connected().jetstream(timeout=5).publish(_subject(case_id), payload, headers=headers)
        except APIError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise _away(case_id) from error
            theirs = await self._key(case_id)  # another request was faster
            if theirs is None:
                raise _away(case_id) from error
            return theirs
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(case_id) from error
        return self._keep(case_id, key)

    def _keep(self, case_id: str, key: bytes) -> bytes:
        self._keys[case_id] = key
        if len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        return key

    def _connected(self) -> Client:
        if self._client is None or not self._client.is_connected:
            raise _away("no connection")
        return self._client


def _subject(case_id: str) -> str:
    return f"casekeys.v1.key.{case_id}"


def _context(purpose: str, case_id: str) -> bytes:
    return f"pingyi/case-{purpose}/v1/{case_id}".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _changed(case_id: str) -> UnsealError:
    return UnsealError(
        describe(
            f"texts of case {case_id}",
            "ones that this installation sealed for this case",
            "check that SECRETS_DIR holds the cases.key of that time",
        )
    )


def _away(case_id: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(f"no answer for the key of {case_id}", "the case's key", "retry"))
