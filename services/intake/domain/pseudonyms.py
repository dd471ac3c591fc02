"""Keyed pseudonyms: people, devices, addresses, transactions and texts as HMACs, never as themselves.

Form ``<key id>.<32 hex digits>``: the first 128 bits of HMAC-SHA-256 under a key of its own for each
purpose, derived from one master key. So equal values match, and a device can't be compared with a phone.
"""

import hashlib
import hmac
import ipaddress
import unicodedata
from typing import TYPE_CHECKING, Final

from services.intake.domain.submission import Contact, Submission
from shared.kernel.grades import Channel
from shared.kernel.identity_numbers import normal_identity_number, normal_phone

if TYPE_CHECKING:
    from hashlib import _Hash  # the stub's name of what sha256() gives

RECEIPT_BYTES: Final = 10
_SHOWN_BYTES = 16
_BLOCK_BYTES = 64
_PURPOSES = (
    "citizen", "device", "address", "transaction", "text", "digest", "receipt", "revision", "request",
    "assessor",
)  # fmt: skip


def _halves(key: bytes) -> "tuple[_Hash, _Hash]":
    """The inner and the outer hash of HMAC-SHA-256 (RFC 2104) after their keys of at most 64 bytes."""
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer


class Pseudonyms:
    """Makes all keyed values of intake from one master key."""

    def __init__(self, key_id: str, master: bytes) -> None:
        """`key_id` is 1 to 16 lower-case letters and digits; `master` at least 32 random bytes."""
        self.key_id = key_id
        # Keyed once and copied for each value: setting the key up costs as much as hashing, and an object of
        # hmac's more than the two hashes that it is made of.
        self._keyed_hashes = {
            purpose: _halves(hmac.digest(master, f"pingyi/{purpose}/v1".encode(), "sha256"))
            for purpose in _PURPOSES
        }
        self._prefix = f"{key_id}."

    def _hash(self, purpose: str, value: bytes) -> bytes:
        inner, outer = self._keyed_hashes[purpose]
        inner, outer = inner.copy(), outer.copy()
        inner.update(value)
        outer.update(inner.digest())
        return outer.digest()

    def _keyed(self, purpose: str, value: bytes) -> str:
        return self._prefix + self._hash(purpose, value)[:_SHOWN_BYTES].hex()

    def citizen(self, contact: Contact | None, channel: Channel) -> str | None:
        """The pseudonym of a citizen: by identity number, else phone, e-mail, or the channel's account.

        The kind goes in too: a phone never equals an account that happens to be written the same.
        """
        if contact is None:
            return None
        if contact.id_number:
            key = "id_number:" + normal_identity_number(contact.id_number)
        elif contact.phone:
            key = "phone:" + normal_phone(contact.phone)
        elif contact.email:
            key = "email:" + unicodedata.normalize("NFKC", contact.email).strip().casefold()
        elif contact.account:
            key = f"account:{channel.value}:" + unicodedata.normalize("NFKC", contact.account).strip()
        else:
            return None
        return self._keyed("citizen", key.encode())

    def device(self, device_id: str | None) -> str | None:
        """The fingerprint of a device."""
        return None if device_id is None else self._keyed("device", device_id.strip().encode())

    def address(self, address: str | None) -> str | None:
        """The fingerprint of a network address; of IPv6 the /64, which is what one household gets."""
        if address is None:
            return None
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6:  # noqa: PLR2004 - the protocol's number
            parsed = ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)).network_address
        return self._keyed("address", parsed.packed)

    def transaction(self, transaction_id: str | None) -> str | None:
        """The pseudonym of a service transaction (办件号)."""
        if transaction_id is None:
            return None
        return self._keyed("transaction", unicodedata.normalize("NFKC", transaction_id).strip().encode())

    def text(self, text: str | None) -> str | None:
        """The fingerprint of a comment: case, width, blanks and punctuation don't count.

        None where nothing else is left, as in "!!!".
        """
        if text is None:
            return None
        folded = unicodedata.normalize("NFKC", text).casefold()
        core = "".join(filter(str.isalnum, folded))
        return self._keyed("text", core.encode()) if core else None

    def digest(self, submission: Submission) -> str:
        """What decides "same or different": the canonical form of the client's own fields."""
        return self._keyed("digest", submission.canonical())

    def decision(self, target_id: str, canonical: bytes) -> str:
        """What decides "same or different" for requests to revise the rating `target_id`."""
        return self._keyed("revision", target_id.encode() + b"\0" + canonical)

    def request(self, target_id: str, key: str) -> str:
        """The pseudonym of a request's key, which is the client's own word, for the rating `target_id`."""
        return self._keyed("request", f"{target_id}\0{key}".encode())

    def assessor(self, number: str) -> str:
        """The pseudonym of an assessor, by the number on the card."""
        return self._keyed("assessor", unicodedata.normalize("NFKC", number).strip().casefold().encode())

    def receipt(self, event_id: str) -> bytes:
        """The 80 bits of an event's receipt code: made again from its id, but not to be guessed from it."""
        return self._hash("receipt", event_id.encode())[:RECEIPT_BYTES]
