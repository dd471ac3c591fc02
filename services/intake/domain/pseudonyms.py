"""Keyed pseudonyms: people, devices, addresses, transactions and texts as HMACs, never as themselves.

Form ``<key id>.<32 hex digits>``: the first 128 bits of HMAC-SHA-256 under a key of its own for each
purpose, derived from one master key. So equal values match, and a device can't be compared with a phone.
The key id says which master key it was, where several are live.
"""

import hmac
import ipaddress
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.intake.domain.keyed_hash import KeyedHash
from services.intake.domain.similarity import BAND_BYTES, band_values
from services.intake.domain.submission import Contact, Submission
from shared.kernel.grades import Channel
from shared.kernel.identity_numbers import normal_identity_number, normal_phone

RECEIPT_BYTES: Final = 10
_SHOWN_BYTES = 16
_PURPOSES = ("citizen", "device", "address", "transaction", "text", "digest", "similarity")
REFERENCES: Final = ("receipt", "revision", "request", "assessor")
"""Purposes whose key never changes: ids of events, what staff decide, and the seats of assessors."""


def _derived(master: bytes, purpose: str) -> bytes:
    return hmac.digest(master, f"pingyi/{purpose}/v1".encode(), "sha256")


@dataclass(frozen=True, slots=True)
class References:
    """The keys of receipts, decisions and requests: derived once, from the first master key there was.

    They outlive that key: receipts are in people's hands, and the derivation can't be turned round, so
    destroying the master key destroys what its pseudonyms of people could be guessed with.

    Attributes:
        key_id: id of the master key that they come from.
        keys: by purpose, see `REFERENCES`.
    """

    key_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, key_id: str, master: bytes) -> "References":
        """Derive them."""
        return cls(key_id, {purpose: _derived(master, purpose) for purpose in REFERENCES})


@dataclass(frozen=True, slots=True)
class Alias:
    """What one earlier key makes of a rating's citizen, device, address, transaction and text."""

    citizen_hmac: str | None
    device_hmac: str | None
    address_hmac: str | None
    transaction_hmac: str | None
    text_hmac: str | None
    similarity: str | None = None

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return any(
            (self.citizen_hmac, self.device_hmac, self.address_hmac, self.transaction_hmac, self.text_hmac)
        )


class Pseudonyms:
    """Makes all keyed values of intake: those of people under the newest key, references under the first.

    While several keys are live, `aliases` says what the earlier ones make of the same rating. So a fold
    knows a citizen, a device or a text again whichever of the keys a rating came under (ADR 0032).
    """

    def __init__(
        self,
        key_id: str,
        master: bytes,
        *,
        earlier: Sequence["Pseudonyms"] = (),
        references: References | None = None,
    ) -> None:
        """Take up the keys.

        Args:
            key_id: 1 to 16 lower-case letters and digits.
            master: at least 32 random bytes.
            earlier: the pseudonyms of the other live keys, the latest first.
            references: keys of receipts and decisions; derived from `master` where that is the first key.
        """
        self.key_id = key_id
        self.earlier = tuple(earlier)
        self.references = references or References.of(key_id, master)
        self._hashes = {
            **{purpose: KeyedHash(_derived(master, purpose)).digest for purpose in _PURPOSES},
            **{purpose: KeyedHash(key).digest for purpose, key in self.references.keys.items()},
        }
        self._prefix = f"{key_id}."
        self._reference_prefix = f"{self.references.key_id}."

    def _keyed(self, purpose: str, value: bytes) -> str:
        return self._prefix + self._hashes[purpose](value)[:_SHOWN_BYTES].hex()

    def _reference(self, purpose: str, value: bytes) -> str:
        return self._reference_prefix + self._hashes[purpose](value)[:_SHOWN_BYTES].hex()

    def citizen(self, contact: Contact | None, channel: Channel) -> str | None:
        """The pseudonym of a citizen: by identity number, else phone, e-mail, or the channel's account.

        The kind goes in too: a phone never equals an account that happens to be written the same.
        """
        if contact is None:
            return None
        if channel is Channel.ASSESSOR and contact.account:
            # The card is what was enrolled: whoever varies what else a ballot says stays one assessor.
            key = f"account:{channel.value}:{_card(contact.account)}"
        elif contact.id_number:
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

    def service(self, submission: Submission) -> str | None:
        """The pseudonym of what a citizen rates once: the transaction; on a ballot, which has none, the unit.

        Whatever transaction a ballot names: an assessor would have as many votes as numbers come to mind.
        """
        if submission.channel is Channel.ASSESSOR:
            return self._keyed("transaction", f"ballot\0{submission.unit_id}".encode())
        return self.transaction(submission.transaction_id)

    def text(self, text: str | None) -> str | None:
        """The fingerprint of a comment: case, width, blanks and punctuation don't count.

        None where nothing else is left, as in "!!!".
        """
        if text is None:
            return None
        folded = unicodedata.normalize("NFKC", text).casefold()
        core = "".join(filter(str.isalnum, folded))
        return self._keyed("text", core.encode()) if core else None

    def bands(self, unit_id: str, signature: tuple[int, ...] | None) -> str | None:
        """The bands of a comment's signature, joined; None without one."""
        if signature is None:
            return None
        hashed = self._hashes["similarity"]
        return (
            self._prefix
            + b"".join([hashed(value)[:BAND_BYTES] for value in band_values(unit_id, signature)]).hex()
        )

    def digest(self, submission: Submission) -> str:
        """What decides "same or different": the canonical form of the client's own fields."""
        return self._keyed("digest", submission.canonical())

    def digest_like(self, other: str, submission: Submission) -> str | None:
        """The digest of `submission` under the key that made the digest `other`; None: no longer live."""
        for each in (self, *self.earlier):
            if other.startswith(each._prefix):  # noqa: SLF001 - of the same class
                return each.digest(submission)
        return None

    def aliases(
        self,
        submission: Submission,
        address: str | None,
        text: str | None,
        signature: tuple[int, ...] | None = None,
    ) -> tuple[Alias, ...]:
        """What the earlier live keys make of a rating, the latest first; without those that say nothing."""
        found = (
            Alias(
                each.citizen(submission.contact, submission.channel),
                each.device(submission.device_id),
                each.address(address),
                each.service(submission),
                each.text(text),
                each.bands(submission.unit_id, signature),
            )
            for each in self.earlier
        )
        return tuple(alias for alias in found if alias)

    def decision(self, target_id: str, canonical: bytes) -> str:
        """What decides "same or different" for requests to revise the rating `target_id`."""
        return self._reference("revision", target_id.encode() + b"\0" + canonical)

    def request(self, target_id: str, key: str) -> str:
        """The pseudonym of a request's key, which is the client's own word, for the rating `target_id`."""
        return self._reference("request", f"{target_id}\0{key}".encode())

    def assessor(self, number: str) -> str:
        """The pseudonym of an assessor, by the number on the card."""
        return self._reference("assessor", _card(number).encode())

    def receipt(self, event_id: str) -> bytes:
        """The 80 bits of an event's receipt code: made again from its id, but not to be guessed from it."""
        return self._hashes["receipt"](event_id.encode())[:RECEIPT_BYTES]


def _card(number: str) -> str:
    """The number of an assessor's card, however it was typed."""
    return unicodedata.normalize("NFKC", number).strip().casefold()
